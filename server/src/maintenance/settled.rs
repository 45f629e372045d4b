//! Files that other programs write: the server reads them when they have stood still.

/// The state of files in the last look. A program that writes a file in place, or one of two files that belong together, is seen
/// between two of its steps; between two looks it has usually finished.
#[derive(Debug)]
pub(super) struct Settled<S> {
    last: Option<S>,
    /// The last state was due already.
    was_due: bool,
}

impl<S: PartialEq> Settled<S> {
    /// Before the first look.
    pub(super) fn new() -> Self {
        Self { last: None, was_due: false }
    }

    /// Whether the files shall be read: they have another state than when they were read last, and had it in the look before too.
    pub(super) fn is_due(&mut self, state: S) -> bool {
        let state = Some(state);
        if self.last != state {
            (self.last, self.was_due) = (state, false);
            return false;
        }
        !std::mem::replace(&mut self.was_due, true)
    }

    /// Whether the files have stood still since they were due.
    pub(super) fn is_still(&self) -> bool {
        self.was_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_due_once_when_it_has_stood_still_for_a_look() {
        let mut files = Settled::new();
        let states = [1, 1, 1, 2, 3, 4, 4, 4, 1, 4, 4];
        let due = [false, true, false, false, false, false, true, false, false, false, true];
        let still = [false, true, true, false, false, false, true, true, false, false, true];
        for ((state, is_due), is_still) in states.into_iter().zip(due).zip(still) {
            assert_eq!((files.is_due(state), files.is_still()), (is_due, is_still), "{state}");
        }
    }
}
