//! From the wishes for a transfer to one that is ready to begin.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Transfer;
use super::builder::{Builder, Dialect, Task};
use super::common::Common;
use super::error::BuildError;
use super::unfit::unfit;
use crate::credentials::Login;
use crate::error::receipt::ReceiptError;
use crate::net::root::root_above;
use crate::net::ssh::Access;
use crate::plan::given::{self, Given};
use crate::plan::policy::{Delete, Mode, Policy};
use crate::plan::{Plan, Root};
use crate::source::anchor::Anchor;
use crate::source::filter::{Filter, is_rules};
use crate::source::links::Links;
use crate::source::{regular, stdin};
use crate::work::on_commit::{Committed, Receipt};

impl Builder {
    /// Decides what goes where, reads rules, opens the list of names and makes the receipt. Nothing is connected.
    ///
    /// The sources are looked at first of all. If a source is another directory when the transfer runs, that is a failure,
    /// and nothing is removed or published.
    ///
    /// # Errors
    /// If the wishes make no sense together, or a file that they name can't be used.
    pub fn build(mut self) -> Result<Transfer, BuildError> {
        let task = self.task.take().ok_or(BuildError::NoTask)?;
        self.check(&task)?;
        self.choose_root(&task);
        let login = self.login()?;
        let mut plan = self.plan(&task)?;
        let mode = self.mode(task)?;
        // Rules, lists and streams may be waited for, and a source may be replaced or unmounted meanwhile.
        let anchors = anchors(&mut plan, &mode);
        let published = anchors.iter().filter(|_| matches!(mode, Mode::Publish(..)));
        if let Some(anchor) = published.into_iter().find(|anchor| !anchor.is_directory()) {
            return Err(BuildError::NoDirectory(anchor.path().to_owned()));
        }
        if let Some((list, separator)) = &self.names {
            plan = plan.only(list, *separator)?;
        }
        let policy = self.policy(mode)?;
        let notes = unfit(&self.common.rules, &plan.roots);
        let receipt =
            self.receipt.as_deref().map(|path| self.create_receipt(path, &plan)).transpose()?;
        let below = match &policy.mode {
            Mode::Publish(name, _) => Some(name.clone()),
            _ => None,
        };
        let committed = Committed { receipt, remove_source: self.remove_source, below };
        let trust = self.common.trust(&self.destination);
        let Self { common: Common { settings, interrupt, .. }, congestion, dialect, .. } = self;
        Ok(Transfer {
            plan,
            anchors,
            login,
            policy,
            notes,
            committed,
            settings,
            congestion,
            trust,
            dialect,
            interrupt,
        })
    }

    /// If ssh leads to the destination, decides which directory is hauld's root there. A version needs the directory above.
    fn choose_root(&mut self, task: &Task) {
        let access = match task {
            Task::Verify { .. } => Access::Reads,
            _ if self.common.dry_run => Access::Foresees,
            _ => Access::Makes,
        };
        if self.common.dry_run {
            self.destination.dry();
        }
        match task {
            Task::Publish { .. } => root_above([&mut self.destination], access),
            _ => self.destination = self.destination.clone().itself(access),
        }
    }

    /// The account and its token.
    fn login(&mut self) -> Result<Login, BuildError> {
        let destination = &self.destination;
        match self.dialect {
            Dialect::Classic if destination.account.is_some() => {
                Err(BuildError::ClassicAccount(destination.server.to_string()))
            }
            Dialect::Classic => Ok(Login::without_token(destination)),
            Dialect::Haul => Ok(self.common.login(destination)?),
        }
    }

    /// Two wishes that exclude each other.
    fn conflict(&self, task: &Task) -> Option<BuildError> {
        let name = task.name();
        let is_put = name == "put";
        let is_classic = self.dialect == Dialect::Classic;
        let may_compare = matches!(task, Task::Sync { .. } | Task::Publish { .. });
        let deletes = matches!(task, Task::Sync { delete: Some(_), .. });
        let conflicts = [
            (self.remove_source && !is_put, "remove_source", name),
            (self.remove_source && self.common.dry_run, "remove_source", "dry_run"),
            (self.remove_source && is_classic, "remove_source", "classic"),
            (self.receipt.is_some() && self.common.dry_run, "receipt", "dry_run"),
            (self.receipt.is_some() && name == "verify", "receipt", name),
            (
                self.common.ignore_existing && matches!(name, "verify" | "publish"),
                "ignore_existing",
                name,
            ),
            (self.publish_empty && name != "publish", "publish_empty", name),
            (self.by_digest && !may_compare, "checksum", name),
            (self.rereads && name != "verify", "reread", name),
            (self.names.is_some() && deletes, "files_from", "delete"),
            (self.names.is_some() && self.one_file_system, "files_from", "one_file_system"),
            (is_classic && self.one_file_system, "classic", "one_file_system"),
            (is_classic && !is_put, "classic", name),
            (is_classic && !self.common.rules.is_empty(), "classic", "exclude"),
            (is_classic && self.names.is_some(), "classic", "files_from"),
            (is_classic && self.common.dry_run, "classic", "dry_run"),
            (is_classic && self.common.ignore_existing, "classic", "ignore_existing"),
            (is_classic && self.receipt.is_some(), "classic", "receipt"),
        ];
        let (_, one, other) = conflicts.iter().find(|(is_so, ..)| *is_so)?;
        Some(BuildError::Conflict(one, other))
    }

    /// Whether the wishes go together.
    fn check(&self, task: &Task) -> Result<(), BuildError> {
        if let (false, Some(conflict)) = (self.conflicts_are_checked, self.conflict(task)) {
            return Err(conflict);
        }
        if matches!(task, Task::Put { sources, .. } if sources.is_empty()) {
            return Err(BuildError::NoSources);
        }
        self.common.check()?;
        if self.remove_source && self.common.links == Links::Follow {
            return Err(BuildError::RemovesFollowed);
        }
        Ok(())
    }

    /// The plan, without the list of names.
    fn plan(&self, task: &Task) -> Result<Plan, BuildError> {
        let path = self.destination.path.as_ref();
        Ok(match task {
            Task::PutStream { given, label, name } => {
                Plan::single(given.clone(), label.clone(), path, name)?
            }
            Task::Publish { source } => self.plan_version(source)?,
            Task::Put { sources, rename } => Plan::new(sources, path, rename.as_deref())?,
            Task::Sync { sources, delete } => {
                separate(Plan::new(sources, path, None)?, delete.is_some())
                    .map_err(BuildError::DeletesUnion)?
            }
            Task::Verify { sources } => {
                separate(Plan::new(sources, path, None)?, self.names.is_none())
                    .map_err(BuildError::VerifiesUnion)?
            }
        })
    }

    /// The same of a version, which is put together where it has no name.
    fn plan_version(&self, source: &Path) -> Result<Plan, BuildError> {
        let name = self.destination.path.as_ref().ok_or(BuildError::PublishesRoot)?;
        if self.names.is_some() {
            return Err(BuildError::PublishesNames);
        }
        let target = self.common.dry_run.then(|| name.clone());
        let source = source.to_owned();
        let root = Root { source, target, contents: true, given: Given::Path };
        Ok(Plan { roots: vec![root], named: None })
    }

    /// The command.
    fn mode(&self, task: Task) -> Result<Mode, BuildError> {
        Ok(match task {
            Task::Put { .. } | Task::PutStream { .. } => Mode::Put,
            Task::Sync { delete, .. } => Mode::Sync(delete),
            // Extra entries are found as entries that would be removed.
            Task::Verify { .. } => Mode::Verify(self.names.is_none().then_some(Delete::HARMLESS)),
            // In a tree that was left by an earlier run there may be more than is wanted, and nobody has seen it.
            Task::Publish { .. } => {
                let name = self.destination.path.clone().ok_or(BuildError::PublishesRoot)?;
                Mode::Publish(name, Delete { all: self.publish_empty, ..Delete::HARMLESS })
            }
        })
    }

    /// How entries of the server are treated.
    fn policy(&self, mode: Mode) -> Result<Policy, BuildError> {
        let verifies = matches!(mode, Mode::Verify(_));
        let filter = Filter::new(&self.common.rules)?;
        Ok(Policy {
            links: self.common.links,
            one_file_system: self.one_file_system,
            dry_run: self.common.dry_run || verifies,
            ignore_existing: self.common.ignore_existing,
            by_digest: self.by_digest || verifies,
            rereads: self.rereads,
            ..Policy::new(mode, filter)
        })
    }

    /// Makes the receipt.
    fn create_receipt(&self, path: &Path, plan: &Plan) -> Result<Receipt, ReceiptError> {
        stdin::check_descriptor(path).map_err(|source| ReceiptError::io(path, source))?;
        (self.check_receipt)(path).map_err(|source| ReceiptError::io(path, source))?;
        if let Some(other) = self.taken(path, plan) {
            let error = io::Error::other(format!("it is {other}"));
            return Err(ReceiptError::io(path, error));
        }
        Receipt::create(path)
    }

    /// The other part that the file at the path of the receipt has in this run, and a way out.
    fn taken(&self, path: &Path, plan: &Plan) -> Option<&'static str> {
        let found = path.metadata().ok()?;
        let receipt = regular(&found)?;
        let is_receipt =
            |file: &Path| file.metadata().is_ok_and(|found| regular(&found) == Some(receipt));
        let is_sent = |root: &Root| {
            let found = self.common.links.look(&root.source);
            matches!(root.given, Given::Path)
                && found.is_ok_and(|found| regular(&found) == Some(receipt))
        };
        let input = stdin::file().and_then(|input| input.metadata());
        if input.is_ok_and(|input| regular(&input) == Some(receipt)) {
            Some("standard input; name another file")
        } else if path.canonicalize().is_ok_and(|path| is_rules(&path))
            || self.common.rules.files().any(is_receipt)
        {
            Some("a file of rules; name another file")
        } else if self.names.as_ref().is_some_and(|(list, _)| is_receipt(list)) {
            Some("the list of --files-from; name another file")
        } else if plan.roots.iter().any(is_sent) {
            Some("SRC; name another file")
        } else if found.len() > 0 && is_below_a_source(path, plan) {
            Some("a file in SRC, and not empty; name a file elsewhere, or remove this one first")
        } else {
            None
        }
    }
}

/// A plan in which no source has entries beside those of another one, if the server's entries are compared with one source
/// at a time; otherwise the source that has.
fn separate(plan: Plan, is_needed: bool) -> Result<Plan, PathBuf> {
    let several = is_needed && plan.roots.len() > 1;
    match plan.roots.iter().find(|root| several && root.contents) {
        Some(root) => Err(root.source.clone()),
        None => Ok(plan),
    }
}

/// Whether the directory of a file is a source, or is below one.
fn is_below_a_source(file: &Path, plan: &Plan) -> bool {
    let sources = plan.roots.iter().filter(|root| matches!(root.given, Given::Path));
    file.canonicalize().is_ok_and(|file| {
        sources
            .map(|root| root.source.canonicalize())
            .any(|source| source.is_ok_and(|source| file.starts_with(source)))
    })
}

/// The sources of a plan as they are now.
fn anchors(plan: &mut Plan, mode: &Mode) -> Vec<Arc<Anchor>> {
    given::find_directories(plan);
    let anchor = |root: &Root| match mode.delete() {
        Some(_) => Anchor::held(&root.source),
        None => Anchor::new(&root.source),
    };
    plan.roots.iter().map(|root| Arc::new(anchor(root))).collect()
}
