//! A source that is published to `www/site`.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::Value;

use crate::client::{Client, haul, haul_command};
use crate::meanwhile::Held;
use crate::setting::{Setting, last};

impl Setting {
    /// `haul publish` of the source.
    pub fn publish(&self, words: &[&str]) -> Client {
        let mut command = haul();
        command.arg("publish").args(words).arg(self.source()).arg(self.at("www/site"));
        command
    }

    /// Publishes, and returns the summary.
    pub fn published(&self, words: &[&str]) -> Value {
        last(&self.publish(words).arg("--json").assert().success().get_output().stdout)
    }

    /// `haul publish` of the source over one connection, held as soon as it is `ready`.
    pub fn hold_publish(&self, ready: impl FnMut() -> bool) -> Held {
        let command = |server: &str| {
            let mut command = haul_command();
            command.args(["publish", "--connections=1"]).arg(self.source());
            command.arg(format!("{server}/www/site"));
            command
        };
        Held::start(&self.server, command, ready)
    }

    /// The published directory, as readers see it.
    pub fn site(&self) -> PathBuf {
        self.server.root().join("www/site")
    }

    /// Writes a version of the source: every file says which.
    pub fn version(&self, number: usize) {
        for index in 0..20 {
            self.write(&format!("d{}/f{index}", index % 4), &format!("version {number}"));
        }
        self.write("large", &format!("version {number:07}").repeat(100_000));
        let link = self.source().join("link");
        let _ = fs::remove_file(&link);
        symlink(format!("version {number}"), link).unwrap();
    }

    /// The server's files of all versions, by the names that it gives them.
    pub fn versions(&self) -> Vec<String> {
        let trees = self.server.root().join(".haul/trees");
        let mut names = Vec::new();
        for home in fs::read_dir(trees).unwrap() {
            for entry in fs::read_dir(home.unwrap().path()).unwrap() {
                names.push(entry.unwrap().file_name().into_string().unwrap());
            }
        }
        names.sort_unstable();
        names
    }
}
