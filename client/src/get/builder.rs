//! The wishes for a run that reads back.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use haul_protocol::AccessToken;

use super::Get;
use super::decide::Mode;
use super::namesakes::may_repeat;
use super::receipt::{Lines, Others};
use super::source::Source;
use super::wishes::Wishes;
use crate::credentials::Login;
use crate::error::credentials::CredentialsError;
use crate::net::destination::Destination;
use crate::net::root::root_above;
use crate::net::ssh::Access;
use crate::plan::PlanError;
use crate::plan::policy::Delete;
use crate::source::file_list::{Names, Separator};
use crate::source::filter::{Filter, Rule, Rules};
use crate::source::links::Links;
use crate::transfer::common::Common;
use crate::transfer::error::BuildError;
use crate::trust::Trust;
use crate::work::interrupt::Interrupt;

/// The wishes for a run that reads back, and how it is done.
#[derive(Debug)]
#[must_use]
pub struct Builder {
    sources: Vec<Source>,
    target: PathBuf,
    common: Common,
    mode: Mode,
    delete: Option<Delete>,
    durable: bool,
    by_digest: bool,
    names: Option<(PathBuf, Separator)>,
    receipt: Option<PathBuf>,
    check_receipt: fn(&Path) -> io::Result<()>,
}

impl Builder {
    pub(super) fn new(sources: Vec<Source>, target: PathBuf) -> Self {
        Self {
            sources,
            target,
            common: Common::default(),
            mode: Mode::Get,
            delete: None,
            durable: true,
            by_digest: false,
            names: None,
            receipt: None,
            check_receipt: |_| Ok(()),
        }
    }

    /// Logs in with this token, as [`crate::Builder::token`] does.
    pub fn token(mut self, token: AccessToken) -> Self {
        self.common.token = Some(token);
        self
    }

    /// Finds the token in this way if none is given.
    pub(crate) fn find_login(
        mut self,
        find_login: fn(&Destination) -> Result<Login, CredentialsError>,
    ) -> Self {
        self.common.find_login = find_login;
        self
    }

    /// The rules by which the server is trusted; otherwise those of the user.
    pub fn trust(mut self, trust: Trust) -> Self {
        self.common.trust = Some(trust);
        self
    }

    /// Leaves out what fits a pattern, in gitignore's syntax and relative to the source. The last rule that fits decides.
    pub fn exclude(mut self, pattern: impl Into<String>) -> Self {
        self.common.rules.push(Rule::Exclude(pattern.into()));
        self
    }

    /// Takes what fits a pattern, though a rule before it leaves that out.
    pub fn include(mut self, pattern: impl Into<String>) -> Self {
        self.common.rules.push(Rule::Include(pattern.into()));
        self
    }

    /// All rules at once.
    pub(crate) fn rules(mut self, rules: Rules) -> Self {
        self.common.rules = rules;
        self
    }

    /// Sets the treatment of symbolic links of the server: [`Links::Copy`] (otherwise) makes them here, [`Links::Skip`] leaves
    /// them out. A server reads no file through a link, so [`Links::Follow`] is an error.
    pub fn links(mut self, links: Links) -> Self {
        self.common.links = links;
        self
    }

    /// The number of connections at once, 1 to 64; otherwise one for each core, 2 to 8.
    pub fn connections(mut self, connections: usize) -> Self {
        self.common.settings.connections = Some(connections);
        self
    }

    /// Time for which the run tries to connect again; otherwise 5 minutes.
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.common.settings.retry_for = time;
        self
    }

    /// Number of attempts in a row to connect again, otherwise any number; and number of times that an entry is asked for
    /// again that seems to break connections, otherwise 10.
    pub fn retries(mut self, retries: u32) -> Self {
        self.common.settings.retries = Some(retries);
        self
    }

    /// Time that the server may be silent while it owes answers; otherwise a minute.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.common.settings.timeout = timeout;
        self
    }

    /// The most bytes a second that all connections read together; at least 1000.
    pub fn rate(mut self, bytes: u64) -> Self {
        self.common.settings.rate = Some(bytes);
        self
    }

    /// Gets only what this machine lacks or has differently; with `delete` also removes here what the server lacks, within
    /// these bounds: below each directory that a source becomes in the target, or of a single `DIR/` in the target itself.
    pub fn sync(self, delete: Option<Delete>) -> Self {
        Self { mode: Mode::Sync, delete, ..self }
    }

    /// Changes nothing, and tells what [would](crate::Observer::would) come.
    pub fn dry_run(mut self) -> Self {
        self.common.dry_run = true;
        self
    }

    /// Leaves entries alone that are there, whatever they are.
    pub fn ignore_existing(mut self) -> Self {
        self.common.ignore_existing = true;
        self
    }

    /// Does not wait for the disk: a file that is counted survives a crash of this process, and not a loss of power.
    pub fn not_durable(self) -> Self {
        Self { durable: false, ..self }
    }

    /// With [`sync`](Self::sync): compares files of one size by the digests of their bytes, read here and kept or read there, and not by
    /// mtime.
    pub fn checksum(self) -> Self {
        Self { by_digest: true, ..self }
    }

    /// Gets only the names in a list, or in standard input if it is `-`, below the one source, which is a directory.
    pub fn files_from(self, list: impl Into<PathBuf>, separator: Separator) -> Self {
        Self { names: Some((list.into(), separator)), ..self }
    }

    /// Writes the digest of each file that has come into a file, for `b3sum --check` in the target; with
    /// [`checksum`](Self::checksum) also of each that is the same.
    pub fn receipt(self, path: impl Into<PathBuf>) -> Self {
        Self { receipt: Some(path.into()), ..self }
    }

    /// Asks before a receipt is written to a path.
    pub(crate) fn check_receipt(self, check_receipt: fn(&Path) -> io::Result<()>) -> Self {
        Self { check_receipt, ..self }
    }

    /// Is stopped by this handle.
    pub(crate) fn interrupted_by(mut self, interrupt: &Interrupt) -> Self {
        self.common.interrupt = interrupt.clone();
        self
    }

    /// Decides where everything goes. Nothing is connected or written.
    ///
    /// # Errors
    /// If the wishes make no sense together, or a file that they name can't be used.
    pub fn build(mut self) -> Result<Get, BuildError> {
        if self.common.dry_run {
            self.sources.iter_mut().for_each(|source| source.place.dry());
        }
        root_above(self.sources.iter_mut().map(|source| &mut source.place), Access::Reads);
        self.check()?;
        let Some(first) = self.sources.first() else { return Err(BuildError::NoSources) };
        let login = self.common.login(&first.place)?;
        let trust = self.common.trust(&first.place);
        let names = self.names.as_ref().map(|(path, separator)| {
            let opened = Names::open(path, *separator);
            opened.map_err(|source| PlanError::Names { path: path.clone(), source })
        });
        let names = names.transpose()?.map(Mutex::new);
        let receipt = self.receipt.as_deref().map(|path| {
            let others = Others {
                rules: &self.common.rules,
                list: self.names.as_ref().map(|(path, _)| &**path),
                mirrored: self.delete.map(|_| &*self.target),
            };
            Lines::create(path, &self.sources, &others, self.check_receipt)
        });
        let receipt = receipt.transpose()?;
        let Common { rules, links, settings, dry_run, ignore_existing, interrupt, .. } =
            self.common;
        let wishes = Wishes {
            settings,
            links,
            filter: Filter::new(&rules)?,
            bases: bases(&self.sources),
            merges: may_repeat(&self.sources),
            mode: self.mode,
            delete: self.delete,
            dry_run,
            ignore_existing,
            durable: self.durable,
            by_digest: self.by_digest,
        };
        let Self { sources, target, .. } = self;
        Ok(Get { sources, target, login, trust, wishes, names, receipt, interrupt })
    }

    fn check(&self) -> Result<(), BuildError> {
        self.common.check()?;
        let conflicts = [
            (self.by_digest && self.mode == Mode::Get, "checksum", "get"),
            (self.names.is_some() && self.delete.is_some(), "files_from", "delete"),
            (self.receipt.is_some() && self.common.dry_run, "receipt", "dry_run"),
        ];
        if let Some((_, one, other)) = conflicts.iter().find(|(is_so, ..)| *is_so) {
            return Err(BuildError::Conflict(one, other));
        }
        let renames = self.sources.iter().any(|source| source.renamed.is_some());
        if self.names.is_some() && (self.sources.len() > 1 || renames) {
            return Err(PlanError::NamedMany.into());
        }
        if self.common.links == Links::Follow {
            return Err(BuildError::FollowsAtServer);
        }
        let Some((first, others)) = self.sources.split_first() else {
            return Err(BuildError::NoSources);
        };
        if let Some(other) = others.iter().find(|source| !source.place.is_beside(&first.place)) {
            return Err(BuildError::TwoServers(first.place.login(), other.place.login()));
        }
        if !others.is_empty() && self.sources.iter().any(|source| source.renamed.is_some()) {
            return Err(BuildError::RenamesMany);
        }
        if self.delete.is_some() && !others.is_empty() {
            let contents = self.sources.iter().find(|source| source.contents);
            if let Some(source) = contents {
                return Err(BuildError::DeletesUnion(source.shown().into()));
            }
        }
        let mut here: Vec<_> = self.sources.iter().filter_map(here).collect();
        here.sort();
        match here.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(BuildError::SameName(Path::new(&pair[0]).to_owned())),
            None => Ok(()),
        }
    }
}

/// The name of a source in the target; none if its contents go there.
fn here(source: &Source) -> Option<std::ffi::OsString> {
    let name = source.place.path.as_ref().filter(|_| !source.contents)?;
    Some(source.renamed.clone().unwrap_or_else(|| super::item::last_component(name)))
}

/// The names of the sources, each with a slash behind it.
fn bases(sources: &[Source]) -> Vec<Vec<u8>> {
    let names = sources.iter().filter_map(|source| source.place.path.as_ref());
    names.map(|name| [name.as_bytes(), b"/"].concat()).collect()
}
