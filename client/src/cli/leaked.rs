//! Tokens among the words of a command line. Other users of the machine see them there, so haul refuses them, and never
//! repeats one.

use std::ffi::{OsStr, OsString};

/// The letters with which tokens begin.
const BEGIN: &str = "haul_";

/// The length of a token's public part.
const ID: usize = 8;

/// The least length of what counts as a token's secret; one that is cut short is still worth hiding.
const SECRET: usize = 32;

/// The mistake of a command line that has a token among its words. The name of a file that is there is no token.
pub(super) fn token(words: &[OsString]) -> Option<&'static str> {
    words
        .iter()
        .skip(1)
        .find(|word| has_token(word) && std::fs::symlink_metadata(word).is_err())?;
    Some(
        "one of the words is a token, and a token is never an argument: other users of this machine see it there. Rotate it \
         with `hauld user rotate`; `haul login LINK` asks for the token, or takes it from standard input",
    )
}

/// Whether a word has a text in it that looks like a token.
pub(super) fn has_token(word: &OsStr) -> bool {
    let word = word.to_string_lossy();
    word.match_indices(BEGIN).any(|(at, begin)| is_token(&word.as_bytes()[at + begin.len()..]))
}

/// Whether the bytes behind the first letters are as those of a token.
fn is_token(rest: &[u8]) -> bool {
    let Some((id, [b'_', secret @ ..])) = rest.split_at_checked(ID) else { return false };
    let of_secret = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_' || **byte == b'-';
    let letters: Vec<u8> = secret.iter().take_while(of_secret).copied().collect();
    id.iter().all(u8::is_ascii_alphanumeric)
        && letters.len() >= SECRET
        && letters.iter().any(u8::is_ascii_uppercase)
        && letters.iter().any(u8::is_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_look_like_a_token_are_refused() {
        let secret = haul_protocol::AccessToken::new([7; 5], [90; 32]).expose();
        let refused = |word: &str| token(&["haul".into(), "ls".into(), word.into()]);
        for word in [secret.clone(), format!("--token={secret}"), format!("haul://a@box/{secret}")]
        {
            let told = refused(&word).unwrap();
            assert!(!told.contains(&secret[5..]), "{told}");
        }
        assert!(refused(&secret[..50]).is_some());
        for word in [
            "haul_",
            "haul_notes.txt",
            "haul_contract_of_2027",
            "haul_contract_0123456789012345678901234567890",
        ] {
            assert!(refused(word).is_none(), "{word}");
        }
    }
}
