//! A large file whose parts the server all holds when the client opens it. They may be the parts of the committed file, in
//! which somebody may have changed bytes since and put the mtime back: the client commits it again only if its bytes are
//! right.

use std::sync::Arc;

use haul_protocol::{Attributes, Digest, Entry, EntryKind, Op, Verdict, encode_entry};

use super::{Connection, Pending};
use crate::error::ConnectionError;
use crate::work::Task;
use crate::work::known::Known;
use crate::work::multipart::Large;

impl Connection<'_> {
    /// Whether the server may have a file already, because it holds all parts, none of which this run has sent, and the
    /// account may ask about it. A file that was opened with `replace` has no parts of the committed file, and nobody else
    /// changes a draft.
    pub(super) fn may_be_there(&self, large: &Large) -> bool {
        let item = &large.item;
        self.may_list
            && !self.run.policy.is_publish()
            && !item.compared.known.is(Verdict::Digest)
            && item.opened.is_none()
            && large.resumed == large.geometry.size()
    }

    /// Asks whether the server has a file as it is here, as far as size, mode and mtime tell.
    pub(super) fn ask_whether_there(&mut self, large: Arc<Large>) -> Result<(), ConnectionError> {
        // If the answer is lost, the bytes are compared.
        large.doubt(true);
        let line = line(&large, None)?;
        self.request_check(Pending::Look(large), &line)
    }

    /// The server has told of size, mode and mtime. If size or mtime differ, it has the parts from an upload that was
    /// interrupted, each of them verified.
    pub(super) fn looked(&self, large: Arc<Large>, letters: &[u8]) {
        let verdict = letters.first().copied().and_then(Verdict::from_letter);
        let may_be_the_file = matches!(verdict, None | Some(Verdict::Same | Verdict::Mode));
        large.doubt(may_be_the_file);
        // In an earlier try this run may have committed it.
        let is_first = large.item.tries.reopened == 0;
        if verdict == Some(Verdict::Same) && large.item.compared.known == Known::Unasked && is_first
        {
            self.run.progress.not_resumed(large.resumed);
            large.was_there();
        }
        self.go_on(large);
    }

    /// Asks whether the server's file has the bytes that are here. For that the server reads the file.
    pub(super) fn ask_for_bytes(
        &mut self,
        large: Arc<Large>,
        digest: Digest,
    ) -> Result<(), ConnectionError> {
        let (line, size) = (line(&large, Some(digest))?, large.geometry.size());
        self.request_check(Pending::Bytes(large), &line)?;
        self.wire.reads(size);
        Ok(())
    }

    /// The server has compared the bytes. If they differ, the client opens the file again with `replace`: then the server
    /// offers only parts that were sent to it, and no second comparison is needed.
    pub(super) fn bytes_compared(&self, large: &Arc<Large>, letters: &[u8]) {
        let verdict = letters.first().copied().and_then(Verdict::from_letter);
        if matches!(verdict, Some(Verdict::Same | Verdict::Mode | Verdict::Mtime)) {
            large.doubt(false);
            self.run.work.add_urgent(Task::Commit(Arc::clone(large)));
            return;
        }
        let is_first = large.parts().end();
        if is_first {
            self.run.work.end_large();
            self.run.progress.not_resumed(large.told_resumed());
            large.not_held(self.run.progress);
            let mut item = large.item.clone();
            item.tries.reopened += 1;
            item.compared.known = Known::Is(Verdict::Digest);
            self.run.work.add_urgent(Task::Item(item));
        }
    }

    fn request_check(&mut self, pending: Pending, line: &[u8]) -> Result<(), ConnectionError> {
        self.send_bundle()?;
        // The source may go for that, so the server reads its bytes.
        self.wire.request(pending, &Op::Check { reread: true }, line)
    }
}

/// The line that states a file as it is here.
fn line(large: &Large, digest: Option<Digest>) -> Result<Vec<u8>, ConnectionError> {
    let (name, size) = (large.item.name.clone(), large.geometry.size());
    let Attributes { mode, mtime } = large.source.attributes;
    let entry = Entry { name, kind: EntryKind::File { size, digest }, mode, mtime };
    let mut line = Vec::new();
    encode_entry(&entry, &mut line)?;
    Ok(line)
}
