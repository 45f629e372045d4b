//! A terminal of a person, and the lines that were seen on it.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::process::{Command, Stdio};

use crate::binaries;
use crate::setting::Setting;

/// A shell script on a terminal of so many columns, which `script` gives it; `$H` is `haul` and `$A` the server's address.
#[must_use]
pub fn terminal(setting: &Setting, columns: u16, line: &str) -> Command {
    let mut script = Command::new("script");
    let line = format!("stty rows 24 cols {columns}; {line}");
    script.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").stdin(Stdio::null());
    script.env("H", &binaries::get().haul).env("A", setting.server.address());
    script.current_dir(setting.place.path());
    script
}

/// All that was shown, one line or state of the bar after the other, without the terminal's commands.
#[must_use]
pub fn shown(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output).into_owned();
    let mut lines = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                // ESC [ … letter.
                let end = characters.find(char::is_ascii_alphabetic);
                if matches!(end, Some('K' | 'A')) {
                    lines.push(String::new());
                }
            }
            '\r' | '\n' => lines.push(String::new()),
            plain => lines.last_mut().unwrap().push(plain),
        }
    }
    lines.retain(|line| !line.trim().is_empty());
    lines
}

/// The same without states of the bar, and with times of the run as `T`.
#[must_use]
pub fn left_in_the_end(output: &[u8]) -> Vec<String> {
    let time = |word: &str| word.parse::<f64>().is_ok() && word.contains('.');
    let lines = shown(output).into_iter().filter(|line| !line.starts_with(is_spinner));
    let plain = |line: String| {
        let words = line.split(' ').map(|word| if time(word) { "T" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    lines.map(plain).collect()
}

/// Whether a line that begins with it is a state of the bar.
#[must_use]
pub fn is_spinner(character: char) -> bool {
    ('\u{2800}'..='\u{28ff}').contains(&character)
}

/// No line or state of the bar is wider than the terminal.
#[track_caller]
pub fn fit(output: &[u8], columns: usize) {
    for line in shown(output) {
        assert!(line.trim_end().chars().count() <= columns, "{columns}: {line:?}");
    }
}
