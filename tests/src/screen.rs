//! A terminal of a person, and the lines that were seen on it.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::ffi::OsStr;
use std::io::Read;
use std::process::{ChildStdin, Command, Stdio};

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

/// A shell script on a terminal. Once a question is shown, `answer` has all that was shown and the keyboard. Returns all that was
/// shown.
pub fn answered(
    script: &str,
    environment: &[(&str, &OsStr)],
    question: &str,
    answer: impl FnOnce(&str, &mut ChildStdin),
) -> String {
    let mut command = Command::new("script");
    command.args(["-qec", script, "/dev/null"]).env("TERM", "xterm");
    command.env("H", &binaries::get().haul).envs(environment.iter().copied());
    let mut person = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut screen, mut keyboard) = (person.stdout.take().unwrap(), person.stdin.take().unwrap());
    let (mut shown, mut bytes, mut answer) = (Vec::new(), [0; 4096], Some(answer));
    while let Ok(len @ 1..) = screen.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..len]);
        let text = String::from_utf8_lossy(&shown);
        if let Some(answer) = answer.take_if(|_| text.contains(question)) {
            answer(&text, &mut keyboard);
        }
    }
    person.wait().unwrap();
    String::from_utf8_lossy(&shown).into_owned()
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
