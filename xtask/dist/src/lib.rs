//! `cargo xtask dist`: haul and hauld as users get them.
//!
//! [`Programs`] are built, or taken as they are; [`pack`] makes all packages from them. The same programs and the same
//! commit give the same bytes: names are sorted, owners are 0, and every time is that of the commit.

#![expect(clippy::print_stdout, reason = "chores report to whoever runs them")]

mod archive;
mod contents;
mod deb;
mod elf;
mod files;
mod image;
mod links;
mod pages;
mod programs;
mod sums;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};

use contents::Contents;
pub use programs::Programs;

/// The version of all packages.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Options of the chore.
#[derive(Debug, Args)]
pub struct Options {
    /// Directory for the packages [default: target/dist].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// How the programs are linked: "static" with musl, so that they run on every Linux; "dynamic" with the libc of this
    /// machine; "auto" static if rustup has the target for it, and otherwise dynamic.
    #[arg(long, value_enum, default_value = "auto", value_name = "HOW")]
    linking: Linking,
}

/// The way in which programs are linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Linking {
    /// Static if the target is there.
    Auto,
    /// With musl.
    Static,
    /// With the libc of this machine.
    Dynamic,
}

/// The directory of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Builds and packs.
///
/// # Errors
/// If the programs can't be built, or a package can't be written.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let programs = Programs::build(options.linking)?;
    let place = options.dir.clone().unwrap_or_else(|| workspace().join("target/dist"));
    for path in pack(&programs, commit_time()?, &place)? {
        println!("{}", path.display());
    }
    Ok(())
}

/// Makes all packages in a directory, and a list of their digests; returns their paths. `time`, in seconds, is that of every
/// entry.
///
/// # Errors
/// If a program is none of Linux, or a package can't be written.
pub fn pack(programs: &Programs, time: u64, place: &Path) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(place).with_context(|| place.display().to_string())?;
    let contents = Contents::of(programs)?;
    let mut made = Vec::new();
    for package in [deb::haul(&contents)?, deb::hauld(&contents)?] {
        made.push((package.file_name(), package.bytes(time)?));
    }
    made.push(archive::archive(&contents, time)?);
    if contents.is_static() {
        made.push(image::image(&contents, time)?);
    } else {
        println!("no image: it has hauld alone, which has to be static for that");
    }
    made.sort();
    let listed = made.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    made.push((String::from("SHA256SUMS"), sums::list(listed).into_bytes()));
    let write = |(name, bytes): (String, Vec<u8>)| {
        let path = place.join(name);
        fs::write(&path, bytes).with_context(|| path.display().to_string())?;
        Ok(path)
    };
    made.into_iter().map(write).collect()
}

/// The time of the commit that is checked out, or the one that `SOURCE_DATE_EPOCH` says.
fn commit_time() -> anyhow::Result<u64> {
    if let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") {
        return text.parse().context("SOURCE_DATE_EPOCH is no number of seconds");
    }
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%ct"]).current_dir(workspace());
    let output = git.output().context("could not run git; SOURCE_DATE_EPOCH takes its place")?;
    ensure!(output.status.success(), "git knows no commit; SOURCE_DATE_EPOCH takes its place");
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
