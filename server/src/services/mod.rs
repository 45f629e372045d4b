//! Workers serve all requests with these, whichever connection they come over: the store, uploads, versions, places, the clock.
//! Knows no connection.

pub(crate) mod budget;
pub(crate) mod clock;
mod drop_box;
pub(crate) mod fence;
pub(crate) mod invitation;
pub(crate) mod lines;
pub(crate) mod places;
pub(crate) mod seats;
pub(crate) mod sessions;
pub(crate) mod start;
pub(crate) mod timeouts;
pub(crate) mod tuning;

use std::sync::Arc;

use haul_protocol::Durability;

use crate::accounts::{Account, Accounts, View};
use crate::audit::{Event, Logs};
use crate::commit::committer::Committer;
use crate::hooks::before_put::BeforePut;
use crate::hooks::{self, OnCommit, Reserved};
use crate::http::forwarded::Proxies;
use crate::http::host::Hosts;
use crate::http::origins::Origins;
use crate::keys::Keys;
use crate::locks::{Mutex, Rank};
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::store::{Limits, Store};
use crate::uploads::Uploads;
use crate::versions::leases::Publications;
use budget::Budgets;
use clock::Clock;
use fence::Fences;
use invitation::Invitation;
use lines::Lines;
use places::Places;
use seats::Seats;
use sessions::Sessions;
use tuning::{Tuned, Tuning};

/// All that workers serve requests with.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) accounts: Accounts,
    /// Held by the thread that reads the accounts again.
    rereading: Mutex<()>,
    pub(crate) budgets: Budgets,
    /// Connections that are served at once, if there are accounts.
    pub(crate) seats: Arc<Seats>,
    /// Logins of browsers.
    pub(crate) sessions: Sessions,
    pub(crate) logs: Logs,
    /// The hook that is told of changes. `None`: nobody wants one.
    pub(crate) on_commit: Option<Arc<OnCommit>>,
    /// The hook that is asked before the bytes of a file are taken. `None`: nobody wants one.
    pub(crate) before_put: Option<Arc<BeforePut>>,
    pub(crate) store: Arc<Store>,
    /// Whether anything may be changed: not by a server that only reads.
    pub(crate) may_change: bool,
    /// The root that a client without an account sees.
    pub(crate) whole: View,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) publications: Publications,
    pub(crate) fences: Fences,
    /// Makes changes durable; `None` if nobody waits for the disk.
    pub(crate) committer: Option<Committer>,
    pub(crate) places: Places,
    /// The server's key, if it takes TLS.
    pub(crate) keys: Option<Keys>,
    /// The token of peers that come in by [`Entrance::Direct`](crate::net::listen::Entrance::Direct).
    pub(crate) invitation: Option<Invitation>,
    tuned: Tuned,
    /// The names by which clients of HTTP may call the server.
    pub(crate) hosts: Hosts,
    /// Pages of other servers that may ask here.
    pub(crate) origins: Origins,
    /// Proxies that are believed for whom they ask.
    pub(crate) proxies: Proxies,
    /// Whether a client of another machine may reach such a proxy in clear.
    pub(crate) may_be_in_clear: bool,
    pub(crate) clock: Clock,
    pub(crate) lines: Lines,
    pub(crate) metrics: Arc<Metrics>,
}

/// Settings of a server.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) may_change: bool,
    pub(crate) whole: View,
    pub(crate) accounts: Accounts,
    pub(crate) logs: Logs,
    pub(crate) on_commit: Option<OnCommit>,
    pub(crate) before_put: Option<BeforePut>,
    pub(crate) keys: Option<Keys>,
    pub(crate) invitation: Option<Invitation>,
    pub(crate) tuning: Tuning,
    pub(crate) hosts: Hosts,
    pub(crate) origins: Origins,
    pub(crate) proxies: Proxies,
    pub(crate) may_be_in_clear: bool,
    /// Files whose bytes may have come in part.
    pub(crate) places: usize,
    /// Connections that are served at once.
    pub(crate) connections: usize,
    /// Connections besides them, whose clients have not logged in, or are to leave.
    pub(crate) door: usize,
}

impl Services {
    /// Over a store. If it is durable, there is a committer, which the caller has to run.
    pub(crate) fn new(store: Store, settings: Settings) -> Self {
        let Settings {
            may_change,
            whole,
            accounts,
            logs,
            on_commit,
            before_put,
            keys,
            invitation,
            tuning,
            hosts,
            origins,
            proxies,
            may_be_in_clear,
            places,
            connections,
            door,
        } = settings;
        let committer = store.is_durable().then(Committer::new);
        let (store, uploads) = (Arc::new(store), Arc::new(Uploads::default()));
        let publications =
            Publications::new(Arc::clone(&store), Arc::clone(&uploads), tuning.timeouts.body);
        Self {
            accounts,
            rereading: Mutex::new(Rank::Rereading, ()),
            budgets: Budgets::default(),
            // The other half is for those that come.
            seats: Seats::new(connections, door / 2),
            sessions: Sessions::default(),
            logs,
            on_commit: on_commit.map(Arc::new),
            before_put: before_put.map(Arc::new),
            store,
            may_change,
            whole,
            uploads,
            publications,
            fences: Fences::default(),
            committer,
            places: Places::new(places),
            keys,
            invitation,
            tuned: Tuned::new(tuning),
            hosts,
            origins,
            proxies,
            may_be_in_clear,
            clock: Clock::default(),
            lines: Lines::default(),
            metrics: Arc::default(),
        }
    }

    /// The settings that may change, as they are now.
    pub(crate) fn tuning(&self) -> Tuning {
        self.tuned.get()
    }

    /// From now on these hold, and so many bytes stay free on the disk.
    pub(crate) fn tune(&self, tuning: Tuning, keep_free: u64) {
        self.tuned.set(tuning);
        self.store.keep_free(keep_free);
    }

    /// The promise of an ack, in the word of `hello`.
    pub(crate) fn durability(&self) -> Durability {
        if self.committer.is_some() { Durability::Group } else { Durability::None }
    }

    /// Reads the accounts again if they have changed, unless the file does not stand still, and ends the logins that are over;
    /// to be called each second and when the file has changed.
    pub(crate) fn look_at_accounts(&self, reads: bool) {
        let _turn = self.rereading.lock();
        self.accounts.look(reads, |accounts| {
            if let Some(audit) = &self.logs.audit {
                audit.accounts(&self.accounts.all(), accounts);
            }
            self.prepare_for(accounts);
        });
        if let Some(audit) = &self.logs.audit {
            audit.look();
        }
        self.lines.look();
    }

    /// Before a token is refused: if `hauld user` has replaced the accounts since they were read, reads them now.
    pub(crate) fn catch_up_with_accounts(&self) {
        if self.accounts.is_replaced() {
            self.look_at_accounts(true);
        }
    }

    /// Whether anybody is told of the changes that clients make.
    pub(crate) fn tells_changes(&self) -> bool {
        self.logs.are_there() || self.on_commit.is_some()
    }

    /// Whether the digests of files are told with their changes, also where the client states none.
    pub(crate) fn tells_digests(&self) -> bool {
        self.logs.audit.is_some() || self.on_commit.is_some()
    }

    /// Reserves room for what the hook has to be told of these changes, if there is a hook and it is told of any.
    ///
    /// # Errors
    /// If the hook is so far behind that no more can wait for it.
    pub(crate) fn reserve_told(&self, events: &[Event]) -> Result<Option<Reserved>, Refusal> {
        match &self.on_commit {
            Some(hook) if events.iter().any(hooks::is_told) => hook.reserve(events).map(Some),
            _ => Ok(None),
        }
    }

    /// Has the audit log written as far as it is known: before an answer leaves.
    pub(crate) fn flush_audit(&self) {
        self.logs.flush();
    }

    /// Before any client is one of these accounts, which are all that there are: sets their limits, and makes the roots that
    /// are not there yet. A root that can't be made is told when a client logs in.
    pub(crate) fn prepare_for(&self, accounts: &[Arc<Account>]) {
        self.budgets.limit(accounts.iter().map(|account| &**account), self.now());
        for root in accounts.iter().filter_map(|account| account.view.root()) {
            if let Err(error) = self.store.make_account_root(root) {
                tracing::error!(root = root.as_bytes(), %error, "an account's root can't be had");
            }
        }
        // A root is counted from when it is there.
        let limits = |account: &Arc<Account>| {
            let (bytes, files) = (account.quota_bytes, account.quota_files);
            let root = account.view.root().cloned();
            let limits = || Limits { account: account.name.to_string(), root, bytes, files };
            (bytes.is_some() || files.is_some()).then(limits)
        };
        self.store.quotas.set(accounts.iter().filter_map(limits).collect());
    }

    /// Milliseconds since the server started.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }
}
