//! The one way from a text to a terminal or a log: as one line, in which nothing of a peer or a file name is a control
//! character or turns the direction of the text.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

use haul_protocol::{Shown, is_plain};
use serde::Serialize;

/// Writes a message to standard error.
pub(crate) fn tell(text: &dyn Display) {
    line(&mut io::stderr(), text);
}

/// Writes a line. A reader who has had enough, or is gone, can't be told.
pub(crate) fn line(out: &mut dyn Write, text: &dyn Display) {
    let _ = writeln!(out, "{}", Shown(text));
}

/// A text of several lines, such as a help, to be written as they are.
pub(crate) fn lines(out: &mut dyn Write, text: &str) {
    text.lines().for_each(|text| line(out, &text));
}

/// A value as one line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> Option<Vec<u8>> {
    let mut line = plain_json(&serde_json::to_string(value).ok()?);
    line.push('\n');
    Some(line.into_bytes())
}

/// JSON that means the same, with `\u` for each character that is not plain: outside of strings there is none.
pub(crate) fn plain_json(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    for character in json.chars() {
        if is_plain(character) {
            plain.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // A string takes all that is written to it.
                let _ = write!(plain, "\\u{unit:04x}");
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_with_any_character_is_plain_and_reads_back() {
        for character in '\0'..=char::MAX {
            let text = format!("a{character}b");
            let line = String::from_utf8(json_line(&text).unwrap()).unwrap();
            assert!(line.trim_end_matches('\n').chars().all(is_plain), "{line:?}");
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
    }
}
