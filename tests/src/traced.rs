//! A client whose system calls strace writes down, or lets fail.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::binaries;

/// The system calls of a run of `haul`.
#[derive(Debug)]
pub struct Traced {
    words: Vec<String>,
    place: TempDir,
}

impl Traced {
    /// `words` tell strace which calls are of interest, and which ones fail.
    #[must_use]
    pub fn new(words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { words, place: TempDir::new().unwrap() }
    }

    fn table(&self) -> PathBuf {
        self.place.path().join("calls")
    }

    /// `haul`, to be run once.
    #[must_use]
    pub fn haul(&self) -> Command {
        let mut command = Command::new("strace");
        // Each file with its path.
        command.args(["-f", "-y", "-qq", "--signal=none", "-o"]).arg(self.table());
        command.args(&self.words).arg(&binaries::get().haul).env("HAUL_CONFIG", "");
        command
    }

    /// The calls that have ended, in the order of their ends, without the numbers of their threads.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.table()).unwrap();
        let (mut open, mut calls) = (Vec::<(String, String)>::new(), Vec::new());
        for line in text.lines() {
            let (thread, call) = line.split_once(' ').unwrap();
            let call = call.trim_start();
            if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
                open.push((thread.to_owned(), begun.to_owned()));
            } else if let Some((_, end)) = call.split_once(" resumed>") {
                let begun = open.iter().position(|(of, _)| of == thread).unwrap();
                calls.push(open.swap_remove(begun).1 + end);
            } else {
                calls.push(call.to_owned());
            }
        }
        calls
    }

    /// The number that a call has returned, if it has not failed.
    #[must_use]
    pub fn result(call: &str) -> Option<u64> {
        call.rsplit_once(" = ")?.1.split_whitespace().next()?.parse().ok()
    }
}
