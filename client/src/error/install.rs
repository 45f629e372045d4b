//! The ways in which copying hauld to another machine can fail.

use std::io;
use std::path::{Path, PathBuf};

use haul_protocol::Shown;
use thiserror::Error;

/// There is no hauld at the other machine, and none could be copied there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InstallError {
    /// No file is named, and none is where it is looked for.
    #[error("there is none for {} to copy either{}: name one with --install-hauld=FILE", Shown(.machine), looked_for(.looked))]
    NoFile {
        /// The machine there.
        machine: String,
        /// The paths that were looked at.
        looked: Vec<PathBuf>,
    },
    /// The file can't be read.
    #[error("{} can't be read: {source}", quoted(.path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is no program of Linux", quoted(.path))]
    NoProgram {
        /// The file.
        path: PathBuf,
    },
    /// The file is a program for other machines.
    #[error(
        "{} is built for {}, and the machine there is {}: name another file with --install-hauld=FILE",
        quoted(.path), .built_for.unwrap_or("a machine that haul does not know"), Shown(.there)
    )]
    OtherMachine {
        /// The file.
        path: PathBuf,
        /// Its machine, if it is known.
        built_for: Option<&'static str>,
        /// The system and the machine there.
        there: String,
    },
    /// A copy could not be checked.
    #[error(
        "none is copied, because none of sha256sum, shasum and openssl is there to check the copy: copy hauld there \
         yourself, and say with --hauld PATH where it is"
    )]
    NoSums,
    /// The copy could not be written there.
    #[error("none could be copied to {} there, for the reason that stands above", Shown(.directory))]
    NotWritten {
        /// The directory there.
        directory: String,
    },
    /// The copy is not what was sent.
    #[error(
        "the copy of {} there has another digest than the file: haul has removed the copy, and nothing was run",
        quoted(.path)
    )]
    Differs {
        /// The file.
        path: PathBuf,
    },
    /// The copy is right, and does not start.
    #[error(
        "the copy at {} does not start (exit code {code}): its file system may be mounted with noexec, or the copy needs \
         libraries that are not there (then take a static hauld)", Shown(.there)
    )]
    NotStarted {
        /// The path there.
        there: String,
        /// The exit code of the shell.
        code: i32,
    },
    /// A dry run copies nothing.
    #[error("without --dry-run, haul copies {} there", quoted(.path))]
    Foreseen {
        /// The file.
        path: PathBuf,
    },
}

fn quoted(path: &Path) -> String {
    Shown(path.display()).to_string()
}

fn looked_for(looked: &[PathBuf]) -> String {
    if looked.is_empty() {
        return String::new();
    }
    let all: Vec<_> = looked.iter().map(|path| quoted(path)).collect();
    format!(" (looked for {})", all.join(", "))
}
