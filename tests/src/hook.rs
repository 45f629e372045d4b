//! Programs of hooks, as shell scripts beside the root of a server.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// Takes a whole run's lines, or none of them.
pub const WHOLE: &str = "cat > tmp.$$ && mv tmp.$$ \"$(date +%s%N).$$.run\"";

/// A program that is told of changes, in a directory of its own.
#[derive(Debug)]
pub struct Hook {
    place: TempDir,
}

impl Hook {
    /// A script of `/bin/sh` that begins in this directory. What it writes to the file `told` is what [`told`](Self::told) reads.
    #[must_use]
    pub fn new(script: &str) -> Self {
        let hook = Self { place: TempDir::new().unwrap() };
        hook.becomes(script);
        hook
    }

    /// A program that takes everything.
    #[must_use]
    pub fn taking() -> Self {
        Self::new("cat >> told")
    }

    /// A program that may be killed at any moment, and has then taken either all lines of its run or none. Each run leaves a
    /// file; [`taken`](Self::taken) reads them all.
    #[must_use]
    pub fn taking_whole_runs() -> Self {
        Self::new(WHOLE)
    }

    /// From now on it is another script.
    pub fn becomes(&self, script: &str) {
        let (path, next) = (self.program(), self.file("next"));
        let directory = self.place.path().display();
        let text = format!("#!/bin/sh\ncd '{directory}' || exit 9\n{script}\n");
        // Another process writes it: a child that another thread starts meanwhile could have it open, and the kernel runs no
        // file that somebody has open for writing.
        let write = "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\" && mv \"$2\" \"$3\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", write, "sh"]).arg(text).arg(next).arg(path);
        assert!(shell.status().unwrap().success());
    }

    /// A file in its directory.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.file("hook")
    }

    /// The words for a server that has it under this option.
    #[must_use]
    pub fn words(&self, option: &str) -> [String; 2] {
        [option.to_owned(), self.program().to_str().unwrap().to_owned()]
    }

    /// The text of a file in its directory; empty if there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// All events that it has been told, in their order. A line that has no end yet is left out.
    #[must_use]
    pub fn told(&self) -> Vec<Value> {
        let text = self.text("told");
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    /// All events that whole runs have taken, in their order.
    #[must_use]
    pub fn taken(&self) -> Vec<Value> {
        let is_run = |path: &PathBuf| path.extension().is_some_and(|end| end == "run");
        let files = fs::read_dir(self.directory()).unwrap().map(|entry| entry.unwrap().path());
        let mut runs: Vec<PathBuf> = files.filter(is_run).collect();
        runs.sort();
        let texts = runs.iter().map(|run| fs::read_to_string(run).unwrap());
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        texts.flat_map(|text| text.lines().map(parse).collect::<Vec<Value>>()).collect()
    }

    /// The names in these events.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let name = |event: &Value| event["name"].as_str().unwrap().to_owned();
        self.told().iter().map(name).collect()
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.place.path()
    }
}
