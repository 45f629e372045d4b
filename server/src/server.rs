//! Start and stop.

mod bounds;
mod opening;
mod threads;

use std::sync::Arc;
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::fs::Mode;

use crate::commit::notify::ConnectionId;
use crate::config::Config;
use crate::error::StartError;
use crate::hooks::{BEFORE_PUT, ON_COMMIT};
use crate::maintenance::sweeper::Sweeper;
use crate::maintenance::watcher;
use crate::net::given::Given;
use crate::net::listen::{Listen, Listener};
use crate::net::root_socket;
use crate::runtime::worker::Worker;
use crate::runtime::{Runtime, timer};
use crate::services::invitation::Invitation;
use crate::store::Store;
use opening::tuning;
pub use opening::{Listening, Ready};
use threads::{AbortOnPanic, Watched, ask, commit, deliver, joined, joined_soon, writing};

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
    access: Option<JoinHandle<()>>,
    on_commit: Option<JoinHandle<()>>,
    before_put: Option<JoinHandle<()>>,
    config: Config,
}

/// Time between two looks whether the committer is done.
const LOOK: Duration = Duration::from_millis(10);

/// Time that a hook has at least for its last changes when the server stops.
const LEAST_FOR_HOOKS: Duration = Duration::from_secs(1);

impl Ready {
    /// Starts all threads.
    ///
    /// # Errors
    /// If a thread can't be had.
    pub fn start(self) -> Result<Server, StartError> {
        let Self { runtime, workers, durable, config, monitor, access } = self;
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
        let on_commit = match runtime.services.on_commit.is_some() {
            true => Some(spawn(String::from(ON_COMMIT), deliver)?),
            false => None,
        };
        let before_put = match runtime.services.before_put.is_some() {
            true => Some(spawn(String::from(BEFORE_PUT), ask)?),
            false => None,
        };
        let watched = match monitor {
            Some(monitor) => Some(Watched::start(&runtime, monitor)?),
            None => None,
        };
        let access = access.map(writing).transpose()?;
        Ok(Server {
            runtime,
            workers,
            timer,
            committer,
            counter,
            sweeper,
            watcher,
            watched,
            access,
            on_commit,
            before_put,
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
        Self::listen(config, Given::default())?.open()?.start()
    }

    /// The first of the steps of [`start`](Self::start), for a program that changes its process between them: it may need to
    /// be root to bind an address, it opens its root as the user who owns it, and its threads inherit a sandbox. Sockets that are
    /// `given` take the place of the addresses of the configuration.
    ///
    /// # Errors
    /// If an address can't be had, or the root is missing and can't be made.
    pub fn listen(config: &Config, given: Given) -> Result<Listening, StartError> {
        // The file of a Unix socket may be in it.
        if !config.read_only {
            Store::make_root(&config.root, Mode::from_raw_mode(config.umask))?;
        }
        let Given { clients: mut listeners, mut metrics } = given;
        if listeners.is_empty() {
            listeners = config.listen.iter().map(Listen::bind).collect::<Result<_, _>>()?;
        }
        if metrics.is_empty() {
            metrics = config.metrics.iter().map(Listen::bind).collect::<Result<_, _>>()?;
        }
        Ok(Listening { config: config.clone(), listeners, metrics, directory: None, direct: None })
    }

    /// The same for a root that is open already, whose path is for people, and without any address, but for a port that is open
    /// for one client.
    pub(crate) fn at(
        directory: OwnedFd,
        config: Config,
        direct: Option<(Listener, Invitation)>,
    ) -> Listening {
        let (listeners, metrics, directory) = (Vec::new(), Vec::new(), Some(directory));
        Listening { config, listeners, metrics, directory, direct }
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
        if let (Some(hook), Some(thread)) = (&services.before_put, self.before_put) {
            hook.stop();
            joined(thread);
        }
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
        if let (Some(hook), Some(thread)) = (&services.on_commit, self.on_commit) {
            let left = services.clock.grace_left().max(LEAST_FOR_HOOKS);
            hook.spool.stop(Instant::now() + left);
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
        if let Some(audit) = &services.logs.audit {
            audit.end();
        }
        if let (Some(log), Some(thread)) = (&services.logs.access, self.access) {
            log.end();
            joined_soon(thread);
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

    /// A function that opens the audit log and the access log anew, for a program that is told that the files were renamed.
    /// `None`: the server has neither.
    pub fn log_reopener(&self) -> Option<impl Fn() + Send + 'static> {
        let logs = &self.runtime.services.logs;
        let logs = logs.are_there().then(|| logs.clone())?;
        Some(move || logs.reopen())
    }
}
