//! The last words of a dry run: the refusal that the run itself would get, because the account lacks a right.

use std::path::Path;

use super::Walk;
use crate::report::note::Note;

/// The option that the failure is about.
const OPTION: &str = "--dry-run";

impl Walk<'_> {
    /// Tells the refusal, if there would be one: as a failure, or as a note if the run itself would change nothing.
    pub(super) fn tell_refusal(&self) {
        match self.course.foreseen().refusal() {
            Some((refusal, true)) => {
                self.progress.failed(Path::new(OPTION), refusal.to_owned());
            }
            Some((refusal, false)) => self.progress.note(Note::Foreseen(refusal.to_owned())),
            None => {}
        }
    }
}
