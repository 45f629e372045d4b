//! The parts of a program's header that packages depend on: its machine, and whether it needs libraries.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

/// The type of the segment that names the loader of libraries.
const INTERPRETER: u32 = 3;

/// A program of Linux of 64 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) machine: Machine,
    /// The loader of its libraries; none of a static one.
    pub(crate) interpreter: Option<String>,
    /// The newest version of glibc that it needs a function of.
    pub(crate) glibc: Option<(u32, u32)>,
    pub(crate) bytes: Vec<u8>,
}

/// A machine, as different people call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    X86,
    Arm,
}

impl Machine {
    /// As `uname -m` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "aarch64",
        }
    }

    /// As Debian, Go and container images have it.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::X86 => "amd64",
            Self::Arm => "arm64",
        }
    }
}

impl Program {
    /// Reads a program.
    ///
    /// # Errors
    /// If it can't be read, or is for a machine that packages have no name for.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        Self::of(bytes).with_context(|| path.display().to_string())
    }

    fn of(bytes: Vec<u8>) -> anyhow::Result<Self> {
        if !bytes.starts_with(b"\x7fELF\x02\x01") {
            bail!("no program of Linux with 64 bits, the low byte first");
        }
        let machine = match number(&bytes, 18, 2)? {
            62 => Machine::X86,
            183 => Machine::Arm,
            other => bail!("a program for machine {other}, which packages have no name for"),
        };
        let (table, size, count) =
            (number(&bytes, 32, 8)?, number(&bytes, 54, 2)?, number(&bytes, 56, 2)?);
        let mut interpreter = None;
        for index in 0..count {
            let at = table + index * size;
            if number(&bytes, at, 4)? == u64::from(INTERPRETER) {
                let (from, len) = (number(&bytes, at + 8, 8)?, number(&bytes, at + 32, 8)?);
                let name = slice(&bytes, from, len)?;
                let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
                interpreter = Some(name);
            }
        }
        let glibc = interpreter.is_some().then(|| newest(&bytes)).flatten();
        Ok(Self { machine, interpreter, glibc, bytes })
    }
}

fn slice(bytes: &[u8], from: u64, len: u64) -> anyhow::Result<&[u8]> {
    let range = usize::try_from(from)?..usize::try_from(from.saturating_add(len))?;
    bytes.get(range).context("a header that points behind the end of the file")
}

/// A number of `len` bytes.
fn number(bytes: &[u8], at: u64, len: u64) -> anyhow::Result<u64> {
    let bytes = slice(bytes, at, len)?;
    Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The newest version that a program names as `GLIBC_2.34`.
fn newest(bytes: &[u8]) -> Option<(u32, u32)> {
    let mark = b"\0GLIBC_";
    let places = bytes.windows(mark.len()).enumerate().filter(|(_, window)| window == mark);
    let versions = places.filter_map(|(at, _)| {
        let text = bytes[at + mark.len()..].split(|byte| *byte == 0).next()?;
        let mut numbers = std::str::from_utf8(text).ok()?.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_itself_needs_the_libc_of_this_machine() -> anyhow::Result<()> {
        let program = Program::read(&std::env::current_exe()?)?;
        assert_eq!(program.machine.name(), std::env::consts::ARCH);
        assert!(program.interpreter.is_some_and(|name| name.contains("/ld-linux")));
        assert!(
            program.glibc > Some((2, 10)) && program.glibc < Some((3, 0)),
            "{:?}",
            program.glibc
        );
        Ok(())
    }

    #[test]
    fn header_that_is_cut_or_lies_is_an_error() {
        assert!(Program::of(b"#!/bin/sh\n".to_vec()).is_err());
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(18, 0);
        assert!(Program::of(bytes.clone()).is_err());
        bytes.extend(62_u16.to_le_bytes());
        bytes.resize(64, 0xff);
        assert!(Program::of(bytes).is_err());
    }
}
