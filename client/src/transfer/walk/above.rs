//! Before a run: whether the server has the destination, and what stands above it.

use std::collections::HashSet;
use std::path::Path;

use haul_protocol::Name;

use super::Walk;
use crate::plan::{Plan, Root};
use crate::source::file_list::ReadBefore;
use crate::source::from_bytes;
use crate::work::{Item, Kind, Stopped};

impl Walk<'_> {
    /// Asks which destinations of `put` are missing at the server: a directory that the client makes is like its source, and one
    /// that is there stays as it is.
    pub(super) fn destinations(&self, plan: &Plan) -> Result<(), Stopped> {
        let mut known = HashSet::new();
        let roots = plan.roots.iter().filter(|root| root.contents);
        let items = roots.filter_map(|root| {
            let name = root.target.clone().filter(|name| known.insert(name.clone()))?;
            let item = Item::new(root.source.clone(), name, Kind::Directory(None));
            Some(Item { above: true, ..item })
        });
        let items: Vec<_> = items.collect();
        if items.is_empty() {
            return Ok(());
        }
        self.work.push(items)?;
        self.work.drain()
    }

    /// Asks about all directories above the destination. Where one is a file or symlink, nothing would be sent, but the server
    /// calls everything below missing.
    pub(super) fn above(&self, plan: &Plan) -> Result<(), Stopped> {
        let mut known = HashSet::new();
        let mut items = Vec::new();
        for root in &plan.roots {
            let mut target = root.target.clone();
            while let Some(name) = target.and_then(|name| Name::parse(name.split().0).ok()) {
                if !known.insert(name.clone()) {
                    break;
                }
                let item = Item::new(root.source.clone(), name.clone(), Kind::Directory(None));
                items.push(Item { above: true, ..item });
                target = Some(name);
            }
        }
        self.work.push(items)?;
        self.work.drain()
    }

    /// In a dry run, the questions about the directories above an entry of a list, from the top: the list need not name them,
    /// and below a file or symlink the entry would fail. `asked`: those that the client has asked about.
    pub(super) fn above_name(&self, root: &Root, item: &Item, asked: &mut ReadBefore) -> Vec<Item> {
        let mut above = Vec::new();
        if !self.policy.dry_run || self.policy.verifies() {
            return above;
        }
        let mut below = item.name.clone();
        while let Ok(name) = Name::parse(below.split().0) {
            if !asked.is_new(Path::new(&from_bytes(name.as_bytes()))) {
                break;
            }
            let item = Item::new(root.source.clone(), name.clone(), Kind::Directory(None));
            above.push(Item { above: true, ..item });
            below = name;
        }
        above.reverse();
        above
    }
}
