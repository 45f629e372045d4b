//! A dry run: instead of changing an entry at the server, the client tells what it would do, and why.

use haul_protocol::{AccountFacts, Attributes, Right, Verdict};

use super::Connection;
use super::bundle::Read;
use super::compare::measured;
use super::failure::Failure;
use super::perform::{IN_THE_WAY, Perform};
use crate::error::FileError;
use crate::work::context::Run;
use crate::work::decide::Action;
use crate::work::foreseen::{Fate, Refusals};
use crate::work::{Item, Kind, Listing, Removal};

/// The reason why the run itself would leave an entry as it is.
const STANDS: &str = "an entry stands there, and the account lacks the right `replace`: the run itself would be refused (exists)";

/// Notes the refusals that the run itself would get, if this is its dry run.
pub(super) fn foresee(run: &Run<'_>, account: &AccountFacts) {
    if !run.policy.dry_run || run.policy.verifies() {
        return;
    }
    let refusal = run.login.foreseen(account, &run.policy.foresees());
    let keeps = !account.rights.contains(Right::Replace);
    run.course.foreseen().know(Refusals { run: refusal, keeps });
}

/// Tells what would be done, and why.
pub(super) struct DryRun<'c, 'a>(pub(super) &'c mut Connection<'a>);

impl DryRun<'_, '_> {
    fn would(&self, what: &'static str, item: &Item, size: Option<u64>) {
        self.change(what, item, item.compared.known.why(), size);
    }

    fn change(&self, what: &'static str, item: &Item, why: &'static str, size: Option<u64>) {
        let Run { course, progress, .. } = self.0.run;
        progress.would(what, &item.name, why, size);
        course.foreseen().changes();
    }

    /// Whether the server would refuse to change an item, because an entry stands there; tells it.
    fn would_be_kept(&self, item: &Item) -> bool {
        let Run { course, progress, policy, .. } = self.0.run;
        if !course.foreseen().keeps() || !item.compared.known.stands() {
            return false;
        }
        if policy.is_whole() {
            // In a draft everything is the client's own, until it is published.
            course.foreseen().keeps_version();
            return false;
        }
        progress.failed(&item.path, &STANDS);
        self.done();
        true
    }

    fn done(&self) {
        self.0.run.work.settle(1);
    }

    /// The bytes that the run would send of a file, and whether its mode would lose bits. The file is opened as in the run, so that a file that can't be read fails
    /// here as well; and its size is not believed.
    fn size(&mut self, item: &Item) -> Result<(u64, bool), FileError> {
        let source = self.0.open(item)?;
        let special_bits = source.special_bits;
        if item.opened.is_some() {
            return Ok((source.size, special_bits));
        }
        let checked = if item.untrue { Err(FileError::Size) } else { source.check_end() };
        match checked {
            Ok(()) => Ok((source.size, special_bits)),
            Err(FileError::Size) => {
                Ok((measured(item, &mut self.0.nearby, self.0.run)?.0, special_bits))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the first round has told all about an item.
    fn is_told(&self) -> bool {
        let is_told = self.0.run.course.is_last_round();
        if is_told {
            self.done();
        }
        is_told
    }

    /// Whether nothing would be sent, because of what is in the way at the server, or all of it was told before.
    fn is_over(&self, item: &Item) -> bool {
        let Run { course, progress, policy, .. } = self.0.run;
        let waits = item.compared.known.is(Verdict::Directory) && policy.delete().is_some();
        let is_over = if course.foreseen().is_blocked(&item.name) {
            progress.failed(&item.path, &IN_THE_WAY);
            true
        } else if !waits {
            course.is_last_round()
        } else if course.comes_again(&item.path, &IN_THE_WAY) {
            true
        } else if !course.foreseen().is(&item.name, Fate::Removed) {
            progress.failed(&item.path, &IN_THE_WAY);
            true
        } else {
            false
        };
        if is_over {
            self.done();
        }
        is_over
    }
}

impl Perform for DryRun<'_, '_> {
    fn blocked(&mut self, item: &Item) -> Result<(), Failure> {
        if self.is_told() {
            return Ok(());
        }
        if matches!(item.kind, Kind::Directory(_)) {
            self.0.run.course.foreseen().tell(&item.name, Fate::Blocks);
        }
        self.0.blocked(item);
        Ok(())
    }

    fn adjust(&mut self, item: &Item, _: Attributes) -> Result<(), Failure> {
        if self.is_told() || self.would_be_kept(item) {
            return Ok(());
        }
        self.would("adjust", item, None);
        if self.0.run.policy.is_whole() {
            // The server takes it over, with the mode and mtime of the source.
            self.0.run.progress.unchanged(item.compared.stated.map_or(0, |stated| stated.size));
        } else {
            self.0.run.progress.adjusted(&item.name);
        }
        self.done();
        Ok(())
    }

    fn file(&mut self, item: &Item) -> Result<Option<Read>, Failure> {
        if self.is_over(item) || self.would_be_kept(item) {
            return Ok(None);
        }
        let (size, source_bits) = self.size(item)?;
        if size > self.0.max_file {
            return Err(FileError::TooLarge { size, max: self.0.max_file }.into());
        }
        if source_bits {
            self.0.run.progress.special_bits_dropped();
        }
        self.would("send", item, Some(size));
        self.0.run.course.foreseen().fills_parent(&item.name);
        self.0.run.progress.file_done(&item.name, size);
        self.done();
        Ok(None)
    }

    fn symlink(&mut self, item: &Item) -> Result<(), Failure> {
        if self.is_over(item) || self.would_be_kept(item) {
            return Ok(());
        }
        self.would("send", item, None);
        self.0.run.course.foreseen().fills_parent(&item.name);
        self.0.run.progress.link_done(&item.name);
        self.done();
        Ok(())
    }

    fn directory(&mut self, item: &Item, _: Option<u32>, action: Action) -> Result<(), Failure> {
        if action == Action::Replace && self.would_be_kept(item) {
            return Ok(());
        }
        if action == Action::Replace {
            self.0.run.course.foreseen().tell(&item.name, Fate::Replaced);
        }
        if self.is_over(item) {
            return Ok(());
        }
        // It is there, and would be opened up for a moment.
        if !item.is_told && !item.compared.known.is(Verdict::Mode) {
            self.would("make", item, None);
            self.0.run.course.foreseen().fills_parent(&item.name);
        }
        self.done();
        Ok(())
    }

    fn attributes(&mut self, item: &Item, _: Attributes) -> Result<(), Failure> {
        self.would("adjust", item, None);
        self.0.run.progress.directory_done(&item.name);
        self.done();
        Ok(())
    }

    fn remove(&mut self, item: &Item, removal: &Removal) -> Result<(), Failure> {
        let Run { progress, course, .. } = self.0.run;
        course.foreseen().tell(&item.name, Fate::Removed);
        self.change("remove", item, "not in the source", None);
        progress.removed(&item.name);
        course.foreseen().fills_parent(&item.name);
        if let Some(above) = &removal.above {
            self.0.gone(above, true);
        }
        self.done();
        Ok(())
    }

    fn publish(&mut self, _: &Item, _: Attributes) -> Result<(), Failure> {
        self.done();
        Ok(())
    }

    fn list(&mut self, item: &Item, listing: &Listing) -> Result<(), Failure> {
        Ok(self.0.ask_list(item, listing)?)
    }
}
