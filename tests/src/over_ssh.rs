//! A stand-in for ssh: a script that drops the options and the host, and runs the remote command in a directory that is the
//! home of the other machine.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::client::{Client, haul, haul_command};
use crate::{binaries, place};

/// The start of the script: the words of the remote command are `$*` behind it, and the process is in the home there.
const BEGIN: &str = "\
cd \"$PLACE\"
printf '%s\\n' \"$*\" >>ssh-words
while [ $# -gt 0 ]; do
  case $1 in -p | -c | -o | -F | -i) shift 2 ;; -*) shift ;; *) break ;; esac
done
echo $$ >ssh-pid
shift
cd home
";

/// A machine that the stand-in leads to, and a directory here.
#[derive(Debug)]
pub struct OverSsh {
    place: TempDir,
}

impl OverSsh {
    /// The remote command runs in a shell, as sshd has it.
    #[must_use]
    pub fn new() -> Self {
        Self::with("exec sh -c \"$*\"")
    }

    /// This script runs in place of the remote shell; it finds the remote command in `$*`.
    #[must_use]
    pub fn with(script: &str) -> Self {
        let place = place::in_memory().unwrap();
        fs::create_dir(place.path().join("home")).unwrap();
        fs::create_dir(place.path().join("s")).unwrap();
        fs::write(place.path().join("ssh"), format!("{BEGIN}{script}\n")).unwrap();
        Self { place }
    }

    /// The directory of this machine, in which haul runs.
    #[must_use]
    pub fn here(&self) -> &Path {
        self.place.path()
    }

    /// The home at the other machine.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.place.path().join("home")
    }

    /// Writes a file below the source `s`.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.here().join("s").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// The words that the stand-in got, one run a line.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let text = fs::read_to_string(self.here().join("ssh-words")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The process of the last stand-in.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        fs::read_to_string(self.here().join("ssh-pid")).ok()?.trim().parse().ok()
    }

    /// `haul` with this command and these words; the server is the real `hauld`.
    pub fn haul(&self, words: &[&str]) -> Client {
        let mut command = haul();
        command.args(words).current_dir(self.here());
        for (key, value) in self.environment() {
            command.env(key, value);
        }
        if !words.iter().any(|word| word.starts_with("--hauld")) {
            command.args(self.remote());
        }
        command
    }

    /// The same, to be started.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = haul_command();
        command.args(words).args(self.remote()).envs(self.environment()).current_dir(self.here());
        command
    }

    /// The words that say where hauld is.
    fn remote(&self) -> [PathBuf; 2] {
        [PathBuf::from("--hauld"), binaries::get().hauld.clone()]
    }

    /// The variables that lead haul to the stand-in.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        vec![
            ("HAUL_SSH", format!("sh {}", text(self.here().join("ssh")))),
            ("PLACE", text(self.here().to_owned())),
            ("HAUL_CONFIG_DIR", text(self.here().join("config"))),
        ]
    }
}

impl Default for OverSsh {
    fn default() -> Self {
        Self::new()
    }
}
