//! The wishes for a transfer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haul_protocol::AccessToken;

use super::common::Common;
use crate::credentials::Login;
use crate::error::credentials::CredentialsError;
use crate::net::destination::Destination;
use crate::plan::given::Given;
use crate::plan::policy::Delete;
use crate::source::file_list::Separator;
use crate::source::filter::{Rule, Rules};
use crate::source::links::Links;
use crate::trust::Trust;
use crate::work::interrupt::Interrupt;

/// The language of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Haul,
    Classic,
}

/// The task of a transfer.
#[derive(Debug)]
pub(super) enum Task {
    Put { sources: Vec<PathBuf>, rename: Option<String> },
    PutStream { given: Given, label: PathBuf, name: String },
    Sync { sources: Vec<PathBuf>, delete: Option<Delete> },
    Verify { sources: Vec<PathBuf> },
    Publish { source: PathBuf },
}

impl Task {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Put { .. } | Self::PutStream { .. } => "put",
            Self::Sync { .. } => "sync",
            Self::Verify { .. } => "verify",
            Self::Publish { .. } => "publish",
        }
    }
}

/// The wishes for a transfer: exactly one task ([`put`](Self::put), [`put_as`](Self::put_as), [`sync`](Self::sync),
/// [`verify`](Self::verify) or [`publish`](Self::publish); the last one counts), and how it is done.
///
/// Sources are named as for `haul put`: `DIR` becomes a directory below the destination, of `DIR/`, `.` and `..` the
/// contents do. A source that is a FIFO, a terminal or a descriptor is read to its end before anything is sent.
#[derive(Debug)]
#[must_use]
pub struct Builder {
    pub(super) destination: Destination,
    pub(super) common: Common,
    pub(super) task: Option<Task>,
    pub(super) one_file_system: bool,
    pub(super) names: Option<(PathBuf, Separator)>,
    pub(super) congestion: Option<String>,
    pub(super) by_digest: bool,
    pub(super) rereads: bool,
    pub(super) publish_empty: bool,
    pub(super) remove_source: bool,
    pub(super) receipt: Option<PathBuf>,
    pub(super) check_receipt: fn(&Path) -> io::Result<()>,
    pub(super) dialect: Dialect,
    pub(super) conflicts_are_checked: bool,
}

impl Builder {
    pub(super) fn new(destination: Destination) -> Self {
        Self {
            destination,
            common: Common::default(),
            task: None,
            one_file_system: false,
            names: None,
            congestion: None,
            by_digest: false,
            rereads: false,
            publish_empty: false,
            remove_source: false,
            receipt: None,
            check_receipt: |_| Ok(()),
            dialect: Dialect::Haul,
            conflicts_are_checked: false,
        }
    }

    /// Logs in with this token. Without this method the run takes the token that `haul` takes: that of `HAUL_TOKEN` or
    /// `HAUL_TOKEN_FILE`, or else the one that `haul login` has stored for the server. A token is sent only over a connection
    /// that nobody else can read, and only after the server's key was checked.
    pub fn token(mut self, token: AccessToken) -> Self {
        self.common.token = Some(token);
        self
    }

    /// The account, as in `ACCOUNT@HOST`: its stored token is taken, and it is an error if the server knows the token as
    /// that of another one.
    pub fn account(mut self, name: impl Into<String>) -> Self {
        self.destination.account = Some(name.into());
        self
    }

    /// Whether a directory gets its next version.
    pub(crate) fn publishes(&self) -> bool {
        matches!(self.task, Some(Task::Publish { .. }))
    }

    /// Finds the token in this way if none is given.
    pub(crate) fn find_login(
        mut self,
        find_login: fn(&Destination) -> Result<Login, CredentialsError>,
    ) -> Self {
        self.common.find_login = find_login;
        self
    }

    fn task(self, task: Task) -> Self {
        Self { task: Some(task), ..self }
    }

    /// Sends files, symbolic links and directories, whatever the server has.
    pub fn put(self, sources: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        let sources = sources.into_iter().map(Into::into).collect();
        self.task(Task::Put { sources, rename: None })
    }

    /// Sends one file under another name.
    pub fn put_as(self, source: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        self.task(Task::Put { sources: vec![source.into()], rename: Some(name.into()) })
    }

    /// The same of several sources, which is an error that building tells.
    pub(crate) fn put_renamed(self, sources: &[PathBuf], rename: Option<&str>) -> Self {
        let rename = rename.map(str::to_owned);
        self.task(Task::Put { sources: sources.to_owned(), rename })
    }

    /// Sends the bytes of a stream under a name; `label` names the stream in messages.
    pub(crate) fn put_stream(self, given: Given, label: PathBuf, name: &str) -> Self {
        self.task(Task::PutStream { given, label, name: name.to_owned() })
    }

    /// Sends only what the server lacks or has differently; with `delete` also removes at the server what the source
    /// lacks, within these bounds.
    pub fn sync(self, source: impl Into<PathBuf>, delete: Option<Delete>) -> Self {
        self.sync_all([source], delete)
    }

    /// The same of several sources. Entries are removed below each directory that a source becomes at the destination; a
    /// source of which the contents go into the destination itself is an error then.
    pub fn sync_all(
        self,
        sources: impl IntoIterator<Item = impl Into<PathBuf>>,
        delete: Option<Delete>,
    ) -> Self {
        let sources = sources.into_iter().map(Into::into).collect();
        self.task(Task::Sync { sources, delete })
    }

    /// Compares a source with what the server has by their contents, and changes nothing. What
    /// [differs](crate::Observer::differs) is told.
    pub fn verify(self, source: impl Into<PathBuf>) -> Self {
        self.verify_all([source])
    }

    /// The same of several sources. A source of which the contents are in the destination itself is an error then, unless
    /// [a list](Self::files_from) names the entries.
    pub fn verify_all(self, sources: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.task(Task::Verify { sources: sources.into_iter().map(Into::into).collect() })
    }

    /// Gives the directory that is the destination its next version, whole: that of this source.
    pub fn publish(self, source: impl Into<PathBuf>) -> Self {
        self.task(Task::Publish { source: source.into() })
    }

    /// The number of connections at once, 1 to 64; otherwise one for each core, 2 to 8, and up to 8 over a line that loses
    /// segments.
    pub fn connections(mut self, connections: usize) -> Self {
        self.common.settings.connections = Some(connections);
        self
    }

    /// The congestion control of the connections, by the system's name for it; otherwise `bbr` where connections leave
    /// the machine and the system allows it.
    pub fn congestion(self, name: impl Into<String>) -> Self {
        Self { congestion: Some(name.into()), ..self }
    }

    /// The rules by which the server is trusted; otherwise [those of the user](Trust::of_user).
    pub fn trust(mut self, trust: Trust) -> Self {
        self.common.trust = Some(trust);
        self
    }

    /// Time for which the run tries to connect again when the server is lost, counted from the loss or the last answer of
    /// the server to any connection of the run; otherwise 5 minutes. If no server was reached when the run began, the
    /// run ends at once.
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.common.settings.retry_for = time;
        self
    }

    /// Number of attempts in a row to connect again within [that time](Self::retry_for), otherwise any number; and number
    /// of times that an entry is sent again which seems to break connections, otherwise 10.
    pub fn retries(mut self, retries: u32) -> Self {
        self.common.settings.retries = Some(retries);
        self
    }

    /// Time that the server may be silent while it owes answers; otherwise a minute.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.common.settings.timeout = timeout;
        self
    }

    /// The most bytes a second that all connections send together; at least 1000.
    pub fn rate(mut self, bytes: u64) -> Self {
        self.common.settings.rate = Some(bytes);
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

    /// Leaves out what fits a pattern of a file, which has one a line. `-` is standard input.
    pub fn exclude_from(mut self, file: impl Into<PathBuf>) -> Self {
        self.common.rules.push(Rule::From(file.into()));
        self
    }

    /// All rules at once.
    pub(crate) fn rules(mut self, rules: Rules) -> Self {
        self.common.rules = rules;
        self
    }

    /// Sets the treatment of symbolic links; by default they are sent as links.
    pub fn links(mut self, links: Links) -> Self {
        self.common.links = links;
        self
    }

    /// Leaves out all below a directory that another file system than that of its source is mounted on. The directory
    /// itself is sent, and what the server has in it stays there.
    pub fn one_file_system(self) -> Self {
        Self { one_file_system: true, ..self }
    }

    /// Takes only the names of a list, below the one source, which is a directory. `-` is standard input.
    pub fn files_from(self, list: impl Into<PathBuf>, separator: Separator) -> Self {
        Self { names: Some((list.into(), separator)), ..self }
    }

    /// Compares files of the same size by the digests of their bytes, read here and kept or read there, and not by mtime.
    pub fn checksum(self) -> Self {
        Self { by_digest: true, ..self }
    }

    /// Has the server read every byte that is compared, also of files whose digest it has kept. With `verify` only.
    pub fn reread(self) -> Self {
        Self { rereads: true, ..self }
    }

    /// Changes nothing, and tells what [would](crate::Observer::would) be done.
    pub fn dry_run(mut self) -> Self {
        self.common.dry_run = true;
        self
    }

    /// Leaves files and symbolic links alone that the server has, whatever they are.
    pub fn ignore_existing(mut self) -> Self {
        self.common.ignore_existing = true;
        self
    }

    /// Publishes an empty version if the source has nothing in it, or nothing that the rules leave; otherwise that is a
    /// failure. With `publish` only.
    pub fn publish_empty(self) -> Self {
        Self { publish_empty: true, ..self }
    }

    /// Removes each file and symbolic link on this machine when the server has it durably, if it has not changed since
    /// it was read. With `put` only.
    pub fn remove_source(self) -> Self {
        Self { remove_source: true, ..self }
    }

    /// Writes the digest of each file that is committed to a file, for `b3sum --check` in the server's root. A
    /// file that is there is replaced when the transfer ends, and stays if no server was reached.
    pub fn receipt(self, file: impl Into<PathBuf>) -> Self {
        Self { receipt: Some(file.into()), ..self }
    }

    /// Looks at the receipt's path before it is made.
    pub(crate) fn check_receipt(self, check: fn(&Path) -> io::Result<()>) -> Self {
        Self { check_receipt: check, ..self }
    }

    /// Speaks the dialect of the classic tutorial's server: files only, one after the other, and the server acknowledges
    /// nothing. With `put` only.
    pub fn classic(self) -> Self {
        Self { dialect: Dialect::Classic, ..self }
    }

    /// The command line has been searched for words that exclude each other; `haul shell --classic` lets some pass, and
    /// the classic dialect ignores those.
    pub(crate) fn conflicts_are_checked(self) -> Self {
        Self { conflicts_are_checked: true, ..self }
    }

    /// Is stopped by this handle.
    pub(crate) fn interrupted_by(mut self, interrupt: &Interrupt) -> Self {
        self.common.interrupt = interrupt.clone();
        self
    }
}
