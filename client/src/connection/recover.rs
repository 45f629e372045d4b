//! A lost connection: its unanswered requests are sent again, or given up.

use haul_protocol::Unanswered;

use super::{Connection, Pending};
use crate::error::{ConnectionError, FileError};
use crate::work::known::Known;
use crate::work::{Item, Kind, Task};

/// Items that a lost connection leaves for its successor.
#[derive(Debug, Default)]
pub struct Left {
    /// Items that may be sent again only when the connection has been replaced by one of the same
    /// slot: until then the server may still read them from the old socket, and they would overwrite
    /// what is newer.
    pub items: Vec<Item>,
    /// Whether the request that is blamed for the loss was given up.
    pub culprit_gone: bool,
}

impl Connection<'_> {
    /// Gives back everything that has no answer. A part, commit or abort names its upload by a token, so any connection may
    /// send it at once; likewise whatever was not sent yet.
    ///
    /// A server reads requests in order, so if one of them breaks every connection that it is sent
    /// on, it is the oldest sooner or later: only that one is blamed, and given up in the end.
    pub fn leave(&mut self, reason: &ConnectionError) -> Left {
        let work = self.run.work;
        let mut unsent = self.gathered.leave();
        unsent.extend(self.bundle.leave());
        unsent.extend(self.batch.drain(..));
        work.put_back(self.number, unsent);
        self.note_unsent();
        let (unsent, mut given) = (self.wire.unsent(), 0);
        let Unanswered { oldest, newer } = self.wire.lost();
        let mut left = Left::default();
        let oldest = oldest.map(|pending| (pending, Some(self.run.settings.most_losses())));
        for (pending, most) in oldest.into_iter().chain(newer.into_iter().map(|p| (p, None))) {
            given += pending.body();
            self.run.progress.lost(pending.body());
            let spared = match pending {
                Pending::Item(item, _) => self.item_lost(item, most, reason, &mut left.items),
                Pending::Open(item, _) => {
                    work.end_large();
                    self.item_lost(item, most, reason, &mut left.items)
                }
                Pending::Part(large, index, _) => {
                    let spared = large.parts().lost(index, most);
                    if spared {
                        work.add_large(large);
                    } else {
                        self.end_large(&large, self.lost_too_often(reason));
                    }
                    spared
                }
                // The client does not ask this again: it asks for the bytes before the commit.
                Pending::Look(large) => {
                    self.go_on(large);
                    true
                }
                // If the client has to ask for the bytes, it does so before each commit.
                Pending::Bytes(large) | Pending::Commit(large) => {
                    let spared = large.parts().commit_lost(most);
                    if spared {
                        work.add_urgent(Task::Commit(large));
                    } else {
                        self.end_large(&large, self.lost_too_often(reason));
                    }
                    spared
                }
                Pending::Abort(mut abort) => {
                    let spared = most.is_none_or(|most| abort.item.tries.count_loss(most));
                    if spared {
                        work.add_urgent(Task::Abort(abort));
                    } else {
                        self.give_up(abort.item, &abort.error);
                    }
                    spared
                }
                Pending::Check(mut items) => {
                    let asked = items.len();
                    self.retain_spared(&mut items, most, reason);
                    let spared = items.len() == asked;
                    if self.run.policy.is_publish() {
                        // The server may carry out an adopt, a change of the draft, after its connection is lost.
                        left.items.extend(items);
                    } else {
                        // A check changes nothing, so any connection may ask at once.
                        work.put_back(self.number, items);
                    }
                    spared
                }
                Pending::List(item) | Pending::Publish(item) => {
                    self.item_lost(item, most, reason, &mut left.items)
                }
            };
            left.culprit_gone |= !spared;
        }
        self.run.progress.not_sent(unsent.min(given));
        left
    }

    fn item_lost(
        &self,
        mut item: Item,
        most: Option<u32>,
        reason: &ConnectionError,
        left: &mut Vec<Item>,
    ) -> bool {
        item.tries.lost = true;
        let spared = most.is_none_or(|most| item.tries.count_loss(most));
        if matches!(item.kind, Kind::Remove(_)) {
            // It may have happened since the server was asked about it.
            item.compared.known = Known::Unasked;
        }
        if spared {
            left.push(item);
        } else {
            self.give_up(item, &self.lost_too_often(reason));
        }
        spared
    }

    /// The items of a comparison are blamed together. The client asks about each of them alone from then on
    /// ([`check`](Self::check)), so that only the one that breaks connections is given up in the end.
    fn retain_spared(&self, items: &mut Vec<Item>, most: Option<u32>, reason: &ConnectionError) {
        let Some(most) = most else { return };
        let is_given_up = |item: &mut Item| !item.tries.count_loss(most);
        for item in items.extract_if(.., is_given_up) {
            self.give_up(item, &self.lost_too_often(reason));
        }
    }

    fn lost_too_often(&self, reason: &ConnectionError) -> FileError {
        FileError::Lost { times: self.run.settings.most_losses() + 1, reason: reason.to_string() }
    }
}
