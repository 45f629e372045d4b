//! The user's wishes for a run: which entries of the server are replaced, kept or removed.

use haul_protocol::{Name, Right};

use crate::source::filter::Filter;
use crate::source::links::Links;

/// The task of a run. Nothing changes it while the run goes on.
#[derive(Debug)]
pub struct Policy {
    /// The command.
    pub mode: Mode,
    /// Files are compared by the digests of their bytes, whatever their mtimes.
    pub by_digest: bool,
    /// The server reads all bytes that are compared, also where it has kept their digest.
    pub rereads: bool,
    /// Files and symlinks that are there, whatever they are, stay as they are.
    pub ignore_existing: bool,
    /// Nothing is sent or removed, only told.
    pub dry_run: bool,
    /// The treatment of symlinks of the source.
    pub links: Links,
    /// Entries on another file system than their source are left out.
    pub one_file_system: bool,
    /// The rules that leave entries out, on both sides.
    pub filter: Filter,
}

/// The commands, each with the settings that only it has.
#[derive(Debug)]
pub enum Mode {
    /// `put`: everything is sent.
    Put,
    /// `sync`: only entries that the server lacks or holds differently are sent, and entries that the source lacks may go.
    Sync(Option<Delete>),
    /// `verify`: the client only tells differences; modes and mtimes are not compared. It also tells entries that the
    /// source lacks, unless it looks at some names only.
    Verify(Option<Delete>),
    /// `publish`: this directory at the server gets its next version, with just the entries that are sent: entries that a
    /// rule or an option leaves out are not in it.
    Publish(Name, Delete),
}

impl Mode {
    /// The bounds within which the client looks at the server for entries that the source lacks.
    #[must_use]
    pub fn delete(&self) -> Option<Delete> {
        match self {
            Self::Put => None,
            Self::Sync(delete) | Self::Verify(delete) => *delete,
            Self::Publish(_, delete) => Some(*delete),
        }
    }
}

/// Bounds of what is removed at the server because the source lacks it. By default nothing is removed if a source could
/// not be read or has nothing in it, and there is no limit otherwise.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Delete {
    /// Even if entries below the source could not be read or sent.
    pub force: bool,
    /// Even everything, because the source has nothing in it.
    pub all: bool,
    /// The most entries that may be removed.
    pub max: Option<u64>,
}

impl Delete {
    /// Everything may go, as nobody loses anything by it.
    pub(crate) const HARMLESS: Self = Self { force: true, all: true, max: None };

    /// Even if single entries below the source could not be read or sent.
    #[must_use]
    pub fn force(self) -> Self {
        Self { force: true, ..self }
    }

    /// Even everything, because the source has nothing in it.
    #[must_use]
    pub fn all(self) -> Self {
        Self { all: true, ..self }
    }

    /// No more entries than these.
    #[must_use]
    pub fn max(self, entries: u64) -> Self {
        Self { max: Some(entries), ..self }
    }
}

impl Policy {
    /// Everything is sent and nothing removed, unless the fields say otherwise.
    #[must_use]
    pub fn new(mode: Mode, filter: Filter) -> Self {
        Self {
            mode,
            by_digest: false,
            rereads: false,
            ignore_existing: false,
            dry_run: false,
            links: Links::Copy,
            one_file_system: false,
            filter,
        }
    }

    /// Whether only entries are sent that the server lacks or holds differently.
    #[must_use]
    pub fn only_changed(&self) -> bool {
        !matches!(self.mode, Mode::Put)
    }

    /// Whether the server is asked what it has before anything is sent.
    #[must_use]
    pub fn compares(&self) -> bool {
        self.only_changed() || self.dry_run || self.ignore_existing
    }

    /// Whether a file or symlink of the server may stay where the source has a directory.
    #[must_use]
    pub fn may_block_directories(&self) -> bool {
        self.ignore_existing || !self.only_changed()
    }

    /// Whether a directory that has its mode and mtime is left alone: not by `put`, which asks nothing, and not in a new
    /// version, where every directory is new.
    #[must_use]
    pub fn spares_directories(&self) -> bool {
        match self.mode {
            Mode::Put => self.ignore_existing,
            Mode::Sync(_) | Mode::Verify(_) => true,
            Mode::Publish(..) => false,
        }
    }

    /// Whether the run only tells differences.
    #[must_use]
    pub fn verifies(&self) -> bool {
        matches!(self.mode, Mode::Verify(_))
    }

    /// Whether the destination is to have just the entries that are sent.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.mode, Mode::Publish(..))
    }

    /// The directory that gets its next version. In a dry run none does: its present version is looked at, as if it were
    /// to be synced.
    #[must_use]
    pub fn publishes(&self) -> Option<&Name> {
        match &self.mode {
            Mode::Publish(name, _) if !self.dry_run => Some(name),
            _ => None,
        }
    }

    /// Whether a directory gets its next version.
    #[must_use]
    pub fn is_publish(&self) -> bool {
        self.publishes().is_some()
    }

    /// The bounds within which the client looks at the server for entries that the source lacks.
    #[must_use]
    pub fn delete(&self) -> Option<Delete> {
        self.mode.delete()
    }

    /// Whether entries that the source lacks are removed where everybody sees it.
    #[must_use]
    pub fn removes(&self) -> bool {
        matches!(self.mode, Mode::Sync(Some(_))) && !self.dry_run
    }

    /// The rights without which the run can't do what the user wants, each with the word for the part that needs it.
    #[must_use]
    pub fn needs(&self) -> Vec<(Right, &'static str)> {
        self.rights(self.dry_run)
    }

    /// The same of the run itself, if this is its dry run.
    #[must_use]
    pub fn foresees(&self) -> Vec<(Right, &'static str)> {
        if self.dry_run { self.rights(false) } else { Vec::new() }
    }

    fn rights(&self, dry_run: bool) -> Vec<(Right, &'static str)> {
        let is_publish = self.is_whole() && !dry_run;
        let compares = self.only_changed() || self.ignore_existing || dry_run;
        let removes = matches!(self.mode, Mode::Sync(Some(_))) && !dry_run;
        let command = match self.mode {
            Mode::Put => "put",
            Mode::Sync(_) => "sync",
            Mode::Verify(_) => "verify",
            Mode::Publish(..) => "publish",
        };
        let asks = match command {
            _ if self.verifies() => "verify",
            _ if dry_run => "--dry-run",
            "put" => "--ignore-existing",
            command => command,
        };
        let changes = !dry_run && !self.verifies();
        [
            (changes, Right::Put, command),
            (compares && !is_publish, Right::List, asks),
            (removes, Right::Delete, "--delete"),
            (is_publish, Right::Publish, command),
        ]
        .into_iter()
        .filter_map(|(is_needed, right, need)| is_needed.then_some((right, need)))
        .collect()
    }

    /// Whether nothing may be removed once anything could not be read.
    #[must_use]
    pub fn needs_all(&self) -> bool {
        self.delete().is_some_and(|delete| !delete.force)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::filter::Rules;

    fn needs(mode: Mode, change: impl FnOnce(&mut Policy)) -> Vec<(Right, &'static str)> {
        let mut policy = Policy::new(mode, Filter::new(&Rules::default()).unwrap());
        change(&mut policy);
        policy.needs()
    }

    #[test]
    fn every_run_needs_the_rights_of_its_requests_and_no_others() {
        use Right::{Delete as Remove, List, Publish, Put};
        let dry = |policy: &mut Policy| policy.dry_run = true;
        let ignoring = |policy: &mut Policy| policy.ignore_existing = true;
        let delete = || Some(Delete::default());
        let publish = || Mode::Publish(Name::parse(b"d").unwrap(), Delete::HARMLESS);
        assert_eq!(needs(Mode::Put, |_| ()), [(Put, "put")]);
        assert_eq!(needs(Mode::Put, ignoring), [(Put, "put"), (List, "--ignore-existing")]);
        assert_eq!(needs(Mode::Put, dry), [(List, "--dry-run")]);
        assert_eq!(needs(Mode::Sync(None), |_| ()), [(Put, "sync"), (List, "sync")]);
        let all = [(Put, "sync"), (List, "sync"), (Remove, "--delete")];
        assert_eq!(needs(Mode::Sync(delete()), |_| ()), all);
        assert_eq!(needs(Mode::Sync(delete()), dry), [(List, "--dry-run")]);
        assert_eq!(needs(Mode::Verify(delete()), dry), [(List, "verify")]);
        assert_eq!(needs(publish(), |_| ()), [(Put, "publish"), (Publish, "publish")]);
        assert_eq!(needs(publish(), dry), [(List, "--dry-run")]);
        let foresees = |mode| {
            let mut policy = Policy::new(mode, Filter::new(&Rules::default()).unwrap());
            assert_eq!(policy.foresees(), []);
            dry(&mut policy);
            policy.foresees()
        };
        assert_eq!(foresees(Mode::Put), [(Put, "put")]);
        assert_eq!(foresees(Mode::Sync(delete())), all);
        assert_eq!(foresees(publish()), [(Put, "publish"), (Publish, "publish")]);
    }
}
