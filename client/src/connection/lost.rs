//! What a connection leaves behind when it is lost.

use std::sync::Arc;

use super::{Connection, Pending};
use crate::error::{ConnectionError, FileError};
use crate::large::Large;
use crate::work::{Item, Task};

impl Connection<'_> {
    /// Gives back everything that has no answer. Parts, commits and aborts are what they say they
    /// are, so any connection may send them at once; so may it what was not sent yet. The items that
    /// are returned may be sent again only when this connection has been replaced by one of the same
    /// slot: until then the server may still read them from the old socket, and they would overwrite
    /// what is newer.
    pub fn leave(&mut self, reason: &ConnectionError) -> Vec<Item> {
        let work = self.run.work;
        work.put_back(self.number, std::mem::take(&mut self.batch).into());
        let left: Vec<Pending> = self.book.drain().collect();
        let mut items = Vec::new();
        for pending in left {
            match pending {
                Pending::Item(item, _) => items.extend(self.survivor(item, reason)),
                Pending::Open(item, _) => {
                    work.end_large();
                    items.extend(self.survivor(item, reason));
                }
                Pending::Part(large, index, _) => {
                    if large.lost(index, self.run.retries) {
                        work.add_large(large);
                    } else {
                        self.lost_too_often(&large, reason);
                    }
                }
                Pending::Commit(large) => {
                    if large.commit_lost(self.run.retries) {
                        work.add_urgent(Task::Commit(large));
                    } else {
                        self.lost_too_often(&large, reason);
                    }
                }
                Pending::Abort(mut abort) => {
                    abort.item.losses += 1;
                    if abort.item.losses <= self.run.retries {
                        work.add_urgent(Task::Abort(abort));
                    } else {
                        self.give_up(abort.item, &abort.error);
                    }
                }
                Pending::Ping => {}
            }
        }
        items
    }

    /// The item, unless every connection breaks that it is sent on.
    fn survivor(&self, mut item: Item, reason: &ConnectionError) -> Option<Item> {
        item.losses += 1;
        if item.losses <= self.run.retries {
            return Some(item);
        }
        let error = FileError::Lost { times: item.losses, reason: reason.to_string() };
        self.give_up(item, &error);
        None
    }

    fn lost_too_often(&self, large: &Arc<Large>, reason: &ConnectionError) {
        let times = self.run.retries + 1;
        self.end_large(large, FileError::Lost { times, reason: reason.to_string() });
    }
}
