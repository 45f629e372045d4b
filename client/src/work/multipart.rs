//! A large file that is sent in parts, by all connections, and what of it is there already.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_protocol::{Bitmap, Cv, Digest, Geometry, Token, merge};

use super::earlier::Earlier;
use super::item::Item;
use crate::source::Source;

/// How often parts of one file are sent again because the server refused them.
const RESENDS: u32 = 16;

/// How often a file is opened again after progress.
const REOPENS: u32 = 100;

/// A large file, from when it is opened at the server until it is committed, given up or opened
/// again.
#[derive(Debug)]
pub struct Large {
    /// What it is.
    pub item: Item,
    /// The open file.
    pub source: Source,
    /// What the server calls it.
    pub upload: Token,
    /// How it is cut.
    pub geometry: Geometry,
    /// Connections that the run had lost by then.
    pub opened_after: usize,
    /// Bytes that the server held before this run sent them.
    pub resumed: u64,
    /// Parts that the server holds already.
    held: Bitmap,
    state: Mutex<Parts>,
}

#[derive(Debug)]
struct Parts {
    /// The next part that nobody has taken to send it.
    next: usize,
    /// The next part that nobody has taken to hash it.
    next_held: usize,
    /// Parts that must be sent again.
    again: Vec<usize>,
    /// How often a part may still be sent again.
    resends: u32,
    /// How often a part, or the commit, is blamed for the loss of a connection.
    losses: HashMap<usize, u32>,
    /// Parts that this run has sent at least once.
    sent: Bitmap,
    cvs: Vec<Option<Cv>>,
    missing: usize,
    /// Something was acknowledged.
    progress: bool,
    over: bool,
}

impl Large {
    /// Opened at the server, which holds some parts already. What an earlier opening in this run has
    /// learned is taken over if it is the same file.
    #[must_use]
    pub fn new(
        mut item: Item,
        source: Source,
        upload: Token,
        geometry: Geometry,
        held: Bitmap,
        opened_after: usize,
    ) -> Self {
        let fingerprint = source.fingerprint();
        let earlier = item.earlier.take();
        let earlier =
            earlier.filter(|known| known.geometry == geometry && known.fingerprint == fingerprint);
        let mut cvs = vec![None; geometry.parts()];
        let (mut missing, mut resumed) = (cvs.len(), 0);
        for (index, cv) in cvs.iter_mut().enumerate().filter(|(index, _)| held.get(*index)) {
            *cv = earlier.as_ref().and_then(|known| known.cvs[index]);
            missing -= usize::from(cv.is_some());
            if !earlier.as_ref().is_some_and(|known| known.sent.get(index)) {
                resumed += geometry.range(index).map_or(0, |range| range.end - range.start);
            }
        }
        item.losses = 0;
        let state = Parts {
            next: 0,
            next_held: 0,
            again: Vec::new(),
            resends: RESENDS,
            losses: HashMap::new(),
            sent: earlier.map_or_else(Bitmap::new, |known| known.sent.clone()),
            cvs,
            missing,
            progress: false,
            over: false,
        };
        Self {
            item,
            source,
            upload,
            geometry,
            opened_after,
            resumed,
            held,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, Parts> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next part to send, if there is one that nobody has.
    pub fn take(&self) -> Option<usize> {
        let mut state = self.state();
        if state.over {
            return None;
        }
        if let Some(index) = state.again.pop() {
            return Some(index);
        }
        let index = (state.next..state.cvs.len()).find(|index| !self.held.get(*index));
        state.next = index.map_or(state.cvs.len(), |index| index + 1);
        if let Some(index) = index {
            state.sent.set(index);
        }
        index
    }

    /// The next part that the server holds and whose chaining value is not known, if there is one
    /// that nobody has.
    pub fn take_held(&self) -> Option<usize> {
        let mut state = self.state();
        if state.over {
            return None;
        }
        let unknown = |index: &usize| self.held.get(*index) && state.cvs[*index].is_none();
        let index = (state.next_held..state.cvs.len()).find(unknown);
        state.next_held = index.map_or(state.cvs.len(), |index| index + 1);
        index
    }

    /// Whether there may be parts for [`take_held`](Self::take_held).
    #[must_use]
    pub fn has_held(&self) -> bool {
        self.held.as_bytes().iter().any(|byte| *byte != 0)
    }

    /// A part that was sent is acknowledged; returns whether it was the last one missing.
    pub fn done(&self, index: usize, cv: Cv) -> bool {
        let mut state = self.state();
        state.progress = true;
        state.losses.remove(&index);
        state.know(index, cv)
    }

    /// A part that the server holds has been hashed; returns whether it was the last one missing.
    pub fn hashed(&self, index: usize, cv: Cv) -> bool {
        self.state().know(index, cv)
    }

    /// Whether all chaining values are known.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state().missing == 0
    }

    /// A part was refused; returns whether it is worth sending again.
    pub fn again(&self, index: usize) -> bool {
        let mut state = self.state();
        if state.over || state.resends == 0 {
            return false;
        }
        state.resends -= 1;
        state.again.push(index);
        true
    }

    /// The connection was lost with a part unanswered: it is sent again, unless it is blamed for that
    /// and was more than `most` times.
    pub fn lost(&self, index: usize, most: Option<u32>) -> bool {
        let mut state = self.state();
        let again = state.lost(index, most);
        if again {
            state.again.push(index);
        }
        again
    }

    /// The connection was lost with the commit unanswered; as [`lost`](Self::lost).
    pub fn commit_lost(&self, most: Option<u32>) -> bool {
        let mut state = self.state();
        let commit = state.cvs.len();
        state.lost(commit, most)
    }

    /// The file is given up or committed; returns whether this is the first word of it.
    pub fn end(&self) -> bool {
        !std::mem::replace(&mut self.state().over, true)
    }

    /// Whether [`end`](Self::end) was called.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state().over
    }

    /// The digest of the whole file, when all parts are done.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        let cvs: Option<Vec<Cv>> = self.state().cvs.iter().copied().collect();
        merge(&cvs?)
    }

    /// The item to open again, with what is known of it. Progress makes up for earlier failures, unless the file was
    /// opened too often: a server may acknowledge parts and forget them without end.
    #[must_use]
    pub fn reopened(&self) -> Item {
        let state = self.state();
        let mut item = self.item.clone();
        item.reopened += 1;
        if state.progress && !self.is_reopened_too_often() {
            item.attempts = 0;
            item.interrupted = 0;
        }
        item.earlier = Some(Arc::new(Earlier {
            fingerprint: self.source.fingerprint(),
            geometry: self.geometry,
            cvs: state.cvs.clone(),
            sent: state.sent.clone(),
        }));
        item
    }

    /// Whether progress does not count any more.
    #[must_use]
    pub fn is_reopened_too_often(&self) -> bool {
        self.item.reopened >= REOPENS
    }

    /// Whether the server has acknowledged a part since it was opened.
    #[must_use]
    pub fn has_progress(&self) -> bool {
        self.state().progress
    }
}

impl Parts {
    fn know(&mut self, index: usize, cv: Cv) -> bool {
        let first = self.cvs[index].replace(cv).is_none();
        self.missing -= usize::from(first);
        first && self.missing == 0 && !self.over
    }

    fn lost(&mut self, what: usize, most: Option<u32>) -> bool {
        let Some(most) = most else {
            return true;
        };
        let losses = self.losses.entry(what).or_default();
        *losses += 1;
        *losses <= most || self.over
    }
}
