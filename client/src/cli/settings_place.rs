//! The place of the file of settings: the user's own, or the one that somebody has named.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;

use super::settings_file::{SettingsError, SettingsFile};
use crate::source::from_bytes;
use crate::trust::directory::Directory;

/// The name of the file in the directory of the client's own files.
const NAME: &str = "config.toml";

/// The variable that names another file.
const VARIABLE: &str = "HAUL_CONFIG";

/// The option that names another file.
const OPTION: &str = "--config";

/// The file that commands read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// None is read.
    Nowhere,
    /// The user's own, which may be missing.
    Own(PathBuf),
    /// The one that somebody has named, by this option or variable.
    Named(PathBuf, &'static str),
}

impl Place {
    /// The file that the words of a command line or the environment name, or otherwise the user's own.
    pub(super) fn of(words: &[OsString]) -> Self {
        let given = option(words).map(|path| (path, OPTION));
        let named = given.or_else(|| Some((std::env::var_os(VARIABLE)?, VARIABLE)));
        match named {
            Some((path, _)) if path.is_empty() => Self::Nowhere,
            Some((path, by)) => Self::Named(path.into(), by),
            None => Self::own(),
        }
    }

    fn own() -> Self {
        match Directory::of_user() {
            Ok(directory) if !directory.is_closed() => Self::Own(directory.file(NAME)),
            _ => Self::Nowhere,
        }
    }

    /// Reads the file; `None`: there is none, and nobody has named one. `command` makes the declaration, if there is a file.
    ///
    /// # Errors
    /// If it can't be read, or a line is wrong.
    pub(super) fn read(
        &self,
        command: &dyn Fn() -> Command,
    ) -> Result<Option<SettingsFile>, SettingsError> {
        match self {
            Self::Nowhere => Ok(None),
            Self::Named(path, by) => match SettingsFile::read(path, command) {
                Err(SettingsError::Read { source, .. }) if is_missing(&source) => {
                    Err(SettingsError::Missing { path: path.clone(), by })
                }
                read => read.map(Some),
            },
            Self::Own(path) => match SettingsFile::read(path, command) {
                Err(SettingsError::Read { source, .. }) if is_missing(&source) => Ok(None),
                read => read.map(Some),
            },
        }
    }

    /// The path of the file.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Nowhere => None,
            Self::Own(path) | Self::Named(path, _) => Some(path),
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The value of `--config`; clap checks it later, as any other option.
fn option(words: &[OsString]) -> Option<OsString> {
    let mut words = words.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        if word == OPTION {
            return words.next().cloned();
        }
        // A path need not be text.
        let rest = word.as_encoded_bytes().strip_prefix(OPTION.as_bytes());
        if let Some(value) = rest.and_then(|rest| rest.strip_prefix(b"=")) {
            return Some(from_bytes(value).into_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn word_of_the_command_line_names_the_file() {
        let place = |line: &str| option(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for (line, expected) in [
            ("haul --config f put a box", Some("f")),
            ("haul put a --config=f box", Some("f")),
            ("haul put a --config= box", Some("")),
            ("haul put a -- --config f", None),
            ("haul put a --configs f", None),
        ] {
            assert_eq!(place(line).as_deref(), expected.map(OsStr::new), "{line}");
        }
    }

    #[test]
    fn file_with_a_name_that_is_no_text_is_the_one_that_was_named() {
        use std::os::unix::ffi::OsStringExt;

        let words = [&b"haul"[..], b"--config=a/\xff", b"ls", b"box"];
        let words = words.map(|word| OsString::from_vec(word.to_vec()));
        assert_eq!(option(&words), Some(OsString::from_vec(b"a/\xff".to_vec())));
    }
}
