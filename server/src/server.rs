//! Start and stop.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use haul_protocol::ServerLimits;
use haul_protocol::limits::MAX_BUNDLED;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::Mode;
use rustix::process::{Resource, getrlimit};

use crate::accounts::users_file::UsersFile;
use crate::accounts::{Accounts, View};
use crate::audit::Audit;
use crate::commit::committer::MAX_QUEUED;
use crate::commit::notify::ConnectionId;
use crate::config::{Config, Durability};
use crate::error::StartError;
use crate::http::host::Hosts;
use crate::keys::directory::Directory;
use crate::maintenance::sweeper::Sweeper;
use crate::maintenance::watcher;
use crate::monitor::Monitor;
use crate::net::listen::{Entrance, Listen, Listener, Peer};
use crate::net::root_socket;
use crate::runtime::worker::Worker;
use crate::runtime::{Runtime, timer};
use crate::services::invitation::Invitation;
use crate::services::tuning::Tuning;
use crate::services::{Services, Settings};
use crate::store::{OpenError, Store};
use crate::streams::{self, Known, may_serve};
use crate::uploads::MAX_OPEN;
use crate::versions::leases::MAX_VERSIONS;

/// A running server.
#[derive(Debug)]
pub struct Server {
    runtime: Arc<Runtime>,
    workers: Vec<JoinHandle<()>>,
    timer: JoinHandle<()>,
    committer: Option<JoinHandle<()>>,
    counter: JoinHandle<()>,
    sweeper: Option<Sweeper>,
    watcher: JoinHandle<()>,
    watched: Option<Watched>,
    config: Config,
}

/// The threads for those who watch the server.
#[derive(Debug)]
struct Watched {
    monitor: Arc<Monitor>,
    threads: [JoinHandle<()>; 2],
}

impl Watched {
    fn start(runtime: &Arc<Runtime>, monitor: Arc<Monitor>) -> std::io::Result<Self> {
        monitor.look(runtime);
        let spawn = |name: &str, run: fn(&Monitor, &Runtime)| {
            let (monitor, runtime) = (Arc::clone(&monitor), Arc::clone(runtime));
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                let _end_with_me = AbortOnPanic;
                run(&monitor, &runtime);
            })
        };
        let threads = [spawn("monitor", Monitor::serve)?, spawn("disk", Monitor::keep_looking)?];
        Ok(Self { monitor, threads })
    }

    /// Ends both. A disk that does not answer keeps nobody from it.
    fn stop(self) {
        self.monitor.stop();
        let [monitor, disk] = self.threads;
        joined(monitor);
        if disk.is_finished() {
            joined(disk);
        }
    }
}

/// Time between two looks whether the committer is done.
const LOOK: Duration = Duration::from_millis(10);

/// Time that another server of the same root has to end, such as one that `hauld --stdio` has started.
const ENDING: Duration = Duration::from_secs(2);

/// Time between two attempts to open a root.
const AGAIN: Duration = Duration::from_millis(20);

/// Files that are open besides connections, staged files and uploads.
const OTHER_FILES: u64 = 64;

/// Connections at once if the limit of open files allows.
const USUAL_CONNECTIONS: u64 = 10_000;

/// Connections besides these, at most, whose clients have not logged in or are to leave.
const MOST_AT_DOOR: usize = 64;

/// A server that is bound to its addresses, and has opened nothing else.
#[derive(Debug)]
pub struct Listening {
    config: Config,
    listeners: Vec<Listener>,
    /// Where those who watch come in.
    metrics: Option<Listener>,
    /// The root, if it is open already.
    directory: Option<OwnedFd>,
    /// The port that is open for one client.
    direct: Option<(Listener, Invitation)>,
}

impl Listening {
    /// The addresses that are listened on.
    pub fn addresses(&self) -> impl Iterator<Item = &Listen> {
        self.listeners.iter().map(|listener| &listener.address)
    }

    /// The same, and the address for those who watch the server.
    pub fn all_addresses(&self) -> impl Iterator<Item = &Listen> {
        self.addresses().chain(self.metrics.iter().map(|listener| &listener.address))
    }

    /// Opens and locks the root, and tidies up what an earlier server has left in it.
    ///
    /// # Errors
    /// If an address may not be served, or the root, a key, the accounts or a resource can't be had.
    pub fn open(self) -> Result<Ready, StartError> {
        let Self { config, mut listeners, metrics, directory, direct } = self;
        let keys = streams::keys(&config)?;
        let accounts = accounts(&config)?;
        let known = Known { has_accounts: accounts.are_there(), is_insecure: config.insecure };
        for listener in &mut listeners {
            may_serve(&listener.address, config.tls, known)?;
            streams::decide(listener, &config, keys.as_ref())?;
        }
        let audit = config.audit.clone().map(|path| Audit::open(path, &config.root)).transpose()?;
        let umask = Mode::from_raw_mode(config.umask);
        let durable = config.durability == Durability::Group && !config.read_only;
        let (path, keep_free) = (&config.root, config.keep_free);
        let store = match (directory, config.read_only) {
            (Some(root), false) => Store::open_at(root, path, umask, durable, keep_free)?,
            (None, false) => soon(|| Store::open(path, umask, durable, keep_free))?,
            (Some(root), true) => Store::open_read_only_at(root, path, umask)?,
            (None, true) => Store::open_read_only(path, umask)?,
        };
        let store = if config.kept_digests { store } else { store.without_kept_digests() };
        let tuning = tuning(&config);
        let workers = config.workers.map_or_else(default_workers, usize::from);
        let bounds = bounds(config.max_connections, workers, durable);
        tracing::info!(
            root = %store.path().display(),
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
        let mut watched: Vec<Listener> = metrics.into_iter().collect();
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
            audit,
            keys,
            invitation,
            tuning,
            hosts: Hosts::new(&config.http_hosts),
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
        Ok(Ready { runtime: Arc::new(runtime), workers, durable, config, monitor })
    }
}

/// A server that has opened everything outside its root that it will need, and has no thread yet.
#[derive(Debug)]
pub struct Ready {
    runtime: Arc<Runtime>,
    workers: usize,
    durable: bool,
    config: Config,
    monitor: Option<Arc<Monitor>>,
}

impl Ready {
    /// The root directory.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.runtime.services.store.directory()
    }

    /// The addresses that are listened on.
    pub fn addresses(&self) -> impl Iterator<Item = &Listen> {
        self.runtime.addresses()
    }

    /// All addresses that are listened on, also those for people and programs that watch the server.
    pub fn all_addresses(&self) -> impl Iterator<Item = &Listen> {
        let watched = self.monitor.iter().flat_map(|monitor| monitor.addresses());
        self.runtime.addresses().chain(watched)
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

    /// Starts all threads.
    ///
    /// # Errors
    /// If a thread can't be had.
    pub fn start(self) -> Result<Server, StartError> {
        let Self { runtime, workers, durable, config, monitor } = self;
        let spawn = |name: String, run: fn(&Arc<Runtime>)| {
            let runtime = Arc::clone(&runtime);
            thread::Builder::new().name(name).spawn(move || {
                let _end_with_me = AbortOnPanic;
                run(&runtime);
            })
        };
        let workers = (0..workers)
            .map(|index| spawn(format!("worker-{index}"), |runtime| Worker::new(runtime).run()))
            .collect::<Result<_, _>>()?;
        let timer = spawn(String::from("timer"), timer::run)?;
        let committer = match durable {
            true => Some(spawn(String::from("committer"), commit)?),
            false => None,
        };
        let counter = spawn(String::from("counter"), |runtime| runtime.services.store.count())?;
        // In a root that nothing may change there is nothing to sweep.
        let sweep = || Sweeper::start(Arc::clone(&runtime.services));
        let sweeper = (!config.read_only).then(sweep).transpose()?;
        let watcher = spawn(String::from("watcher"), |runtime| {
            watcher::run(&runtime.services, || runtime.has_stopped());
        })?;
        let watched = match monitor {
            Some(monitor) => Some(Watched::start(&runtime, monitor)?),
            None => None,
        };
        Ok(Server {
            runtime,
            workers,
            timer,
            committer,
            counter,
            sweeper,
            watcher,
            watched,
            config,
        })
    }
}

impl Server {
    /// Listens, locks the root and starts all threads.
    ///
    /// Modes that clients send are exact only if the process has umask 0; its limit of open files bounds how many connections
    /// there may be. [`process::prepare`](crate::process::prepare) sees to both.
    ///
    /// # Errors
    /// If an address, the root or a resource can't be had.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        Self::listen(config)?.open()?.start()
    }

    /// The first of the steps of [`start`](Self::start), for a program that changes its process between them: it may need to
    /// be root to bind an address, it opens its root as the user who owns it, and its threads inherit a sandbox.
    ///
    /// # Errors
    /// If an address can't be had, or the root is missing and can't be made.
    pub fn listen(config: &Config) -> Result<Listening, StartError> {
        // The file of a Unix socket may be in it.
        if !config.read_only {
            Store::make_root(&config.root, Mode::from_raw_mode(config.umask))?;
        }
        let listeners = config.listen.iter().map(Listen::bind).collect::<Result<_, _>>()?;
        let metrics = config.metrics.as_ref().map(Listen::bind).transpose()?;
        Ok(Listening { config: config.clone(), listeners, metrics, directory: None, direct: None })
    }

    /// The same for a root that is open already, whose path is for people, and without any address, but for a port that is open
    /// for one client.
    pub(crate) fn at(
        directory: OwnedFd,
        config: Config,
        direct: Option<(Listener, Invitation)>,
    ) -> Listening {
        let (listeners, directory) = (Vec::new(), Some(directory));
        Listening { config, listeners, metrics: None, directory, direct }
    }

    /// The addresses that are listened on.
    pub fn addresses(&self) -> impl Iterator<Item = &Listen> {
        self.runtime.addresses()
    }

    /// A function that stops this server from another thread.
    pub fn stopper(&self) -> impl FnOnce() + Send + 'static {
        let runtime = Arc::clone(&self.runtime);
        move || runtime.stop()
    }

    /// Stops if there is no connection; none comes in between.
    pub(crate) fn stop_if_idle(&self) -> bool {
        let stops = self.runtime.stop_if_idle();
        if stops {
            self.timer.thread().unpark();
        }
        stops
    }

    /// Unparks this thread whenever a connection has ended.
    pub(crate) fn is_followed_by(&self, thread: Thread) {
        self.runtime.is_followed_by(thread);
    }

    /// Whether a connection still is.
    pub(crate) fn is_connected(&self, connection: ConnectionId) -> bool {
        self.runtime.is_connected(connection)
    }

    /// Whether trees that nobody needs wait to be removed.
    pub(crate) fn is_sweeping(&self) -> bool {
        self.sweeper.is_some() && self.runtime.services.store.trash.has_any()
    }

    /// Number of connections of other clients than the one for whom a port is open.
    pub(crate) fn others(&self) -> usize {
        self.runtime.others()
    }

    /// Takes nobody more in at that port.
    pub(crate) fn close_direct(&self) {
        self.runtime.close_direct();
    }

    /// Ends all connections that have come in there: the client is gone.
    pub(crate) fn end_direct(&self) {
        self.runtime.end_direct();
    }

    /// Waits until the server has been stopped and all its threads have ended.
    pub fn join(self) {
        self.stopped();
    }

    /// The same, for a server that came for one client: removes what it has made in the root of its own and nobody needs, and
    /// calls `left`. To close the handles on removed directories takes the kernel some time after that.
    pub(crate) fn join_and_leave(self, left: impl FnOnce()) {
        let services = Arc::clone(&self.runtime.services);
        self.stopped();
        if services.may_change {
            services.store.leave();
        }
        left();
    }

    fn stopped(self) {
        for thread in self.workers.into_iter().chain([self.timer]) {
            joined(thread);
        }
        let services = &self.runtime.services;
        // While the root is still locked: the next server has a socket of its own.
        if services.may_change
            && let Ok(private) = services.store.own_directory()
        {
            for name in [root_socket::JOIN, root_socket::STATUS] {
                let _ = root_socket::remove(&private, name);
            }
        }
        // The committer makes the changes that workers have queued durable before the process ends, as far as there is time.
        if let (Some(committer), Some(thread)) = (&services.committer, self.committer) {
            committer.stop();
            while !thread.is_finished() && !services.clock.is_grace_over() {
                thread::park_timeout(LOOK);
            }
            if !thread.is_finished() {
                let changes = committer.abandon();
                tracing::warn!(changes, "the grace time is over, changes are not carried out");
            }
            joined(thread);
        }
        if let Some(watched) = self.watched {
            watched.stop();
        }
        services.store.stop_counting();
        joined(self.counter);
        if let Some(sweeper) = self.sweeper {
            sweeper.stop();
        }
        self.watcher.thread().unpark();
        joined(self.watcher);
        if let Some(audit) = &services.audit {
            audit.end();
        }
    }

    /// A function that takes over the settings of another configuration that may change while the server runs; returns the
    /// names of the other ones that differ, for which the server has to be started again.
    pub fn tuner(&self) -> impl Fn(&Config) -> Vec<&'static str> + Send + 'static {
        let (runtime, started) = (Arc::clone(&self.runtime), self.config.clone());
        move |config| {
            runtime.services.tune(tuning(config), config.keep_free);
            runtime.services.metrics.reloaded(true);
            started.needs_restart(config)
        }
    }

    /// A function that tells the metrics that the settings were read again and are wrong.
    pub fn reload_failed(&self) -> impl Fn() + Send + 'static {
        let metrics = Arc::clone(&self.runtime.services.metrics);
        move || metrics.reloaded(false)
    }

    /// A function that tells whether a worker, the committer or the timer has been at one piece of work for longer than a time.
    pub fn watcher(&self) -> impl Fn(Duration) -> bool + Send + 'static {
        let runtime = Arc::clone(&self.runtime);
        move |limit| runtime.is_stuck(limit)
    }

    /// A function that opens the audit log anew, for a program that is told that the file was renamed. `None`: the server
    /// has no audit log.
    pub fn audit_reopener(&self) -> Option<impl Fn() + Send + 'static> {
        let audit = Arc::clone(self.runtime.services.audit.as_ref()?);
        Some(move || audit.reopen())
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

/// The settings that may change while the server runs.
fn tuning(config: &Config) -> Tuning {
    let limits = ServerLimits {
        max_file: largest_file(config.max_file),
        window_requests: config.window_requests,
        ..ServerLimits::default()
    };
    let Config { symlinks, timeouts, keep_partials, .. } = *config;
    Tuning { limits, symlinks, timeouts, keep_partials }
}

fn commit(runtime: &Arc<Runtime>) {
    let Services { store, uploads, committer, audit, metrics, .. } = &*runtime.services;
    if let Some(committer) = committer {
        committer.run(store, uploads, &**runtime, (audit.as_deref(), metrics));
    }
}

/// Without one of its threads the server would hang sooner or later, and its clients would wait for ever. A process that
/// is gone they notice, and every acknowledged change survives.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!(thread = thread::current().name(), "a thread has panicked");
            std::process::abort();
        }
    }
}

/// The largest file that the process may write: the server tells a client before the first byte that a larger one is refused.
fn largest_file(wanted: u64) -> u64 {
    match getrlimit(Resource::Fsize).current {
        Some(limit) if limit < wanted => {
            tracing::warn!(
                limit,
                "files can't be larger than this process may write them (ulimit -f, or LimitFSIZE= of systemd)"
            );
            limit
        }
        _ => wanted,
    }
}

fn joined(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread has panicked");
    }
}

/// The accounts. If other machines reach the server, nobody may do anything without one, also once the last one has been
/// removed.
fn accounts(config: &Config) -> Result<Accounts, StartError> {
    let is_open = config.listen.iter().any(|listen| !listen.is_local());
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

fn default_workers() -> usize {
    thread::available_parallelism().map_or(4, |cores| (2 * cores.get()).max(4))
}

/// The most connections and places at once; both together follow from the limit of open files.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    connections: usize,
    /// Connections besides these if there are accounts: their clients have not logged in, or are to leave.
    door: usize,
    /// Files whose bytes have come in part.
    places: usize,
}

/// Derives the bounds from the limit of open files.
fn bounds(wanted: Option<usize>, workers: usize, durable: bool) -> Bounds {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // A worker holds some parents, the new directories that it fills, and one file of its own.
    let queued = if durable { 2 * MAX_QUEUED as u64 } else { 0 };
    // And the files of a bundle are queued as a whole, however full the queue is.
    let worker = 64 + if durable { MAX_BUNDLED } else { 0 };
    let taken = OTHER_FILES
        + 3 * MAX_VERSIONS as u64
        + 2 * MAX_OPEN as u64
        + worker * workers as u64
        + queued;
    // Under full load fewer files are left than that: then what needs one is refused as busy, and tried again.
    let least = files / 4;
    let free = files.saturating_sub(taken);
    if free < least {
        tracing::warn!(
            files,
            "so few files may be open that requests are refused as busy under full load (ulimit -n, or LimitNOFILE= of \
             systemd)"
        );
    }
    let free = usize::try_from(free.max(least)).unwrap_or(usize::MAX).max(2);
    // Most connections are idle, or send requests that come whole in one read.
    let possible = (free / 4 * 3).max(1);
    let usual = usize::try_from(USUAL_CONNECTIONS).unwrap_or(usize::MAX);
    let door = (possible / 8).clamp(1, MOST_AT_DOOR);
    let connections = wanted.unwrap_or(usual).clamp(1, possible.saturating_sub(door).max(1));
    Bounds { connections, door, places: free.saturating_sub(connections + door).max(1) }
}
