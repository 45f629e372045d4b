//! The responder of multicast DNS, a process of its own: `hauld --responder`, which a discoverable hauld starts.
//!
//! Strangers send it packets, and the library that reads these keeps some of their records for as long as the strangers say.
//! So nothing of the server is in this process: no key, no account, no file, and so much memory only. It reads from standard
//! input what is to be announced (`Announcement`, a line each), and takes it back when standard input ends: when the server
//! stops, or however else the server ends.

use std::io::{self, BufRead};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use haul_protocol::Shown;
use mdns_sd::{DaemonEvent, IfKind, RecvTimeoutError, ServiceDaemon, ServiceInfo};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::announcement::{self, Announcement, Instance, SERVICE};
use crate::error::StartError;
use crate::process;

/// Bytes of memory that the process may have. A stranger who makes it need more ends it, and nothing else.
const MEMORY: u64 = 128 << 20;

/// Records of strangers that may be kept. With more the library begins anew: the records that it keeps of those who
/// don't wait for an answer of ours would stay for ever.
const MOST_RECORDS: i64 = 4_096;

/// How much less than the server this process is worth to the kernel.
const NICE: i32 = 5;

/// Time between two looks at standard input.
const TICK: Duration = Duration::from_millis(100);

/// Time between two looks at the records.
const LOOK: Duration = Duration::from_millis(250);

/// Time before the library is started again whose thread has ended.
const PAUSE: Duration = Duration::from_secs(1);

/// Time after which a network has taken an announcement: names are probed for a second before.
const ANNOUNCED: Duration = Duration::from_secs(5);

/// Time for the last words.
const GOODBYE: Duration = Duration::from_secs(1);

/// Starts of the library after its thread has ended unasked.
const STARTS: u32 = 10;

/// Names that the log is told after somebody else has taken ours.
const RENAMES: u32 = 10;

/// Announces what standard input says, to its end.
///
/// # Errors
/// If the process can't be confined, or the library does not start.
pub fn run(is_confined: bool) -> Result<(), StartError> {
    if is_confined {
        process::confine_responder()?;
    }
    let maximum = getrlimit(Resource::Data).maximum;
    let current = Some(maximum.map_or(MEMORY, |maximum| maximum.min(MEMORY)));
    let _ = setrlimit(Resource::Data, Rlimit { current, maximum: current });
    let _ = rustix::process::nice(NICE);
    if !lists_interfaces() {
        tracing::warn!(
            "not discoverable: this process may not list its networks (AF_NETLINK); under systemd add AF_NETLINK to \
             RestrictAddressFamilies="
        );
    }
    let orders = orders()?;
    let mut responder = Responder::new(Library::start()?);
    while responder.turn(&orders) {}
    responder.library.stop();
    Ok(())
}

/// Whether the kernel lets this process ask for its networks.
fn lists_interfaces() -> bool {
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None);
    !matches!(socket, Err(Errno::AFNOSUPPORT | Errno::PERM | Errno::ACCESS))
}

/// The announcements that come, from a thread that reads them: nothing else here blocks.
fn orders() -> io::Result<Receiver<Announcement>> {
    let (sender, orders) = mpsc::channel();
    thread::Builder::new().name(String::from("stdin")).spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            match announcement::read(&line) {
                // Nobody listens when the process ends already.
                Ok(announced) => drop(sender.send(announced)),
                Err(error) => tracing::error!(%error, "could not read what is to be announced"),
            }
        }
    })?;
    Ok(orders)
}

/// The library's thread.
struct Library {
    daemon: ServiceDaemon,
    events: mdns_sd::Receiver<DaemonEvent>,
}

impl Library {
    fn start() -> io::Result<Self> {
        let daemon = ServiceDaemon::new().map_err(io::Error::other)?;
        // Nobody comes from another machine by these.
        daemon
            .disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])
            .map_err(io::Error::other)?;
        let events = daemon.monitor().map_err(io::Error::other)?;
        Ok(Self { daemon, events })
    }

    /// Takes back all that is announced.
    fn stop(&self) {
        if let Ok(over) = self.daemon.shutdown() {
            let _ = over.recv_timeout(GOODBYE);
        }
    }

    /// Records of strangers, and moments at which the library will look at them. `None`: it has no time to say, or is gone.
    fn records(&self) -> Option<i64> {
        let counts = self.daemon.get_metrics().ok()?.recv_timeout(TICK).ok()?;
        let is_meant = |name: &str| name.starts_with("cached-") || name == "timer";
        Some(counts.iter().filter(|(name, _)| is_meant(name)).map(|(_, count)| count).sum())
    }
}

struct Responder {
    library: Library,
    announced: Option<Announcement>,
    /// The full names that the library knows.
    registered: Vec<String>,
    /// A network has taken the announcement.
    is_seen: bool,
    /// When a network will have taken the announcement, or it is told that none has.
    due: Option<Instant>,
    looked: Instant,
    starts: u32,
    renames: u32,
}

impl Responder {
    fn new(library: Library) -> Self {
        Self {
            library,
            announced: None,
            registered: Vec::new(),
            is_seen: false,
            due: None,
            looked: Instant::now(),
            starts: 0,
            renames: 0,
        }
    }

    /// One turn, which is short; `false`: the last one.
    fn turn(&mut self, orders: &Receiver<Announcement>) -> bool {
        match self.library.events.recv_timeout(TICK) {
            Ok(event) => self.told(event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                self.starts += 1;
                tracing::error!(
                    starts = self.starts,
                    "the thread that answers multicast DNS has ended; it is started again"
                );
                if self.starts > STARTS {
                    return false;
                }
                // Whatever has ended it may still be there.
                thread::sleep(PAUSE);
                return self.begin_anew();
            }
        }
        match orders.try_recv() {
            Ok(announced) => {
                self.is_seen = false;
                self.announce(announced);
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return false,
        }
        if self.due.is_some_and(|due| Instant::now() >= due) {
            self.due = None;
            tracing::warn!(
                "no network has taken the announcement yet: there is no interface with multicast, or none with an address of \
                 --listen; it is made as soon as there is one"
            );
        }
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            if self.library.records().is_some_and(|records| records > MOST_RECORDS) {
                tracing::debug!("strangers have sent many records, which are forgotten");
                self.library.stop();
                return self.begin_anew();
            }
        }
        true
    }

    /// Starts the library once more, with what was announced before.
    fn begin_anew(&mut self) -> bool {
        match Library::start() {
            Ok(library) => self.library = library,
            Err(error) => {
                tracing::error!(%error, "not discoverable any more");
                return false;
            }
        }
        self.registered.clear();
        if let Some(announced) = self.announced.take() {
            self.announce(announced);
        }
        true
    }

    fn announce(&mut self, announced: Announcement) {
        if self.announced.as_ref() == Some(&announced) {
            return;
        }
        let infos: Vec<_> = announced
            .instances()
            .iter()
            .filter_map(|instance| info(instance, &announced.host).map_err(not_announced).ok())
            .collect();
        let names: Vec<_> = infos.iter().map(|info| info.get_fullname().to_owned()).collect();
        for gone in self.registered.iter().filter(|name| !names.contains(name)) {
            if let Ok(over) = self.library.daemon.unregister(gone) {
                let _ = over.recv_timeout(GOODBYE);
            }
        }
        if names.is_empty() && !self.registered.is_empty() {
            tracing::info!("not discoverable any more");
        }
        self.due = (!names.is_empty()).then(|| Instant::now() + ANNOUNCED);
        for info in infos {
            let registered = self.library.daemon.register(info);
            let _ = registered.map_err(not_announced);
        }
        (self.registered, self.announced) = (names, Some(announced));
    }

    fn told(&mut self, event: DaemonEvent) {
        match event {
            DaemonEvent::Announce(name, _) => {
                self.due = None;
                if !std::mem::replace(&mut self.is_seen, true) {
                    tracing::info!(name = %Shown(short(&name)), "discoverable by multicast DNS");
                }
            }
            DaemonEvent::NameChange(change) if self.renames < RENAMES => {
                self.renames += 1;
                let (old, new) = (short(&change.original), short(&change.new_name));
                tracing::info!(
                    old = %Shown(old),
                    new = %Shown(new),
                    "another machine of this network has the name, so this one takes a new one"
                );
            }
            DaemonEvent::Error(error) => not_announced(error),
            _ => {}
        }
    }
}

fn not_announced(error: mdns_sd::Error) {
    tracing::error!(%error, "could not announce the server");
}

/// A full name without the part that all have.
fn short(name: &str) -> &str {
    name.strip_suffix(SERVICE).map_or(name, |name| name.trim_end_matches('.'))
}

/// An instance in the words of the library.
fn info(instance: &Instance, host: &str) -> mdns_sd::Result<ServiceInfo> {
    let Instance { name, port, addresses, txt } = instance;
    let host = format!("{host}.local.");
    let info = ServiceInfo::new(SERVICE, name, &host, (), *port, &txt[..])?;
    let kinds = addresses.iter().map(|address| match address {
        address if !address.is_unspecified() => IfKind::Addr(*address),
        address if address.is_ipv4() => IfKind::IPv4,
        _ => IfKind::IPv6,
    });
    let mut info = info.enable_addr_auto();
    info.set_interfaces(kinds.collect());
    Ok(info)
}
