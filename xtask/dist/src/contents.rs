//! The files that packages are made of.

use std::fs;

use anyhow::{Context, ensure};

use crate::elf::Program;
use crate::files::Files;
use crate::programs::Programs;
use crate::{links, pages, workspace};

/// The example of a file of settings, which is the first one that a package installs.
pub(crate) const SETTINGS: &str = include_str!("../hauld.toml");
pub(crate) const UNIT: &str = include_str!("../hauld.service");
/// For owners who have systemd listen.
pub(crate) const SOCKET: &str = include_str!("../hauld.socket");
pub(crate) const USER: &str = include_str!("../hauld.sysusers");

/// Documents for users, and for owners of servers. They link each other, so all of them are in each package.
const DOCUMENTS: [&str; 18] = [
    "README.md",
    "PROTOCOL.md",
    "SECURITY.md",
    "docs/accounts.md",
    "docs/connections.md",
    "docs/durability.md",
    "docs/http.md",
    "docs/json.md",
    "docs/memory-bounds.md",
    "docs/metrics.md",
    "docs/operations.md",
    "docs/publish.md",
    "docs/reading.md",
    "docs/resume.md",
    "docs/security.md",
    "docs/ssh.md",
    "docs/store.md",
    "docs/sync.md",
];
/// For owners of servers alone.
const OF_HAULD: [&str; 2] = ["xtask/dist/hauld.dashboard.json", "xtask/dist/hauld.rules.yml"];

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
            haul_documents: documents(&DOCUMENTS)?,
            hauld_documents: documents(&[&DOCUMENTS[..], &OF_HAULD].concat())?,
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

/// Documents by their last names, with links that lead from one to the other.
fn documents(names: &[&str]) -> anyhow::Result<Files> {
    let mut files = Files::default();
    for name in names {
        let text = match name.ends_with(".md") {
            true => links::beside(&text(name)?, name, names),
            false => text(name)?,
        };
        files.add(links::last(name), 0o644, text);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_of_a_package_link_nothing_that_is_not_there() {
        for names in [&DOCUMENTS[..], &[&DOCUMENTS[..], &OF_HAULD].concat()] {
            let documents = documents(names).unwrap();
            let there: Vec<&str> = documents.files().map(|(name, ..)| name).collect();
            assert_eq!(there.len(), names.len(), "two documents of one name");
            let mut count = 0;
            for (name, _, bytes) in documents.files().filter(|(name, ..)| name.ends_with(".md")) {
                let text = std::str::from_utf8(bytes).unwrap();
                let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
                for link in links.filter(|link| !link.contains("://")) {
                    let path = link.split('#').next().unwrap();
                    assert!(path.is_empty() || there.contains(&path), "{name}: {link}");
                    count += 1;
                }
            }
            assert!(count > 100, "{count}");
        }
    }
}
