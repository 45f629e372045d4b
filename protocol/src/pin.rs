//! The pin of a server's key, by which a client knows the server again.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use thiserror::Error;

use crate::base32;

/// The context of the digest: no digest of the same bytes for another purpose is the same.
const CONTEXT: &str = "haul 2026 pin of a server's key";

/// Every pin begins with this word and a hyphen. The `1` names the digest.
const PREFIX: &str = "haul1";

/// Letters of the 32 bytes; the last letter holds only one bit of them.
const KEY_LETTERS: usize = 52;

/// Letters of the pin, three check letters included.
const LETTERS: usize = KEY_LETTERS + 3;

/// Letters between two hyphens.
const GROUP: usize = 5;

/// A digest of a server's public key: BLAKE3 of its `SubjectPublicKeyInfo`. A certificate that is made anew from the same key
/// has the same pin.
///
/// Its text is `haul1-` and eleven groups of five letters, for people who read it aloud or paste it:
///
/// ```
/// use haul_protocol::Pin;
/// let pin = Pin::of_spki(b"the key in DER");
/// let text = pin.to_string();
/// assert_eq!(text, "haul1-3th75-iq45u-cdtf6-piao2-hdzjz-2fgvp-nnide-z7rx3-v52vv-v6cit-naukn");
/// assert_eq!(text.to_uppercase().replace('-', " ").parse(), Ok(pin));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin(pub [u8; 32]);

impl Pin {
    /// The pin of a key, from its `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn of_spki(der: &[u8]) -> Self {
        Self(blake3::derive_key(CONTEXT, der))
    }

    /// The letters without prefix and hyphens.
    fn letters(&self) -> String {
        let mut letters = base32::encode(&self.0);
        let check = base32::encode(blake3::hash(&self.0).as_bytes());
        letters.extend(check.chars().take(LETTERS - KEY_LETTERS));
        letters
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        for (index, letter) in self.letters().chars().enumerate() {
            if index % GROUP == 0 {
                f.write_str("-")?;
            }
            write!(f, "{letter}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}

/// A text is no pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PinError {
    /// It does not begin with `haul1`.
    #[error("a pin begins with `{PREFIX}-`")]
    Prefix,
    /// A character is no letter of a pin.
    #[error("`{}` is no letter of a pin", .0.escape_default())]
    Letter(char),
    /// Another number of letters follows the prefix: some are lost, or something was pasted with them.
    #[error("{LETTERS} letters follow `{PREFIX}-` in a pin, not {0}")]
    Length(usize),
    /// The last letters do not fit the others: one is mistyped, or two changed places.
    #[error("the pin's check letters do not fit: a letter is mistyped")]
    Check,
}

impl FromStr for Pin {
    type Err = PinError;

    /// Reads a pin as people type and paste it: case, white space, hyphens and invisible characters have no meaning.
    fn from_str(text: &str) -> Result<Self, PinError> {
        let mut typed = text.chars().filter(|c| !is_ignored(*c)).map(|c| c.to_ascii_lowercase());
        if !PREFIX.chars().all(|expected| typed.next() == Some(expected)) {
            return Err(PinError::Prefix);
        }
        let (mut letters, mut count) = ([0; LETTERS], 0);
        for character in typed {
            let letter = u8::try_from(character).ok().filter(|letter| base32::is_letter(*letter));
            let letter = letter.ok_or(PinError::Letter(character))?;
            if let Some(place) = letters.get_mut(count) {
                *place = letter;
            }
            count += 1;
        }
        if count != LETTERS {
            return Err(PinError::Length(count));
        }
        let mut pin = Self([0; 32]);
        let key = letters.first_chunk().copied();
        let is_canonical =
            key.is_some_and(|mut key: [u8; KEY_LETTERS]| base32::decode(&mut key, &mut pin.0));
        if !is_canonical || pin.letters().as_bytes() != letters {
            return Err(PinError::Check);
        }
        Ok(pin)
    }
}

/// Whether a character has no meaning in a pin: white space, hyphens and the dashes that programs make of them, and
/// invisible characters that come along with a paste.
fn is_ignored(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
        )
        || matches!(
            character,
            // The soft hyphen; marks of direction; zero-width characters; the byte order mark.
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    fn pin() -> Pin {
        Pin::of_spki(b"some key")
    }

    #[test]
    fn a_pin_is_eleven_groups_and_reads_back() {
        let text = pin().to_string();
        assert_eq!(text.len(), "haul1".len() + 11 * (1 + GROUP));
        assert!(text.split('-').skip(1).all(|group| group.len() == GROUP), "{text}");
        assert_eq!(text.parse(), Ok(pin()));
        assert_ne!(Pin::of_spki(b"some other key"), pin());
    }

    #[test]
    fn case_hyphens_white_space_and_invisible_characters_have_no_meaning() {
        let text = pin().to_string();
        let mut pasted = alloc::string::String::from("\u{feff}  ");
        for (index, letter) in text.to_uppercase().chars().enumerate() {
            pasted.push(letter);
            pasted.push(
                ['\u{200b}', '\u{ad}', '\n', '\u{202e}', '\u{2011}', '\u{2060}', '\u{a0}']
                    [index % 7],
            );
        }
        assert_eq!(pasted.parse(), Ok(pin()));
        assert_eq!(text.replace('-', "").parse(), Ok(pin()));
    }

    #[test]
    fn a_text_that_is_no_pin_is_told_why() {
        let text = pin().to_string();
        let parse = |text: &str| text.parse::<Pin>();
        for other in ["", "haul", "haul2", &text["haul1-".len()..], "sha256-abc"] {
            assert_eq!(parse(other), Err(PinError::Prefix), "{other:?}");
        }
        assert_eq!(parse("haul1-"), Err(PinError::Length(0)));
        assert_eq!(parse(&text[..text.len() - 1]), Err(PinError::Length(54)));
        assert_eq!(parse(&format!("{text}a")), Err(PinError::Length(56)));
        for letter in ['0', '1', '8', '9', '!', 'ß', '\u{1b}', '\u{131}'] {
            assert_eq!(parse(&format!("{text}{letter}")), Err(PinError::Letter(letter)));
        }
        assert_eq!(PinError::Letter('\u{1b}').to_string(), "`\\u{1b}` is no letter of a pin");
    }

    #[test]
    fn a_mistyped_letter_and_two_that_change_places_are_noticed() {
        let text = pin().to_string();
        let (start, mut passed) = ("haul1-".len(), 0);
        for at in start..text.len() {
            for letter in ('a'..='z').chain('2'..='7') {
                let other = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
                if text.as_bytes()[at] != b'-' && other != text && other.parse::<Pin>().is_ok() {
                    passed += 1;
                }
            }
        }
        // Each of some 1,700 texts fits by chance once in 32,768 times.
        assert!(passed < 2, "{passed} mistyped pins");
        let (first, second) = (&text[start..=start], &text[start + 1..start + 2]);
        assert_ne!(first, second);
        let swapped = format!("haul1-{second}{first}{}", &text[start + 2..]);
        assert_eq!(swapped.parse::<Pin>(), Err(PinError::Check));
    }
}
