//! One of two accounts: its source, its runs of haul, and its root at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use haul_tests::tree;

use super::plan::{Change, Verb};
use crate::Setting;
use crate::client::{Acks, Client};

/// The name of the source, which both accounts have, and of the same directory at the server.
pub(super) const TREE: &str = "tree";

/// Files that a source has at most.
const FILES: u64 = 60;

/// An account, with all that its clients have here.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    /// Directory of its source and of haul's files.
    directory: PathBuf,
    /// Tells its bytes from all others.
    version: u64,
    /// The same for files by hand.
    pub(crate) salt: u64,
    pub(crate) token: String,
}

impl Member {
    /// Makes the source.
    pub(crate) fn new(
        (name, salt): (&'static str, u64),
        above: &Path,
        token: String,
    ) -> anyhow::Result<Self> {
        let directory = above.join(name);
        fs::create_dir_all(directory.join(TREE))?;
        let mut member = Self { name, directory, version: 0, salt, token };
        let all = (0..FILES).map(|file| Change { file, len: Some(3000) });
        let large = Change { file: 0, len: Some(5 << 20) };
        member.change(&all.chain([large]).collect::<Vec<_>>())?;
        Ok(member)
    }

    /// The directory of haul's files.
    pub(crate) fn files(&self) -> PathBuf {
        self.directory.join("haul")
    }

    /// The next version of the source.
    pub(crate) fn change(&mut self, changes: &[Change]) -> anyhow::Result<()> {
        self.version += 1;
        for change in changes {
            let (file, tree) = (change.file % FILES, self.directory.join(TREE));
            let path = tree.join(format!("d{}", file % 3)).join(format!("f{file}"));
            match change.len {
                Some(len) => {
                    fs::create_dir_all(path.parent().context("a parent")?)?;
                    fs::write(path, self.bytes(file, len))?;
                }
                None if path.exists() => fs::remove_file(path)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Bytes that no other account, version or file has.
    pub(crate) fn bytes(&self, file: u64, len: usize) -> Vec<u8> {
        let stamp = format!("{} {} {file} ", self.name, self.version);
        stamp.bytes().cycle().take(len).collect()
    }

    /// Starts a run of haul.
    pub(crate) fn start(
        &self,
        setting: &Setting<'_>,
        address: &str,
        (verb, connections): (Verb, u64),
        acks: &Arc<Acks>,
    ) -> anyhow::Result<Client> {
        let words: &[&str] = match verb {
            Verb::Put => &["put"],
            Verb::Sync => &["sync", "--delete"],
            Verb::Publish => &["publish"],
        };
        let destination = match verb {
            Verb::Publish => format!("{address}/{TREE}"),
            _ => address.to_owned(),
        };
        let connections = connections.to_string();
        let words = [words, &["--connections", &connections, TREE, &destination]].concat();
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let places = (self.directory.as_path(), &*self.files());
        Client::start(&setting.binaries.haul, places, &words, setting.logs, acks)
    }

    /// Name in the server's root, size and digest of each file of the source.
    pub(crate) fn sources(&self) -> anyhow::Result<Vec<(String, u64, String)>> {
        let mut sources = Vec::new();
        for file in 0..FILES {
            let name = format!("{TREE}/d{}/f{file}", file % 3);
            let path = self.directory.join(&name);
            if path.exists() {
                let bytes = fs::read(path)?;
                let digest = blake3::hash(&bytes).to_string();
                sources.push((format!("{}/{name}", self.name), bytes.len() as u64, digest));
            }
        }
        Ok(sources)
    }

    /// The directory at the server is the source, entry for entry.
    pub(crate) fn check_tree(&self, root: &Path) -> anyhow::Result<u64> {
        let found = root.join(self.name).join(TREE);
        let compared = tree::compare(&self.directory.join(TREE), &found);
        Ok(compared.with_context(|| format!("the tree of {}", self.name))?.files)
    }
}
