//! Sources of the races: trees and files, made anew from a seed or copied.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use haul_tests::random::Random;
use serde::Serialize;
use walkdir::WalkDir;

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Workload {
    /// 100,000 small files in 1,000 directories.
    Tiny,
    /// The Rust toolchain.
    Toolchain,
    /// `/usr/share`.
    Share,
    /// One file of 4 GiB that can't be compressed.
    Big,
    /// 5,000 small files on a real disk, flushed.
    Durable,
    /// 10,000 small files and one of 256 MiB over a line of 50 ms each way.
    Far,
    /// 100,000 small files that are all there already.
    Same,
    /// `/usr/share`, all of it there already.
    SameShare,
    /// The files of `tiny`, read back from a server.
    GetTiny,
    /// The file of `big`, read back from a server.
    GetBig,
    /// 20,000 small files over ssh.
    SshTiny,
    /// One file of 1 GiB over ssh.
    SshBig,
}

/// The way that files take between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The client has them, and sends them.
    Send,
    /// The server has them, and the client reads them back.
    Read,
}

/// The amounts of the workloads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amounts {
    pub(crate) tiny: usize,
    pub(crate) big_mib: usize,
}

impl Workload {
    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Toolchain => "toolchain",
            Self::Share => "share",
            Self::Big => "big",
            Self::Durable => "durable",
            Self::Far => "far",
            Self::Same => "same",
            Self::SameShare => "same-share",
            Self::GetTiny => "get-tiny",
            Self::GetBig => "get-big",
            Self::SshTiny => "ssh-tiny",
            Self::SshBig => "ssh-big",
        }
    }

    /// The side that has the source.
    pub(crate) fn direction(self) -> Direction {
        match self {
            Self::GetTiny | Self::GetBig => Direction::Read,
            _ => Direction::Send,
        }
    }

    /// Whether ssh carries the bytes.
    pub(crate) fn is_over_ssh(self) -> bool {
        matches!(self, Self::SshTiny | Self::SshBig)
    }

    /// Whether all files have arrived before.
    pub(crate) fn is_there(self) -> bool {
        matches!(self, Self::Same | Self::SameShare)
    }

    /// Makes the source in `directory`, under the workload's name.
    pub(crate) fn make(self, directory: &Path, amounts: Amounts) -> anyhow::Result<PathBuf> {
        let source = directory.join(self.name());
        match self {
            Self::Tiny | Self::Same | Self::GetTiny => small(&source, amounts.tiny)?,
            Self::Toolchain => {
                let output = Command::new("rustc").args(["--print", "sysroot"]).output()?;
                copy(Path::new(String::from_utf8(output.stdout)?.trim()), &source)?;
            }
            Self::Share | Self::SameShare => copy(Path::new("/usr/share"), &source)?,
            Self::Big | Self::GetBig => noise(&source, amounts.big_mib)?,
            Self::SshTiny => small(&source, amounts.tiny / 5)?,
            Self::SshBig => noise(&source, amounts.big_mib / 4)?,
            Self::Durable => small(&source, 5000)?,
            Self::Far => {
                small(&source, 10_000)?;
                noise(&source.join("large"), 256)?;
            }
        }
        Ok(source)
    }
}

/// Files after which the sizes of [`small`] come again.
const SAME_SIZES: usize = 10_000;

/// Files of a log-normal size around 1.5 KB, 3 KB on average, 100 in a directory.
///
/// Their sizes come again and again, so that a larger tree holds more files and not larger ones.
pub(crate) fn small(root: &Path, count: usize) -> anyhow::Result<()> {
    let mut random = Random::new(1, 0);
    let mut bytes = noise_block(1 << 20);
    for index in 0..count {
        let parent = root.join(format!("d{:04}", index / 100));
        if index % 100 == 0 {
            fs::create_dir_all(&parent)?;
        }
        if index % SAME_SIZES == 0 {
            random = Random::new(1, 0);
        }
        let mut unit = || (random.number() >> 11) as f64 / (1_u64 << 53) as f64;
        // Box and Muller, 1958. The mean is the median times e^(s^2/2), so s^2 is 2 ln 2.
        let normal = (-2.0 * (1.0 - unit()).ln()).sqrt() * (std::f64::consts::TAU * unit()).cos();
        let size = 1500.0 * (normal * (2.0 * std::f64::consts::LN_2).sqrt()).exp();
        #[expect(clippy::cast_possible_truncation, reason = "it ends at the largest number")]
        let len = (size as usize).clamp(1, bytes.len());
        bytes[..8].copy_from_slice(&(index as u64).to_le_bytes());
        fs::write(parent.join(format!("f{index}")), &bytes[..len])?;
    }
    Ok(())
}

fn noise(path: &Path, mebibytes: usize) -> anyhow::Result<()> {
    let mut file = File::create(path)?;
    let mut block = noise_block(1 << 20);
    for index in 0..mebibytes {
        block[..8].copy_from_slice(&(index as u64).to_le_bytes());
        file.write_all(&block)?;
    }
    Ok(())
}

fn noise_block(len: usize) -> Vec<u8> {
    let mut random = Random::new(2, 0);
    (0..len / 8).flat_map(|_| random.number().to_le_bytes()).collect()
}

pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "cp ended with {status}");
    Ok(())
}

/// Every so many-th file of a tree, or the first part of a file; under the same name in `directory`.
pub(crate) fn sample(source: &Path, directory: &Path, part: u64) -> anyhow::Result<PathBuf> {
    let name = source.file_name().context("a source has a name")?;
    let target = directory.join(name);
    if source.is_file() {
        let len = source.metadata()?.len() / part;
        std::io::copy(&mut File::open(source)?.take(len), &mut File::create(&target)?)?;
        return Ok(target);
    }
    let mut files = 0;
    for entry in WalkDir::new(source).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file() {
            if files % part == 0 {
                let to = target.join(entry.path().strip_prefix(source)?);
                fs::create_dir_all(to.parent().context("below the target")?)?;
                fs::copy(entry.path(), to)?;
            }
            files += 1;
        }
    }
    // A peer may take the mtime of a directory that it has made for right if it is right to the second.
    let earlier = SystemTime::now() - Duration::from_secs(3600);
    for entry in WalkDir::new(&target) {
        let entry = entry?;
        if entry.file_type().is_dir() {
            File::open(entry.path())?.set_modified(earlier)?;
        }
    }
    Ok(target)
}

/// Regular files, and their bytes.
pub(crate) fn count(source: &Path) -> anyhow::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in WalkDir::new(source) {
        let entry = entry?;
        if entry.file_type().is_file() {
            files += 1;
            bytes += entry.metadata()?.len();
        }
    }
    Ok((files, bytes))
}

/// Reads all files, so that they are in memory.
pub(crate) fn warm(source: &Path) -> anyhow::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    for entry in WalkDir::new(source) {
        let entry = entry?;
        if entry.file_type().is_file() {
            let mut file = File::open(entry.path())?;
            while file.read(&mut buffer)? > 0 {}
        }
    }
    Ok(())
}
