//! Changes by their kind and result.

use super::counter::Counter;
use crate::store::ChangeKind;

/// The counts: of each kind those that failed, and those that are done.
#[derive(Debug, Default)]
pub(super) struct Changes([[Counter; 2]; ChangeKind::ALL.len() + 1]);

impl Changes {
    pub(super) fn add(&self, kind: ChangeKind, is_done: bool) {
        self.0[kind as usize][usize::from(is_done)].add(1);
    }

    pub(super) fn get(&self, kind: ChangeKind, is_done: bool) -> u64 {
        self.0[kind as usize][usize::from(is_done)].get()
    }
}
