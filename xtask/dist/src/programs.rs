//! The programs that are packed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use haul_tests::binaries::{self, Binaries};

use crate::Linking;
use crate::elf;

/// The program of a client and of a server.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The path of haul.
    pub haul: PathBuf,
    /// The path of hauld.
    pub hauld: PathBuf,
}

impl Programs {
    /// Builds both for release.
    ///
    /// # Errors
    /// If static ones are asked for and the target is missing, or cargo fails.
    pub(crate) fn build(linking: Linking) -> anyhow::Result<Self> {
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let is_there = has_target(&target);
        if linking == Linking::Static && !is_there {
            bail!("static programs need the target {target}: rustup target add {target}");
        }
        if linking == Linking::Auto && !is_there {
            println!(
                "dynamic programs, for rustup has no target {target}: rustup target add {target}"
            );
        }
        let is_static = linking != Linking::Dynamic && is_there;
        let built = binaries::build_for(true, is_static.then_some(target.as_str()));
        let Binaries { haul, hauld } = built.with_context(|| match is_static {
            true => "static programs need a C compiler for musl: musl-gcc of musl-tools",
            false => "the programs",
        })?;
        for program in [&haul, &hauld].into_iter().filter(|_| is_static) {
            let is_alone = elf::Program::read(program)?.interpreter.is_none();
            ensure!(is_alone, "{} is not static", program.display());
        }
        Ok(Self { haul, hauld })
    }
}

/// Whether the standard library is there for a target.
fn has_target(target: &str) -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output =
        Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    let directory = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    directory.is_some_and(|directory| Path::new(directory.trim()).is_dir())
}
