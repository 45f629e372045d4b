//! A removal whose answer was lost with its connection. If the server has removed the entry, another may have come under its
//! name since: before the client asks for the removal again, it asks the server what is there now.

use haul_protocol::{Entry, EntryKind, Op, Verdict, encode_entry};

use super::{Connection, Pending, Sent};
use crate::error::ConnectionError;
use crate::work::{Item, Kind, Removal};

/// An entry that may have come while the connection was lost is not removed.
const NEWER: &str = "the connection was lost before the server answered whether this was removed, and the entry that is \
    there now may have come since, so it stays; run the command again to remove it too";

impl Connection<'_> {
    /// Asks the server how the entry of its name differs from the one that was to go.
    pub(super) fn ask_about_removal(
        &mut self,
        item: &Item,
        removal: &Removal,
    ) -> Result<(), ConnectionError> {
        // A device, socket or FIFO can't be compared, only missed.
        let kind = match &removal.entry.kind {
            EntryKind::Other => EntryKind::Directory,
            kind => kind.clone(),
        };
        let (mut line, entry) = (Vec::new(), Entry { kind, ..removal.entry.clone() });
        encode_entry(&entry, &mut line)?;
        self.send_bundle()?;
        self.asked += 1;
        self.wire.request(Pending::Check(vec![item.clone()]), &Op::Check { reread: false }, &line)
    }

    /// The server has told of the entry: the client counts it as removed, asks for the removal again, or leaves the entry.
    /// Returns how many items are settled by that.
    pub(super) fn looked_at_again(&mut self, mut item: Item, verdict: Option<Verdict>) -> usize {
        let Kind::Remove(removal) = &item.kind else { return 0 };
        let is_comparable = removal.entry.kind != EntryKind::Other;
        match verdict {
            Some(Verdict::Missing) => self.done(Pending::Item(item, Sent::default())),
            Some(Verdict::Same) if is_comparable => {
                item.compared.known = verdict.into();
                self.batch.push_back(item);
                0
            }
            _ => {
                self.run.progress.failed(&item.path, &NEWER);
                self.stays(removal);
                1
            }
        }
    }
}
