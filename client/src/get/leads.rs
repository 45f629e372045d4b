//! Symlinks that lead out of the target: they are made as they are, and the user is told, since a program that follows them
//! reads or writes elsewhere.

use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use haul_protocol::LinkTarget;

use crate::report::note::Note;
use crate::report::progress::Progress;
use crate::source::from_bytes;

/// Symlinks that are told one by one.
const TOLD: u64 = 20;

/// The symlinks that lead out of the target, so far.
#[derive(Debug, Default)]
pub(super) struct Leads(AtomicU64);

impl Leads {
    /// Tells a symlink that leads out of the target. It stands in a directory so deep in the target.
    pub(super) fn look(&self, path: &Path, depth: usize, target: &LinkTarget, progress: &Progress) {
        let to = from_bytes(target.as_bytes());
        if !leads_out(depth, Path::new(&to)) {
            return;
        }
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0..TOLD => {
                progress.note(Note::LeadsOut { link: path.to_owned(), target: PathBuf::from(&to) });
            }
            TOLD => progress.note(Note::MoreLeadOut),
            _ => {}
        }
    }
}

/// Whether a path leads out of the target, from a directory so deep in it.
fn leads_out(depth: usize, target: &Path) -> bool {
    let mut depth = depth;
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_targets_and_those_above_the_target_lead_out() {
        for (depth, target, out) in [
            (0, "a", false),
            (0, "../a", true),
            (1, "../a", false),
            (1, "../../a", true),
            (2, "x/../../../a", false),
            (0, "a/../..", true),
            (3, "/etc/passwd", true),
            (0, "./.", false),
        ] {
            assert_eq!(leads_out(depth, Path::new(target)), out, "{depth} {target}");
        }
    }
}
