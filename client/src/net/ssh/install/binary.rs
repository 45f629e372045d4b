//! The file that is copied: where it is looked for, its machine, its size and its digest.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;

use super::elf::{BuiltFor, HEADER, Machine, built_for};
use crate::error::install::InstallError;

/// Bytes that are read at once.
pub(super) const PIECE: usize = 64 * 1024;

/// Where packages put programs for other machines.
const LIBRARY: &str = "/usr/lib/haul";

/// Digits of the digest that the name of a copy has.
const DIGITS: usize = 16;

/// A program that can be copied.
#[derive(Debug)]
pub(super) struct Binary {
    /// The file, at its first byte.
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// SHA-256, in lower-case hexadecimal digits.
    pub(super) digest: String,
}

impl Binary {
    /// Opens a file for a machine that calls its system and itself so.
    ///
    /// # Errors
    /// If there is no file, it can't be read, or it is for another machine.
    pub(super) fn open(
        named: Option<&Path>,
        system: &str,
        word: &str,
    ) -> Result<Self, InstallError> {
        let there = || format!("{system} {word}");
        let machine = Machine::of_word(word).filter(|_| system == "Linux");
        let Some(path) = named else {
            let Some(machine) = machine else {
                return Err(InstallError::NoFile { machine: there(), looked: Vec::new() });
            };
            return Self::usual(machine);
        };
        let (file, built_for) = opened(path)?;
        match (built_for, machine) {
            (BuiltFor::Known(one), Some(other)) if one == other => Self::read(file, path),
            (BuiltFor::Known(one), _) => Err(InstallError::OtherMachine {
                path: path.to_owned(),
                built_for: Some(one.name),
                there: there(),
            }),
            _ => Err(InstallError::OtherMachine {
                path: path.to_owned(),
                built_for: None,
                there: there(),
            }),
        }
    }

    /// Opens the first of the usual files that is there and for this machine.
    fn usual(machine: &'static Machine) -> Result<Self, InstallError> {
        let program = std::env::current_exe().and_then(|path| path.canonicalize());
        let looked = places(program.ok().as_deref(), machine.name);
        for path in &looked {
            match opened(path) {
                Ok((file, BuiltFor::Known(found))) if found == machine => {
                    return Self::read(file, path);
                }
                _ => {}
            }
        }
        Err(InstallError::NoFile { machine: machine.name.to_owned(), looked })
    }

    /// Reads a file for its digest.
    fn read(mut file: File, path: &Path) -> Result<Self, InstallError> {
        let (digest, bytes) = digest(&mut file).map_err(|source| unreadable(path, source))?;
        Ok(Self { file, path: path.to_owned(), bytes, digest })
    }

    /// The name of the copy, which tells one build of a version from another.
    pub(super) fn name(&self) -> String {
        format!("hauld-{}-{}", env!("CARGO_PKG_VERSION"), &self.digest[..DIGITS])
    }
}

/// Whether a file that the user names can be read and is a program of Linux.
///
/// # Errors
/// If it is not so.
pub(super) fn check(path: &Path) -> Result<(), InstallError> {
    opened(path).map(|_| ())
}

/// The places in which a program for a machine is looked for.
fn places(program: Option<&Path>, machine: &str) -> Vec<PathBuf> {
    let name = format!("hauld-{machine}");
    let beside = program.and_then(Path::parent);
    let prefix = beside.and_then(Path::parent);
    let mut places = Vec::new();
    places.extend(beside.map(|beside| beside.join(&name)));
    places.extend(prefix.map(|prefix| prefix.join("lib/haul").join(&name)));
    let library = Path::new(LIBRARY).join(&name);
    if !places.contains(&library) {
        places.push(library);
    }
    places.extend(beside.map(|beside| beside.join("hauld")));
    places
}

fn unreadable(path: &Path, source: io::Error) -> InstallError {
    InstallError::Unreadable { path: path.to_owned(), source }
}

/// Opens a program and tells its machine.
fn opened(path: &Path) -> Result<(File, BuiltFor), InstallError> {
    let failed = |source| unreadable(path, source);
    // A FIFO would be waited for.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(InstallError::NoProgram { path: path.to_owned() });
    }
    let mut file = File::open(path).map_err(failed)?;
    let mut header = Vec::with_capacity(HEADER);
    (&mut file).take(HEADER as u64).read_to_end(&mut header).map_err(failed)?;
    file.rewind().map_err(failed)?;
    match built_for(&header) {
        BuiltFor::Nothing => Err(InstallError::NoProgram { path: path.to_owned() }),
        built_for => Ok((file, built_for)),
    }
}

/// The digest and the size of a file, which is at its first byte before and after.
fn digest(file: &mut File) -> io::Result<(String, u64)> {
    let (mut context, mut bytes) = (Context::new(&SHA256), 0);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(len) => {
                context.update(&piece[..len]);
                bytes += len as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    file.rewind()?;
    Ok((HEXLOWER.encode(context.finish().as_ref()), bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A program of a machine, which no machine runs.
    fn program(code: u16) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
        bytes.extend(code.to_le_bytes());
        bytes.extend(b"abc");
        bytes
    }

    #[test]
    fn file_has_to_be_a_program_for_the_machine() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("hauld");
        fs::write(&path, program(62)).unwrap();
        let open = |system, word| Binary::open(Some(&path), system, word);
        let binary = open("Linux", "amd64").unwrap();
        assert_eq!(binary.bytes, 23);
        assert_eq!(binary.digest.len(), 64);
        assert!(binary.name().ends_with(&format!("-{}", &binary.digest[..16])));
        let told = |system, word| open(system, word).unwrap_err().to_string();
        assert!(
            told("Linux", "aarch64")
                .contains("is built for x86_64, and the machine there is Linux aarch64")
        );
        assert!(told("Darwin", "x86_64").contains("there is Darwin x86_64"));
        assert!(told("Linux", "\x1b[31m").contains("\\u{1b}"));
        fs::write(&path, "#!/bin/sh\n").unwrap();
        assert!(told("Linux", "x86_64").contains("is no program of Linux"));
        assert!(matches!(check(place.path()), Err(InstallError::NoProgram { .. })));
        fs::remove_file(&path).unwrap();
        assert!(matches!(check(&path), Err(InstallError::Unreadable { .. })));
    }

    #[test]
    fn programs_of_the_packages_come_before_the_one_beside_haul() {
        let found = places(Some(Path::new("/opt/bin/haul")), "aarch64");
        let expected = [
            "/opt/bin/hauld-aarch64",
            "/opt/lib/haul/hauld-aarch64",
            "/usr/lib/haul/hauld-aarch64",
            "/opt/bin/hauld",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
        assert_eq!(places(Some(Path::new("/usr/bin/haul")), "x86_64").len(), 3);
        assert_eq!(places(None, "x86_64"), [PathBuf::from("/usr/lib/haul/hauld-x86_64")]);
    }
}
