//! Foreign text for terminals and logs: names, messages and words that a peer or a disk chose.

use alloc::string::String;
use core::fmt::{self, Display, Write};

/// Whether a character shows as itself and does nothing to the text around it. Not so are control characters (C0, DEL,
/// C1), the marks that turn the direction of text, and the separators of lines and paragraphs.
#[must_use]
pub fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// A text on one line, with an escape (`\n`, `\u{1b}`) in place of each character that is not [plain](is_plain). To show
/// the result once more changes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Shown<T>(pub T);

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// The same for bytes; those that are not UTF-8 are shown as U+FFFD.
#[derive(Debug, Clone, Copy)]
pub struct ShownBytes<'a>(pub &'a [u8]);

impl Display for ShownBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaping(f).write_str(&String::from_utf8_lossy(self.0))
    }
}

/// Escapes all that is written through it.
struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|character| !is_plain(character)) {
            let (plain, special) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut characters = special.chars();
            if let Some(character) = characters.next() {
                write!(self.0, "{}", character.escape_default())?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn every_character_is_shown_as_itself_or_as_an_escape() {
        let mut escaped = 0;
        for character in '\0'..=char::MAX {
            let text = format!("a{character}b");
            let shown = Shown(&text).to_string();
            assert_eq!(shown, ShownBytes(text.as_bytes()).to_string());
            assert!(shown.chars().all(is_plain), "{shown:?}");
            assert_eq!(Shown(&shown).to_string(), shown);
            if shown != text {
                escaped += 1;
                assert!(shown.starts_with("a\\") && shown.is_ascii(), "{shown:?}");
            }
        }
        // C0, DEL and C1; the marks of direction; two separators.
        assert_eq!(escaped, 32 + 33 + 12 + 2);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown() {
        assert_eq!(ShownBytes(b"a\xff\x1b").to_string(), "a\u{fffd}\\u{1b}");
    }
}
