//! The server's side of being discoverable: starts the process that answers multicast DNS, and tells it what is announced.
//! That process reads packets of strangers, so it has nothing of this one ([`responder`](crate::responder)).

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use haul_protocol::Pin;

use crate::announcement::{Announcement, Discoverable, Offer, host_label};
use crate::error::StartError;
use crate::log::LogFormat;
use crate::net::listen::Listen;
use crate::server::Ready;

/// Time between two looks at the server's key, and at the process.
const LOOK: Duration = Duration::from_millis(200);

/// Time that the process has to take everything back.
const GOODBYE: Duration = Duration::from_secs(2);

/// Variables that the process keeps.
const KEPT: [&str; 1] = ["HAUL_LOG"];

/// Whether a server at these addresses may be discoverable.
///
/// # Errors
/// If no other machine reaches any of them.
pub fn may_announce<'a>(mut addresses: impl Iterator<Item = &'a Listen>) -> Result<(), StartError> {
    if addresses.any(|address| !address.is_local()) {
        return Ok(());
    }
    Err(StartError::Usage(String::from(
        "--discoverable tells other machines of this server, and none reaches it: add an address of this machine to --listen, \
         such as 0.0.0.0:8080, or leave --discoverable out",
    )))
}

/// The process that answers, which has been told nothing yet.
pub struct Responding {
    child: Child,
    input: ChildStdin,
    announcement: Announcement,
    pin: Box<dyn Fn() -> Option<Pin> + Send>,
}

impl Responding {
    /// Starts it, while this process may still start others.
    ///
    /// # Errors
    /// If there is no process to be had.
    pub fn start(
        ready: &Ready,
        discoverable: &Discoverable,
        is_confined: bool,
        log: LogFormat,
    ) -> Result<Self, StartError> {
        let failed = |error: io::Error| {
            StartError::Process(format!("no process for --discoverable: {error}"))
        };
        let mut command = Command::new("/proc/self/exe");
        let kept = KEPT.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        command
            .arg0("hauld")
            .arg("--responder")
            .args((!is_confined).then_some("--no-sandbox"))
            .args((log == LogFormat::Json).then_some("--log-format=json"))
            .env_clear()
            .envs(kept)
            .current_dir("/")
            // Signals of a terminal are for the server, which then ends this one.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        let input = child.stdin.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let announcement = announcement(ready.offers(), discoverable);
        Ok(Self { child, input, announcement, pin: Box::new(ready.pin()) })
    }

    /// Announces the server, which serves from now on.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn announce(self) -> io::Result<Announcer> {
        let (sender, orders) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(String::from("announcer"))
            .spawn(move || self.keep_up(&orders))?;
        Ok(Announcer { sender, thread })
    }

    /// Tells the process of every change, until nobody orders anything any more.
    fn keep_up(mut self, orders: &Receiver<Order>) {
        let mut last = Vec::new();
        loop {
            self.announcement.pin = (self.pin)().map(|pin| pin.to_string());
            match self.announcement.line() {
                Ok(line) if line != last => {
                    // If the process is gone, that is told below.
                    let _ = self.input.write_all(&line);
                    last = line;
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "could not announce the server"),
            }
            match orders.recv_timeout(LOOK) {
                Ok(Order::Change(discoverable)) => {
                    self.announcement.name = discoverable.name(&machine());
                }
                Ok(Order::Withdraw) | Err(RecvTimeoutError::Disconnected) => {
                    return end(self.child, self.input);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                tracing::error!(
                    %status,
                    "the process that answers multicast DNS has ended: nobody finds this server by it until hauld is started \
                     again; everything else goes on"
                );
                return;
            }
        }
    }
}

/// Has the process take everything back, and waits shortly for that.
fn end(mut child: Child, input: ChildStdin) {
    drop(input);
    let begun = Instant::now();
    while begun.elapsed() < GOODBYE {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(10)),
            _ => return,
        }
    }
    // In its sandbox the server can't signal it, and its input has ended.
    tracing::warn!("the process that answers multicast DNS takes its time to end");
}

#[derive(Debug)]
enum Order {
    Change(Discoverable),
    Withdraw,
}

/// A server that is announced.
#[derive(Debug)]
pub struct Announcer {
    sender: Sender<Order>,
    thread: JoinHandle<()>,
}

impl Announcer {
    /// Announces the server otherwise, or no more, from now on.
    pub fn change(&self, discoverable: &Discoverable) {
        // A process that has ended was told of.
        let _ = self.sender.send(Order::Change(discoverable.clone()));
    }

    /// Takes the announcement back, without waiting for that.
    pub fn withdraw(&self) {
        let _ = self.sender.send(Order::Withdraw);
    }

    /// Takes the announcement back, and waits until the network has been told.
    pub fn stop(self) {
        let Self { sender, thread } = self;
        drop(sender);
        if thread.join().is_err() {
            tracing::error!("the thread that announces the server has panicked");
        }
    }
}

fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn announcement(offers: Vec<Offer>, discoverable: &Discoverable) -> Announcement {
    let machine = machine();
    let (name, host) = (discoverable.name(&machine), host_label(&machine));
    Announcement { name, host, offers, pin: None }
}
