//! The account of a destination: `ACCOUNT@HOST`.

/// The most characters of a name.
const LONGEST: usize = 32;

/// Splits `ACCOUNT@HOST…` into the text before the `@` and the rest.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let end = text.find('/').unwrap_or(text.len());
    let at = text[..end].rfind('@')?;
    Some((&text[..at], &text[at + 1..]))
}

/// Whether an account can have that name.
pub(crate) fn is_account(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let may = |byte: u8| is_plain(byte) || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= LONGEST && text.bytes().next().is_some_and(is_plain) && text.bytes().all(may)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_an_account_has_32_small_letters_and_digits_at_most() {
        let long = "a".repeat(33);
        for name in ["", "A", "-a", "a b", "a@b", "ä", ".", &long] {
            assert!(!is_account(name), "{name}");
        }
        for name in ["a", "1.b_c-d", &long[1..]] {
            assert!(is_account(name), "{name}");
        }
    }
}
