//! Copying hauld to a machine that has none, if the user asks for it: within the one login of the run, and started only if the
//! digest of the copy is right.

mod binary;
mod elf;
mod script;

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;

use crate::error::install::InstallError;
use binary::{Binary, PIECE};
pub(super) use script::COMMAND;

/// The wish that hauld is copied to a machine that has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// The file, if it is not one of the usual ones.
    file: Option<PathBuf>,
    /// A copy that is there already is used, and none is made.
    is_dry: bool,
}

impl Install {
    /// A wish for this file; `None`: the one that lies beside the program that runs, or that a package of haul has brought.
    ///
    /// # Errors
    /// If the file can't be read, or is no program of Linux.
    pub fn new(file: Option<PathBuf>) -> Result<Self, InstallError> {
        if let Some(file) = &file {
            binary::check(file)?;
        }
        Ok(Self { file, is_dry: false })
    }

    /// The same in a dry run.
    pub(super) fn dry(&mut self) {
        self.is_dry = true;
    }
}

/// The client's side of the script.
#[derive(Debug)]
pub(super) struct Installer {
    wish: Install,
    script: String,
    /// The words that the script may say now.
    stage: Stage,
}

/// How far the script is.
#[derive(Debug)]
enum Stage {
    /// It is not there yet.
    Before,
    /// It tries the hauld that is there.
    Trying,
    /// It looks for a copy.
    Looking(Binary),
    /// It takes the bytes of this file.
    Copying(PathBuf),
    /// It has started a hauld from this path there.
    Started { there: String, is_new: bool },
}

/// The client's reply to a line of the script.
#[derive(Debug)]
pub(super) enum Reply {
    /// These bytes, and then the question for hauld.
    Asking(Vec<u8>),
    /// These bytes.
    Words(Vec<u8>),
    /// So many bytes of a file.
    Bytes(Unsent),
}

/// Bytes of a file that are still to be sent.
#[derive(Debug)]
pub(super) struct Unsent {
    file: File,
    path: PathBuf,
    left: u64,
}

impl Unsent {
    /// The next piece; empty once all are sent.
    ///
    /// # Errors
    /// If the file can't be read, or has become shorter.
    pub(super) fn next(&mut self) -> Result<Vec<u8>, InstallError> {
        let mut piece = Vec::new();
        let limit = self.left.min(PIECE as u64);
        let read = (&mut self.file).take(limit).read_to_end(&mut piece);
        let read = match read {
            Ok(0) if limit > 0 => Err(io::Error::from(ErrorKind::UnexpectedEof)),
            other => other,
        };
        match read {
            Ok(len) => self.left -= len as u64,
            Err(source) => {
                return Err(InstallError::Unreadable { path: self.path.clone(), source });
            }
        }
        Ok(piece)
    }
}

impl Installer {
    /// For a name of hauld there, and a root if it means the same to every shell.
    pub(super) fn new(wish: Install, hauld: &str, root: Option<&str>) -> Self {
        let root = root.map(|root| ["--root", root]);
        let options: Vec<_> = [&["--stdio"][..], root.as_ref().map_or(&[], |it| it)].concat();
        Self { wish, script: script::script(hauld, &options), stage: Stage::Before }
    }

    /// The path there of the copy that was made.
    pub(super) fn copied(&self) -> Option<&str> {
        match &self.stage {
            Stage::Started { there, is_new: true } => Some(there),
            _ => None,
        }
    }

    /// The error of a remote command that has ended without an answer, if the copy is its reason.
    pub(super) fn failed(&self, code: i32) -> Option<InstallError> {
        match &self.stage {
            Stage::Started { there, .. } if matches!(code, 126 | 127) => {
                Some(InstallError::NotStarted { there: there.clone(), code })
            }
            _ => None,
        }
    }

    /// Whether the remote shell has started `sh`.
    pub(super) fn is_begun(&self) -> bool {
        !matches!(self.stage, Stage::Before)
    }

    /// Takes a line of the script. `None`: it makes no sense.
    ///
    /// # Errors
    /// If hauld can't be copied.
    pub(super) fn heard(&mut self, line: &str) -> Result<Option<Reply>, InstallError> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let stage = std::mem::replace(&mut self.stage, Stage::Trying);
        let (stage, reply) = match (stage, word) {
            (Stage::Before, "ready") => {
                (Stage::Trying, Reply::Asking(std::mem::take(&mut self.script).into_bytes()))
            }
            (Stage::Trying, "missing") => self.missing(rest)?,
            (Stage::Looking(_), "cached") => {
                let (there, is_new) = (rest.to_owned(), false);
                (Stage::Started { there, is_new }, Reply::Asking(Vec::new()))
            }
            (Stage::Looking(binary), "send") => {
                let Binary { file, path, bytes, .. } = binary;
                let unsent = Unsent { file, path: path.clone(), left: bytes };
                (Stage::Copying(path), Reply::Bytes(unsent))
            }
            (Stage::Looking(Binary { path, .. }), "absent") => {
                return Err(InstallError::Foreseen { path });
            }
            (Stage::Copying(path), "differs") => return Err(InstallError::Differs { path }),
            (Stage::Copying(_), "copied") => {
                let (there, is_new) = (rest.to_owned(), true);
                (Stage::Started { there, is_new }, Reply::Asking(Vec::new()))
            }
            (Stage::Looking(_) | Stage::Copying(_), "failed") => {
                return Err(InstallError::NotWritten { directory: rest.to_owned() });
            }
            _ => return Ok(None),
        };
        self.stage = stage;
        Ok(Some(reply))
    }

    /// There is no hauld: the script has told the system, the machine, and whether it can check a copy.
    fn missing(&self, words: &str) -> Result<(Stage, Reply), InstallError> {
        let mut words = words.split(' ');
        let (system, machine) = (words.next().unwrap_or("?"), words.next().unwrap_or("?"));
        let can_check = words.next() == Some("sums");
        let binary = Binary::open(self.wish.file.as_deref(), system, machine)?;
        if !can_check {
            return Err(InstallError::NoSums);
        }
        let may = if self.wish.is_dry { "look" } else { "copy" };
        let line = format!("{} {} {} {may}\n", binary.name(), binary.bytes, binary.digest);
        Ok((Stage::Looking(binary), Reply::Words(line.into_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installer() -> Installer {
        Installer::new(Install::new(None).unwrap(), "hauld", None)
    }

    #[test]
    fn line_that_comes_too_early_or_twice_or_is_not_known_makes_no_sense() {
        for line in ["", "send", "copied /x", "missing Linux x86_64 sums", "ready2"] {
            assert!(installer().heard(line).unwrap().is_none(), "{line}");
        }
        let mut installer = installer();
        let Some(Reply::Asking(script)) = installer.heard("ready").unwrap() else { panic!() };
        assert!(script.ends_with(b"start copied\n"));
        for line in ["ready", "send", "cached /x", "differs"] {
            assert!(installer.heard(line).unwrap().is_none(), "{line}");
        }
    }

    #[test]
    fn file_that_has_become_shorter_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("f");
        std::fs::write(&path, vec![1; PIECE + 3]).unwrap();
        let file = || File::open(&path).unwrap();
        let all = PIECE as u64 + 3;
        let mut copy = Unsent { file: file(), path: path.clone(), left: all };
        let lens: Vec<_> = (0..3).map(|_| copy.next().unwrap().len()).collect();
        assert_eq!(lens, [PIECE, 3, 0]);
        let mut short = Unsent { file: file(), path: path.clone(), left: all + 1 };
        let _ = (short.next().unwrap(), short.next().unwrap());
        assert!(matches!(short.next(), Err(InstallError::Unreadable { .. })));
    }
}
