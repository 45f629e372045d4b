//! From the addresses of a server to all that it needs before its first thread.

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use haul_protocol::{Pin, ServerLimits};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::Mode;

use super::bounds::{Bounds, bounds, default_workers, largest_file};
use crate::accounts::users_file::UsersFile;
use crate::accounts::{Accounts, View};
use crate::announcement::{Encryption, Offer};
use crate::audit::access::{AccessLog, AccessWriter};
use crate::audit::{Audit, Logs};
use crate::commit::notify::ConnectionId;
use crate::config::{AccessLogFile, Config, Durability};
use crate::error::StartError;
use crate::hooks::before_put::BeforePut;
use crate::hooks::program::{Callee, Host, check};
use crate::hooks::{BEFORE_PUT, ON_COMMIT, OnCommit, Program};
use crate::http::forwarded::Proxies;
use crate::http::host::Hosts;
use crate::http::origins::Origins;
use crate::keys::Keys;
use crate::keys::directory::Directory;
use crate::monitor::Monitor;
use crate::net::listen::{Entrance, Listen, Listener, Peer};
use crate::net::root_socket;
use crate::net::transport::Accepts;
use crate::runtime::Runtime;
use crate::services::invitation::Invitation;
use crate::services::tuning::Tuning;
use crate::services::{Services, Settings};
use crate::store::{OpenError, Store};
use crate::streams::{self, Known, may_serve};

/// Time that another server of the same root has to end, such as one that `hauld --stdio` has started.
const ENDING: Duration = Duration::from_secs(2);

/// Time between two attempts to open a root.
const AGAIN: Duration = Duration::from_millis(20);

/// A server that is bound to its addresses, and has opened nothing else.
#[derive(Debug)]
pub struct Listening {
    pub(super) config: Config,
    pub(super) listeners: Vec<Listener>,
    /// Where those who watch come in.
    pub(super) metrics: Vec<Listener>,
    /// The root, if it is open already.
    pub(super) directory: Option<OwnedFd>,
    /// The port that is open for one client.
    pub(super) direct: Option<(Listener, Invitation)>,
}

impl Listening {
    /// The addresses that are listened on.
    pub fn addresses(&self) -> impl Iterator<Item = &Listen> {
        self.listeners.iter().map(|listener| &listener.address)
    }

    /// All addresses that the process has bound itself, also that for those who watch the server.
    pub fn bound_addresses(&self) -> impl Iterator<Item = &Listen> {
        let all = self.listeners.iter().chain(&self.metrics);
        all.filter(|listener| !listener.is_given).map(|listener| &listener.address)
    }

    /// Opens and locks the root, and tidies up what an earlier server has left in it.
    ///
    /// # Errors
    /// If an address may not be served, or the root, a key, the accounts or a resource can't be had.
    pub fn open(self) -> Result<Ready, StartError> {
        let Self { config, mut listeners, metrics, directory, direct } = self;
        let keys = streams::keys(&config, &listeners)?;
        let accounts = accounts(&config, &listeners)?;
        tell_given(&listeners);
        let known = Known { has_accounts: accounts.are_there(), is_insecure: config.insecure };
        for listener in &mut listeners {
            may_serve(&listener.address, config.tls, known)?;
            streams::decide(listener, &config, keys.as_ref())?;
        }
        streams::may_be_behind(&config.trusted_proxies, known)?;
        let (logs, access) = logs(&config)?;
        let umask = Mode::from_raw_mode(config.umask);
        let durable = config.durability == Durability::Group && !config.read_only;
        let (path, keep_free) = (&config.root, config.keep_free);
        let store = match (directory, config.read_only) {
            (Some(root), false) => Store::open_at(root, path, umask, durable, keep_free)?,
            (None, false) => soon(|| Store::open(path, umask, durable, keep_free))?,
            (Some(root), true) => Store::open_read_only_at(root, path, umask)?,
            (None, true) => Store::open_read_only(path, umask)?,
        };
        let (on_commit, before_put) = hooks(&config, &store)?;
        let store = if config.kept_digests { store } else { store.without_kept_digests() };
        let tuning = tuning(&config);
        let workers = config.workers.map_or_else(default_workers, usize::from);
        let bounds = bounds(config.max_connections, workers, durable);
        tracing::info!(
            root = store.path().as_os_str().as_bytes(),
            durability = config.durability.as_str(),
            workers,
            max_connections = bounds.connections,
            "serving"
        );
        if let Some(keys) = &keys {
            tracing::info!(key = %keys.pin(), "takes TLS");
        }
        // Whoever starts a server for one client is the client.
        if !listeners.is_empty() && rustix::process::geteuid().is_root() {
            tracing::warn!(
                "running as root: uploaded files belong to root; use a user of its own (--user)"
            );
        }
        let mut watched = metrics;
        if !config.read_only {
            if !listeners.is_empty() {
                watched.extend(root_listener(&store, root_socket::STATUS));
            }
            listeners.extend(root_listener(&store, root_socket::JOIN));
        }
        let (direct, invitation) = direct.unzip();
        listeners.extend(direct);
        let Bounds { connections, door, places } = bounds;
        let may_change = !config.read_only;
        let whole = match config.guards_others {
            true => View::guarding_others(),
            false => View::default(),
        };
        let settings = Settings {
            may_change,
            whole,
            accounts,
            logs,
            on_commit,
            before_put,
            keys,
            invitation,
            tuning,
            hosts: Hosts::new(&config.http_hosts),
            origins: Origins::new(&config.http_origins),
            proxies: Proxies::new(&config.trusted_proxies),
            may_be_in_clear: config.insecure,
            places,
            connections,
            door,
        };
        let services = Arc::new(Services::new(store, settings));
        services.prepare_for(&services.accounts.all());
        let runtime = Runtime::new(services, listeners, workers, (connections, door))?;
        let monitor = match watched.is_empty() {
            true => None,
            false => Some(Monitor::new(watched)?),
        };
        for address in monitor.iter().flat_map(Monitor::addresses) {
            tracing::info!(%address, "tells metrics");
            if !address.is_local() {
                tracing::warn!(%address, "everybody who reaches this address can read the metrics");
            }
        }
        let monitor = monitor.map(Arc::new);
        Ok(Ready { runtime: Arc::new(runtime), workers, durable, config, monitor, access })
    }
}

/// A server that has opened everything outside its root that it will need, and has no thread yet.
#[derive(Debug)]
pub struct Ready {
    pub(super) runtime: Arc<Runtime>,
    pub(super) workers: usize,
    pub(super) durable: bool,
    pub(super) config: Config,
    pub(super) monitor: Option<Arc<Monitor>>,
    /// The work of the thread that writes the access log.
    pub(super) access: Option<AccessWriter>,
}

impl Ready {
    /// The root directory.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.runtime.services.store.directory()
    }

    /// The directories below the root in which files are made that are not to be seen yet: none if the server only reads.
    pub fn staging(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let only_reads = self.config.read_only;
        self.runtime.services.store.staging_directories().filter(move |_| !only_reads)
    }

    /// The addresses that are listened on.
    pub fn addresses(&self) -> impl Iterator<Item = &Listen> {
        self.runtime.addresses()
    }

    /// The addresses that other machines reach, and whether they take TLS.
    pub(crate) fn offers(&self) -> Vec<Offer> {
        let offer = |(address, accepts): (&Listen, &Accepts)| match address {
            Listen::Tcp(at) if !address.is_local() => {
                let tls = match (&accepts.tls, accepts.plain) {
                    (None, _) => Encryption::No,
                    (Some(_), true) => Encryption::Also,
                    (Some(_), false) => Encryption::Only,
                };
                Some(Offer { address: *at, tls })
            }
            _ => None,
        };
        self.runtime.entrances().filter_map(offer).collect()
    }

    /// A function that tells the pin of the present key.
    pub(crate) fn pin(&self) -> impl Fn() -> Option<Pin> + Send + 'static {
        let services = Arc::clone(&self.runtime.services);
        move || services.keys.as_ref().map(Keys::pin)
    }

    /// All addresses that the process has bound itself, also those for people and programs that watch the server.
    pub fn bound_addresses(&self) -> impl Iterator<Item = &Listen> {
        let watched = self.monitor.iter().flat_map(|monitor| monitor.bound_addresses());
        self.runtime.bound_addresses().chain(watched)
    }

    /// Takes a connection before the first thread starts: over this socket, of a peer that could change the root itself.
    pub(crate) fn adopt(
        &self,
        socket: UnixStream,
        address: &str,
    ) -> Result<ConnectionId, StartError> {
        let user = Some(rustix::process::geteuid().as_raw());
        let peer = Peer { address: address.to_owned(), at: None, user, entrance: Entrance::Input };
        socket.set_nonblocking(true)?;
        self.runtime.adopt(socket.into(), peer).ok_or(StartError::Io(ErrorKind::Other.into()))
    }
}

/// Opens a root, and waits shortly for another server of it that ends just now.
fn soon(open: impl Fn() -> Result<Store, OpenError>) -> Result<Store, OpenError> {
    let deadline = Instant::now() + ENDING;
    loop {
        match open() {
            Err(OpenError::InUse { .. }) if Instant::now() < deadline => thread::sleep(AGAIN),
            opened => return opened,
        }
    }
}

/// The listener in the root's own directory. Without one nobody can join this server.
fn root_listener(store: &Store, name: &str) -> Option<Listener> {
    let path = store.path().join(".haul");
    let private = store.own_directory().map_err(std::io::Error::from);
    match private.and_then(|private| root_socket::listen(&private, &path, name)) {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::debug!(%error, name, "no socket in `.haul`: other processes can't join this server, or ask it");
            None
        }
    }
}

/// Tells that somebody else has bound the addresses.
fn tell_given(listeners: &[Listener]) {
    for listener in listeners.iter().filter(|listener| listener.is_given) {
        tracing::info!(address = %listener.address, "was given this socket; the setting `listen` does not count");
    }
}

/// The audit log and the access log, and the work of the thread that writes the latter.
fn logs(config: &Config) -> Result<(Logs, Option<AccessWriter>), StartError> {
    let root = &config.root;
    let audit = config.audit.clone().map(|path| Audit::open(path, root)).transpose()?;
    let open = |AccessLogFile { path, format }| AccessLog::open(path, format, root, audit.as_ref());
    let access = config.access_log.clone().map(open).transpose()?;
    let (access, writer) = access.unzip();
    Ok((Logs { audit: audit.map(Arc::new), access }, writer))
}

/// The settings that may change while the server runs.
pub(super) fn tuning(config: &Config) -> Tuning {
    let limits = ServerLimits {
        max_file: largest_file(config.max_file),
        window_requests: config.window_requests,
        ..ServerLimits::default()
    };
    let Config { symlinks, timeouts, keep_partials, .. } = *config;
    Tuning { limits, symlinks, timeouts, keep_partials }
}

/// The hooks, and the process that starts their programs, which is never confined. A server that only reads has none.
fn hooks(
    config: &Config,
    store: &Store,
) -> Result<(Option<OnCommit>, Option<BeforePut>), StartError> {
    let wanted = [(ON_COMMIT, &config.on_commit), (BEFORE_PUT, &config.before_put)];
    let mut hooks = Vec::new();
    for (option, program) in wanted {
        let Some(program) = program.as_deref().filter(|_| !config.read_only) else { continue };
        let failed = |why| StartError::Hook(format!("--{option}: {why}"));
        hooks.push((option, check(option, program, store.path()).map_err(failed)?));
    }
    if hooks.is_empty() {
        return Ok((None, None));
    }
    let failed = |why: String| StartError::Hook(format!("the process for hooks: {why}"));
    let host = Host::start(&hooks, store.path(), config.umask);
    let host = Arc::new(host.map_err(|error| failed(error.to_string()))?);
    let (mut on_commit, mut before_put) = (None, None);
    for ((option, callee), number) in hooks.iter().zip(0..) {
        let is_post = matches!(callee, Callee::Url(_));
        let run = |time| Program { host: Arc::clone(&host), number, time, is_post };
        if *option == ON_COMMIT {
            let hook = OnCommit::open(store, run(config.hook_timeout), config.hook_spool);
            on_commit = Some(hook.map_err(failed)?);
        } else {
            let hook = BeforePut::new(run(config.hook_answer));
            before_put = Some(hook.map_err(|error| failed(error.to_string()))?);
        }
        match callee {
            Callee::Program(program) => {
                tracing::info!(hook = option, program = program.as_os_str().as_bytes(), "is run");
            }
            Callee::Url(url) => {
                tracing::info!(hook = option, to = url.place(), "is posted");
                if url.is_in_clear() {
                    tracing::warn!(hook = option, "everybody on the way can read what is posted");
                }
            }
        }
    }
    Ok((on_commit, before_put))
}

/// The accounts. If other machines reach the server, nobody may do anything without one, also once the last one has been
/// removed.
fn accounts(config: &Config, listeners: &[Listener]) -> Result<Accounts, StartError> {
    let is_open = listeners.iter().any(|listener| !listener.address.is_local())
        || !config.trusted_proxies.is_empty();
    let mut directory = config.config_dir.as_deref();
    if let Some(path) = directory {
        match Directory::new(path).outside(&config.root) {
            Err(error) if UsersFile::in_directory(path).path().exists() => return Err(error.into()),
            // Clients could put accounts there, so none are looked for.
            Err(_) => directory = None,
            Ok(()) => {}
        }
    }
    Ok(Accounts::open(directory, is_open && !config.insecure)?)
}
