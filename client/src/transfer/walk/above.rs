//! Before a dry run: what stands at the server above the destination.

use std::collections::HashSet;

use haul_protocol::Name;

use super::Walk;
use crate::plan::Plan;
use crate::work::{Item, Kind, Stopped};

impl Walk<'_> {
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
}
