//! Before a connection sends an entry, it makes the private directories above the entry that the server has not acknowledged.

use super::Connection;
use crate::work::private::is_private;
use crate::work::{Item, Kind};

/// Directories at which the connection forgets those that the server has acknowledged: far more than can be under way.
const MOST: usize = 32 * 1024;

impl Connection<'_> {
    /// The item, if this connection has sent all private directories above it, or the server has them. Otherwise these come
    /// first, and the item after them.
    pub(super) fn after_private(&mut self, item: Item) -> Option<Item> {
        let (work, unmade) = (self.run.work, self.run.course.unmade());
        if unmade.is_empty() {
            self.private.clear();
            return Some(item);
        }
        if !matches!(item.kind, Kind::File | Kind::Link | Kind::Directory(_)) {
            return Some(item);
        }
        let mut above = unmade.above(&item.name);
        above.retain(|directory| !self.private.contains(&directory.name));
        if above.is_empty() {
            if is_private(&item) {
                if self.private.len() >= MOST {
                    self.private.retain(|name| unmade.has(name));
                }
                self.private.insert(item.name.clone());
            }
            return Some(item);
        }
        work.found(above.len());
        self.batch.push_front(item);
        above.into_iter().rev().for_each(|directory| self.batch.push_front(directory));
        None
    }
}
