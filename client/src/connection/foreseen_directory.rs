//! A directory of a dry run for which nothing is to be done now, and to which the run itself may give mode and mtime.

use haul_protocol::Verdict;

use crate::work::Item;
use crate::work::context::Run;
use crate::work::foreseen::Fate;

/// A directory needs no mode or mtime now. It counts if the run would give it both: it would be made, or its entries
/// would change its mtime, or the run gives both to every directory.
pub(super) fn settled(item: &Item, verdict: Option<Verdict>, run: &Run<'_>) {
    let Run { course, progress, policy, .. } = run;
    let foreseen = course.foreseen();
    let counts = match verdict {
        Some(Verdict::Same) if foreseen.is(&item.name, Fate::Filled) => {
            progress.would("adjust", &item.name, "its entries change", None);
            true
        }
        Some(Verdict::Same) => !policy.spares_directories(),
        _ => !foreseen.is_blocked(&item.name),
    };
    if counts {
        progress.directory_done(&item.name);
    }
}
