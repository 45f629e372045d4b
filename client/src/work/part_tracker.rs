//! The parts of a large file: the client sends or hashes each once, until all are known. Pure: no file and no server is known
//! here.

use std::collections::HashMap;

use haul_protocol::{Bitmap, Cv, Digest, Geometry, merge};

/// Number of times that parts of one file are sent again because the server refused them.
const RESENDS: u32 = 16;

/// Facts that one opening of a file has learned, for the next one in the same run.
#[derive(Debug, Clone)]
pub struct Learned {
    cvs: Vec<Option<Cv>>,
    /// Parts that the run has sent at least once.
    sent: Bitmap,
}

/// The parts of a file from when it is opened at the server until it is committed, given up or opened again.
#[derive(Debug)]
pub struct PartTracker {
    /// Parts that the server holds already.
    held: Bitmap,
    /// The next part that nobody has taken to send it.
    next: usize,
    /// The next part that nobody has taken to hash it.
    next_held: usize,
    /// Parts that must be sent again.
    again: Vec<usize>,
    /// Number of times that a part may still be sent again.
    resends: u32,
    /// Losses of a connection for which a part, or the commit, is blamed.
    losses: HashMap<usize, u32>,
    /// Parts that this run has sent at least once.
    sent: Bitmap,
    cvs: Vec<Option<Cv>>,
    missing: usize,
    /// Something was acknowledged.
    progress: bool,
    over: bool,
}

impl PartTracker {
    /// The server holds some parts. Of those, an earlier opening in this run may have learned the chaining values.
    #[must_use]
    pub fn new(geometry: Geometry, held: Bitmap, learned: Option<&Learned>) -> Self {
        let mut cvs = vec![None; geometry.parts()];
        let known = cvs.iter_mut().enumerate().filter(|(index, _)| held.get(*index));
        known.for_each(|(index, cv)| *cv = learned.and_then(|learned| learned.cvs[index]));
        let missing = cvs.iter().filter(|cv| cv.is_none()).count();
        Self {
            held,
            next: 0,
            next_held: 0,
            again: Vec::new(),
            resends: RESENDS,
            losses: HashMap::new(),
            sent: learned.map_or_else(Bitmap::new, |learned| learned.sent.clone()),
            cvs,
            missing,
            progress: false,
            over: false,
        }
    }

    /// Bytes that the server held before this run sent them.
    #[must_use]
    pub fn resumed(&self, geometry: Geometry) -> u64 {
        let held =
            (0..self.cvs.len()).filter(|&index| self.held.get(index) && !self.sent.get(index));
        held.filter_map(|index| geometry.range(index)).map(|range| range.end - range.start).sum()
    }

    /// Bytes that the server held when the file was opened.
    #[must_use]
    pub fn held(&self, geometry: Geometry) -> u64 {
        let held = (0..self.cvs.len()).filter(|&index| self.held.get(index));
        held.filter_map(|index| geometry.range(index)).map(|range| range.end - range.start).sum()
    }

    /// Whether the chaining value of a part is known, and the file is not over.
    #[must_use]
    pub fn is_awaited(&self, index: usize) -> bool {
        !self.over && self.cvs[index].is_none()
    }

    /// For the next opening in this run.
    #[must_use]
    pub fn learned(&self) -> Learned {
        Learned { cvs: self.cvs.clone(), sent: self.sent.clone() }
    }

    /// The next part to send, if there is one that nobody has.
    pub fn take(&mut self) -> Option<usize> {
        if self.over {
            return None;
        }
        if let Some(index) = self.again.pop() {
            return Some(index);
        }
        let index = (self.next..self.cvs.len()).find(|index| !self.held.get(*index));
        self.next = index.map_or(self.cvs.len(), |index| index + 1);
        if let Some(index) = index {
            self.sent.set(index);
        }
        index
    }

    /// The next part that the server holds and whose chaining value is not known, if there is one that nobody has.
    pub fn take_held(&mut self) -> Option<usize> {
        if self.over {
            return None;
        }
        let unknown = |index: &usize| self.held.get(*index) && self.cvs[*index].is_none();
        let index = (self.next_held..self.cvs.len()).find(unknown);
        self.next_held = index.map_or(self.cvs.len(), |index| index + 1);
        index
    }

    /// Whether there may be parts for [`take_held`](Self::take_held).
    #[must_use]
    pub fn has_held(&self) -> bool {
        self.held.as_bytes().iter().any(|byte| *byte != 0)
    }

    /// A part that was sent is acknowledged; returns whether it was the last one missing.
    pub fn done(&mut self, index: usize, cv: Cv) -> bool {
        self.progress = true;
        self.losses.remove(&index);
        self.know(index, cv)
    }

    /// The chaining value of a part is known; returns whether it was the last one missing.
    pub fn know(&mut self, index: usize, cv: Cv) -> bool {
        let first = self.cvs[index].replace(cv).is_none();
        self.missing -= usize::from(first);
        first && self.missing == 0 && !self.over
    }

    /// Whether all chaining values are known.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// A part was refused; returns whether it is worth sending again.
    pub fn again(&mut self, index: usize) -> bool {
        if self.over || self.resends == 0 {
            return false;
        }
        self.resends -= 1;
        self.again.push(index);
        true
    }

    /// The connection was lost with a part unanswered: it is sent again, unless it is blamed for that and was more than
    /// `most` times.
    pub fn lost(&mut self, index: usize, most: Option<u32>) -> bool {
        let again = self.may_be_lost(index, most);
        if again {
            self.again.push(index);
        }
        again
    }

    /// The connection was lost with the commit unanswered; as [`lost`](Self::lost).
    pub fn commit_lost(&mut self, most: Option<u32>) -> bool {
        self.may_be_lost(self.cvs.len(), most)
    }

    fn may_be_lost(&mut self, what: usize, most: Option<u32>) -> bool {
        let Some(most) = most else { return true };
        let losses = self.losses.entry(what).or_default();
        *losses += 1;
        *losses <= most || self.over
    }

    /// The file is given up or committed; returns whether this is the first word of it.
    pub fn end(&mut self) -> bool {
        !std::mem::replace(&mut self.over, true)
    }

    /// Whether [`end`](Self::end) was called.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the server has acknowledged a part since the file was opened.
    #[must_use]
    pub fn has_progress(&self) -> bool {
        self.progress
    }

    /// The digest of the whole file, when all parts are known.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        let cvs: Option<Vec<Cv>> = self.cvs.iter().copied().collect();
        merge(&cvs?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: u64 = 1 << 20;

    /// Four parts, of which the server holds the second.
    fn tracker(learned: Option<&Learned>) -> (PartTracker, Geometry) {
        let geometry = Geometry::new(3 * PART + 1, PART).unwrap();
        let mut held = Bitmap::new();
        held.set(1);
        (PartTracker::new(geometry, held, learned), geometry)
    }

    #[test]
    fn each_part_is_sent_or_hashed_once() {
        let (mut parts, geometry) = tracker(None);
        assert_eq!(parts.resumed(geometry), PART);
        let sent: Vec<_> = std::iter::from_fn(|| parts.take()).collect();
        assert_eq!((sent, parts.take_held(), parts.take_held()), (vec![0, 2, 3], Some(1), None));
        let cv = Cv([1; 32]);
        assert!(!parts.know(1, cv) && !parts.done(0, cv) && !parts.done(2, cv));
        assert_eq!((parts.digest(), parts.is_complete()), (None, false));
        assert!(parts.done(3, cv) && parts.is_complete() && parts.digest().is_some());
        assert!(!parts.done(3, cv), "it is complete once");
    }

    #[test]
    fn parts_are_sent_again_so_often() {
        let (mut parts, _) = tracker(None);
        while parts.take().is_some() {}
        for _ in 0..RESENDS {
            assert!(parts.again(2));
            assert_eq!(parts.take(), Some(2));
        }
        assert!(!parts.again(2));
        assert!(parts.lost(3, Some(1)) && !parts.lost(3, Some(1)) && parts.lost(3, None));
        assert!(parts.commit_lost(Some(1)) && !parts.commit_lost(Some(1)));
        assert!(parts.end() && !parts.end() && parts.take().is_none());
    }

    #[test]
    fn next_opening_hashes_nothing_twice_and_resumes_only_what_others_sent() {
        let (mut parts, _) = tracker(None);
        parts.take();
        parts.know(1, Cv([1; 32]));
        let learned = parts.learned();
        let geometry = Geometry::new(3 * PART + 1, PART).unwrap();
        let mut held = Bitmap::new();
        held.set(0);
        held.set(1);
        let mut parts = PartTracker::new(geometry, held, Some(&learned));
        assert_eq!((parts.take_held(), parts.take_held()), (Some(0), None));
        assert_eq!(parts.resumed(geometry), PART, "the first part is this run's own");
        assert_eq!(parts.take(), Some(2));
    }
}
