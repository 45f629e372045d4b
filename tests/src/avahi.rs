//! Avahi, the other speaker of multicast DNS, on a machine of its own, with a bus of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::network::{Machine, Network};

/// The settings of the bus: everybody may do anything.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=BUS</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
"#;

/// Starts the daemon where its files are nobody else's.
const START: &str = "mount -t tmpfs none /run && exec avahi-daemon --file \"$0\" --no-drop-root --no-chroot --no-rlimits \
                     --no-proc-title";

/// The daemon and its bus, and `avahi-browse`, which watches servers of haul. Dropping it ends all of them.
#[derive(Debug)]
pub struct Avahi {
    children: Vec<Child>,
    lines: Arc<Mutex<Vec<String>>>,
    directory: TempDir,
}

impl Avahi {
    /// Starts it on one of the machines, which calls itself so.
    ///
    /// # Errors
    /// If any of the programs does not start.
    pub fn start(network: &Network, machine: Machine, name: &str) -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let path = |name: &str| directory.path().join(name);
        let bus = path("bus");
        std::fs::write(path("bus.conf"), BUS.replace("BUS", &bus.display().to_string()))?;
        std::fs::write(path("avahi.conf"), format!("[server]\nhost-name={name}\n"))?;
        let mut avahi = Self { children: Vec::new(), lines: Arc::default(), directory };
        let mut config = std::ffi::OsString::from("--config-file=");
        config.push(avahi.path("bus.conf"));
        let mut daemon = Command::new("dbus-daemon");
        daemon.arg(config).args(["--nofork", "--nopidfile", "--print-address=1"]);
        let mut bus_lines = avahi.begin(daemon.stdout(Stdio::piped()), Self::out)?;
        bus_lines.next().context("no bus")??;

        let address = format!("unix:path={}", bus.display());
        let mut daemon = network.command(machine, Path::new("unshare"));
        daemon.args(["--mount", "sh", "-c", START]).arg(avahi.path("avahi.conf"));
        daemon.env("DBUS_SYSTEM_BUS_ADDRESS", &address).stderr(Stdio::piped());
        let mut told = avahi.begin(&mut daemon, Self::error)?;
        loop {
            match told.next().transpose()? {
                Some(line) if line.contains("Server startup complete") => break,
                Some(_) => {}
                None => bail!("avahi-daemon has ended"),
            }
        }
        // Nobody reads it, and it must not wait for that.
        thread::spawn(move || told.for_each(drop));

        let mut browse = network.command(machine, Path::new("avahi-browse"));
        browse.args(["--resolve", "--parsable", "_haul._tcp"]);
        browse.env("DBUS_SYSTEM_BUS_ADDRESS", &address).stdout(Stdio::piped());
        let found = avahi.begin(&mut browse, Self::out)?;
        let lines = Arc::clone(&avahi.lines);
        thread::spawn(move || {
            for line in found.map_while(Result::ok) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Ok(avahi)
    }

    /// What `avahi-browse` has said so far: `+` a server is there, `=` its records, `-` it is gone.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a line begins so, behind which the interface stands.
    #[must_use]
    pub fn has(&self, sign: char, name: &str) -> bool {
        let (start, name) = (format!("{sign};haul0;IPv4;"), name.replace(' ', "\\032"));
        self.lines().iter().any(|line| {
            line.strip_prefix(&start).and_then(|rest| rest.split(';').next()) == Some(&name)
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn begin<R: std::io::Read>(
        &mut self,
        command: &mut Command,
        stream: fn(&mut Child) -> Option<R>,
    ) -> anyhow::Result<std::io::Lines<BufReader<R>>> {
        let mut child =
            command.stdin(Stdio::null()).spawn().with_context(|| format!("{command:?}"))?;
        let stream = stream(&mut child);
        self.children.push(child);
        Ok(BufReader::new(stream.context("no stream")?).lines())
    }

    fn out(child: &mut Child) -> Option<std::process::ChildStdout> {
        child.stdout.take()
    }

    fn error(child: &mut Child) -> Option<std::process::ChildStderr> {
        child.stderr.take()
    }
}

impl Drop for Avahi {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
