//! A terminal of a person, and the lines that were seen on it.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::setting::Setting;
use crate::{binaries, eventually};

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

/// A person who sees a terminal and types.
#[derive(Debug)]
pub struct Person {
    script: Child,
    keys: Option<ChildStdin>,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Person {
    /// Runs a shell script on a terminal of 200 columns; `$H` is `haul`.
    ///
    /// Ctrl-C ends the program that the shell runs, never the shell: the terminal signals both. Without a trap, the signal ends a
    /// shell that does not wait for its program yet, and the rest of the script would not run.
    #[must_use]
    pub fn run(line: &str, environment: &[(&str, &str)]) -> Self {
        let mut script = Command::new("script");
        let line = format!("trap : INT; stty rows 24 cols 200; {line}");
        script.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm");
        script.env("H", &binaries::get().haul).envs(environment.iter().copied());
        script.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = script.spawn().unwrap();
        let (keys, mut shown) = (script.stdin.take(), script.stdout.take().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = shown.read(&mut bytes) {
                noted.lock().unwrap().extend_from_slice(&bytes[..len]);
            }
        });
        Self { script, keys, seen }
    }

    /// All that was shown so far.
    #[must_use]
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// Waits until the text is shown, and types then.
    #[track_caller]
    pub fn types(&mut self, after: &str, text: &str) {
        eventually(after, || self.seen().contains(after));
        let keys = self.keys.as_mut().unwrap();
        keys.write_all(text.as_bytes()).and_then(|()| keys.flush()).unwrap();
    }

    /// Waits for the script to end; returns its exit code and all that was shown.
    #[track_caller]
    pub fn ends(mut self) -> (Option<i32>, String) {
        eventually("the script ends", || self.script.try_wait().unwrap().is_some());
        let code = self.script.wait().unwrap().code();
        drop(self.keys.take());
        // The thread that reads ends with the terminal.
        eventually("all is read", || Arc::strong_count(&self.seen) == 1);
        (code, self.seen())
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
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
