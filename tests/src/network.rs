//! Two machines with a cable between them: two network namespaces of this machine, for root. Where there are none to be
//! had, all is on loopback.

use std::fs::File;
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, ensure};
use rustix::process::geteuid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::relay::Relay;

/// The server's machine has two addresses: clients come to the second one, a relay between passes on to the first.
const SERVER: [&str; 2] = ["10.21.0.1", "10.21.0.2"];

const CLIENT: &str = "10.21.0.9";

const PORT: u16 = 8080;

/// One of the machines.
#[derive(Debug, Clone, Copy)]
pub enum Machine {
    /// Where `hauld` runs.
    Server,
    /// Where `haul` runs.
    Client,
}

/// The two machines. Dropping it removes them.
#[derive(Debug)]
pub struct Network {
    /// The names of the namespaces, of the server first. Without them, all is on loopback.
    names: Option<[String; 2]>,
    /// The server's address.
    pub server: String,
    /// The address that clients know the server by.
    pub known_as: String,
}

/// A relay on the server's machine that keeps all bytes.
#[derive(Debug)]
pub struct Tapped<'a> {
    network: &'a Network,
    relay: Option<Relay>,
}

impl Network {
    /// Puts two machines together. If that is not possible, says so on standard error.
    ///
    /// # Errors
    /// If there is not even a free port.
    #[expect(clippy::print_stderr, reason = "whoever reads the test's result has to know")]
    pub fn new() -> anyhow::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |end| format!("haul-{}-{number}-{end}", std::process::id());
        let [server, known_as] = SERVER.map(|address| format!("{address}:{PORT}"));
        let mut network = Self { names: Some([name("server"), name("client")]), server, known_as };
        // From here on a failure removes what was made.
        if let Err(error) = network.make() {
            eprintln!(
                "NO NETWORK NAMESPACES HERE ({error:#}): this test runs over loopback with `--tls always`, and shows \
                 less than it could"
            );
            let free = || anyhow::Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string());
            network = Self { names: None, server: free()?, known_as: free()? };
        }
        Ok(network)
    }

    /// Whether there are two machines, which each other reaches by no loopback.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.names.is_some()
    }

    fn make(&self) -> anyhow::Result<()> {
        ensure!(geteuid().is_root(), "only root makes them");
        let Some([server, client]) = &self.names else { return Ok(()) };
        for name in [server, client] {
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        ip(&format!(
            "link add name haul0 netns {server} type veth peer name haul0 netns {client}"
        ))?;
        for (name, addresses) in [(server, &SERVER[..]), (client, &[CLIENT])] {
            for address in addresses {
                ip(&format!("-n {name} address add {address}/24 dev haul0"))?;
            }
            ip(&format!("-n {name} link set haul0 up"))?;
        }
        Ok(())
    }

    /// A program on one of the machines.
    #[must_use]
    pub fn command(&self, machine: Machine, program: &std::path::Path) -> Command {
        let Some(name) = self.name(machine) else { return Command::new(program) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", path(name))).arg("--").arg(program);
        command
    }

    /// Starts a relay between the address that clients know and the server's own.
    ///
    /// # Errors
    /// If the address can't be had.
    pub fn tap(&self) -> anyhow::Result<Tapped<'_>> {
        let start = || Ok(Relay::tapped(&self.known_as, &self.server)?);
        Ok(Tapped { network: self, relay: Some(self.on(Machine::Server, start)?) })
    }

    /// Pulls the cable out of the server's machine, or puts it in again.
    ///
    /// # Errors
    /// If there are no two machines.
    pub fn cable(&self, is_in: bool) -> anyhow::Result<()> {
        let name = self.name(Machine::Server).context("all is on loopback")?;
        ip(&format!("-n {name} link set haul0 {}", if is_in { "up" } else { "down" }))
    }

    /// Runs this on a thread of one of the machines; threads and sockets that it makes are there as well.
    ///
    /// # Errors
    /// If it fails, or can't be run there.
    pub fn on<T: Send>(
        &self,
        machine: Machine,
        run: impl FnOnce() -> anyhow::Result<T> + Send,
    ) -> anyhow::Result<T> {
        let name = self.name(machine);
        thread::scope(|scope| {
            let there = scope.spawn(move || {
                if let Some(name) = name {
                    use std::os::fd::AsFd;
                    let space = File::open(path(name))?;
                    move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?;
                }
                run()
            });
            there.join().ok().context("the thread on that machine panicked")?
        })
    }

    fn name(&self, machine: Machine) -> Option<&str> {
        let [server, client] = self.names.as_ref()?;
        Some(match machine {
            Machine::Server => server,
            Machine::Client => client,
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in self.names.iter().flatten() {
            // It may not have been made.
            let _ = ip(&format!("netns delete {name}"));
        }
    }
}

impl Tapped<'_> {
    /// All bytes that have passed so far, in each direction of each connection.
    #[must_use]
    pub fn passed(&self) -> Vec<Vec<u8>> {
        self.relay.as_ref().map(Relay::kept).unwrap_or_default()
    }
}

impl Drop for Tapped<'_> {
    fn drop(&mut self) {
        let relay = self.relay.take();
        // It connects to its own address when it ends.
        let _ = self.network.on(Machine::Server, || {
            drop(relay);
            Ok(())
        });
    }
}

fn path(name: &str) -> String {
    format!("/run/netns/{name}")
}

fn ip(words: &str) -> anyhow::Result<()> {
    let output = Command::new("ip").args(words.split(' ')).output().context("could not run ip")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {words}: {}", told.trim());
    Ok(())
}
