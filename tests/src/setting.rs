//! A server, and a source that is synced to it.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Client, haul};
use crate::hauld::{Hauld, server_with};
use crate::{binaries, eventually, place, tree};

/// A server and a source directory `s`.
#[derive(Debug)]
pub struct Setting {
    /// The server, with durability `none` unless it was started otherwise.
    pub server: Hauld,
    /// The directory of the source.
    pub place: TempDir,
}

impl Setting {
    /// An empty source and an empty root.
    pub fn start() -> Self {
        Self::start_with(&["--durability", "none"])
    }

    /// An empty source and an empty root, with options for the server.
    pub fn start_with(words: &[&str]) -> Self {
        let server = server_with(words);
        let place = place::for_server(words).unwrap();
        fs::create_dir(place.path().join("s")).unwrap();
        Self { server, place }
    }

    /// The source.
    pub fn source(&self) -> PathBuf {
        self.place.path().join("s")
    }

    /// The directory that the source becomes at the server.
    pub fn target(&self) -> PathBuf {
        self.server.root().join("s")
    }

    /// Writes a file of the source.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.source().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes a file of the target, without haul.
    pub fn write_there(&self, name: &str, text: &str) {
        let path = self.target().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// `haul` with the source and the server at the end.
    pub fn command(&self, verb: &str, words: &[&str]) -> Client {
        let mut command = haul();
        command.arg(verb).args(words).arg(self.source()).arg(self.server.address());
        command
    }

    /// Syncs, and returns the summary.
    pub fn sync(&self, words: &[&str]) -> Value {
        let output =
            self.command("sync", words).arg("--json").assert().success().get_output().clone();
        last(&output.stdout)
    }

    /// `haul` with these words and no others, in the directory of the source.
    pub fn haul(&self, words: &[&str]) -> Client {
        let mut command = haul();
        command.current_dir(self.place.path()).args(words);
        command
    }

    /// A script for bash in the directory of the source; `$H` is `haul` and `$A` the server's address.
    pub fn script(&self, script: &str) -> Client {
        let mut command = Client::new("bash");
        command.current_dir(self.place.path()).args(["-c", script]);
        command.env("H", &binaries::get().haul).env("A", self.server.address());
        command
    }

    /// The server, with a path below its root.
    pub fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.server.address())
    }

    /// Compares source and target.
    pub fn same(&self) {
        tree::compare(&self.source(), &self.target()).unwrap();
    }

    /// Waits until no directory of the source, or beside it, has changed for so long that the client does not wait for rules
    /// that may be about to come (docs/sync.md). Otherwise a test that holds the client while it sends can't know what the
    /// client has looked at.
    pub fn rests(&self) {
        let directories = walkdir::WalkDir::new(self.place.path()).into_iter().flatten();
        let changed = directories.filter(|entry| entry.file_type().is_dir()).filter_map(|entry| {
            let found = entry.metadata().ok()?;
            Some((found.ctime(), found.ctime_nsec()))
        });
        let newest = changed.max().unwrap();
        let newest = Duration::new(newest.0.unsigned_abs(), newest.1.try_into().unwrap());
        eventually("the source is at rest", || {
            UNIX_EPOCH.elapsed().unwrap().saturating_sub(newest) > Duration::from_millis(300)
        });
    }

    /// Whether the target has an entry of that name.
    pub fn there(&self, name: &str) -> bool {
        self.target().join(name).symlink_metadata().is_ok()
    }
}

/// The last line of the output of `haul --json`: its summary.
#[must_use]
pub fn last(output: &[u8]) -> Value {
    let text = String::from_utf8(output.to_vec()).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}
