//! The files that packages are made of.

use std::fs;

use anyhow::{Context, ensure};

use crate::elf::Program;
use crate::files::Files;
use crate::programs::Programs;
use crate::{pages, workspace};

/// The example of a file of settings, which is the first one that a package installs.
pub(crate) const SETTINGS: &str = include_str!("../hauld.toml");
pub(crate) const UNIT: &str = include_str!("../hauld.service");
/// For owners who have systemd listen.
pub(crate) const SOCKET: &str = include_str!("../hauld.socket");
pub(crate) const USER: &str = include_str!("../hauld.sysusers");

/// Documents for users, and for owners of servers.
const OF_HAUL: [&str; 3] = ["README.md", "docs/ssh.md", "PROTOCOL.md"];
const OF_HAULD: [&str; 8] = [
    "README.md",
    "docs/operations.md",
    "docs/security.md",
    "docs/accounts.md",
    "docs/http.md",
    "docs/metrics.md",
    "xtask/dist/hauld.dashboard.json",
    "xtask/dist/hauld.rules.yml",
];

/// The parts of all packages.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) haul: Program,
    pub(crate) hauld: Program,
    /// Man pages below `share/man`.
    pub(crate) haul_pages: Files,
    pub(crate) hauld_pages: Files,
    pub(crate) haul_documents: Files,
    pub(crate) hauld_documents: Files,
    pub(crate) changes: Vec<u8>,
    /// Both licences.
    pub(crate) licence: String,
}

impl Contents {
    /// With these programs.
    ///
    /// # Errors
    /// If one is no program of Linux, they are for different machines, or a document is missing.
    pub(crate) fn of(programs: &Programs) -> anyhow::Result<Self> {
        let (haul, hauld) = (Program::read(&programs.haul)?, Program::read(&programs.hauld)?);
        ensure!(haul.machine == hauld.machine, "haul and hauld are for different machines");
        let licence = format!(
            "haul is licensed under either of the following licences, as you like.\n\n{}\n{}",
            text("LICENSE-MIT")?,
            text("LICENSE-APACHE")?
        );
        Ok(Self {
            haul,
            hauld,
            haul_pages: pages::of_haul()?,
            hauld_pages: pages::of_hauld()?,
            haul_documents: documents(&OF_HAUL)?,
            hauld_documents: documents(&OF_HAULD)?,
            changes: text("CHANGELOG.md")?.into_bytes(),
            licence,
        })
    }

    /// Whether hauld runs on every Linux of its machine.
    pub(crate) fn is_static(&self) -> bool {
        self.hauld.interpreter.is_none()
    }

    /// The completions of both programs below `share`.
    pub(crate) fn completions(zsh: &str) -> anyhow::Result<[Files; 2]> {
        Ok([
            pages::completions(haul_client::cli::command(), "haul", zsh)?,
            pages::completions(haul_server::cli::command(), "hauld", zsh)?,
        ])
    }
}

fn text(name: &str) -> anyhow::Result<String> {
    fs::read_to_string(workspace().join(name)).with_context(|| name.to_owned())
}

/// Documents by their last names.
fn documents(names: &[&str]) -> anyhow::Result<Files> {
    let mut files = Files::default();
    for name in names {
        let last = name.rsplit('/').next().unwrap_or(name);
        files.add(last, 0o644, text(name)?);
    }
    Ok(files)
}
