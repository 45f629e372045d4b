//! A running server.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::peer::Peer;
use crate::{binaries, client, failure, place};

/// A `hauld` on a free port. Dropping it ends it at once. If that happens because a test fails, the report of the failure
/// is printed: the last client, and log and root of the server.
#[derive(Debug)]
pub struct Hauld {
    child: Child,
    /// The addresses that it has logged at its start, in order.
    pub addresses: Vec<String>,
    root: PathBuf,
    /// Its standard error.
    pub log: PathBuf,
    temporary: Option<TempDir>,
}

/// A server as it is without options.
///
/// # Panics
/// If the server does not start.
#[must_use]
#[track_caller]
pub fn server() -> Hauld {
    server_with(&[])
}

/// A server with these options.
///
/// # Panics
/// If the server does not start.
#[must_use]
#[track_caller]
pub fn server_with(args: &[&str]) -> Hauld {
    match Hauld::start(&binaries::get().hauld, args) {
        Ok(server) => server,
        Err(error) => panic!("{error:#}"),
    }
}

/// `hauld`, for [`Hauld::start_in`] and [`Hauld::start_at`].
#[must_use]
pub fn hauld_command() -> Command {
    let hauld = &binaries::get().hauld;
    let mut command = Command::new(hauld);
    // Not the accounts of whoever runs the tests.
    command.env("HAULD_CONFIG_DIR", hauld.with_file_name("config-of-tests"));
    command
}

impl Hauld {
    /// Starts with a temporary root, in memory if nothing of it is to outlive the system ([`place::for_server`]).
    ///
    /// # Errors
    /// If the server does not start.
    pub fn start(hauld: &Path, args: &[&str]) -> anyhow::Result<Self> {
        Self::start_in(place::for_server(args)?, Command::new(hauld), args)
    }

    /// Starts in a directory that is removed in the end. `command` may run the server in some
    /// environment of its own; the root is `root` in `directory`.
    ///
    /// # Errors
    /// If the server does not start.
    pub fn start_in(directory: TempDir, command: Command, args: &[&str]) -> anyhow::Result<Self> {
        let root = directory.path().join("root");
        let mut server = Self::start_at(&root, &directory.path().join("log"), command, args)?;
        server.temporary = Some(directory);
        Ok(server)
    }

    /// Starts with a root that stays.
    ///
    /// # Errors
    /// If the server does not start.
    pub fn start_at(
        root: &Path,
        log: &Path,
        command: Command,
        args: &[&str],
    ) -> anyhow::Result<Self> {
        Self::start_with_input(root, log, command, args, Stdio::null())
    }

    /// The same, with something else at standard input than nothing.
    ///
    /// # Errors
    /// If the server does not start.
    pub fn start_with_input(
        root: &Path,
        log: &Path,
        mut command: Command,
        args: &[&str],
        input: Stdio,
    ) -> anyhow::Result<Self> {
        let listens = args.iter().filter(|arg| **arg == "--listen").count();
        if listens == 0 {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let file = std::fs::File::options().create(true).append(true).open(log)?;
        if !args.contains(&"--config-dir") {
            // Not the key of whoever runs the tests.
            command.env("HAULD_CONFIG_DIR", log.with_file_name("config"));
        }
        let mut child = command
            .arg("--root")
            .arg(root)
            .args(args)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .context("could not start hauld")?;
        let out = child.stdout.take().context("no standard output")?;
        let mut addresses = Vec::new();
        for line in BufReader::new(out).lines().take(listens.max(1)) {
            let line = line?;
            match line.strip_prefix("listening on ") {
                Some(address) => addresses.push(address.to_owned()),
                None => bail!("unexpected line of hauld: {line}"),
            }
        }
        let (root, log) = (root.to_owned(), log.to_owned());
        let mut server = Self { child, addresses, root, log, temporary: None };
        if server.addresses.len() < listens.max(1) {
            let status = server.child.wait()?;
            bail!("hauld ended with {status}: {}", server.log_text());
        }
        Ok(server)
    }

    /// Becomes another process with the same root, which must have ended before: the temporary directory stays.
    pub fn becomes(&mut self, mut next: Self) {
        next.temporary = self.temporary.take();
        *self = next;
    }

    /// The first address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.addresses[0]
    }

    /// A connection that has said hello.
    ///
    /// # Panics
    /// If the server does not answer.
    #[must_use]
    #[track_caller]
    pub fn peer(&self) -> Peer {
        Peer::hello(self.address()).unwrap_or_else(|error| panic!("no answer to hello: {error}"))
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The log so far.
    #[must_use]
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Waits for the process to end.
    ///
    /// # Errors
    /// If the system does not let this process wait.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// The process's exit status, if the process has ended.
    ///
    /// # Errors
    /// If the system does not tell the status.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// A line of `/proc/PID/status`, as a number.
    ///
    /// # Errors
    /// If there is no such line.
    pub fn status(&self, key: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let value = line.and_then(|line| line.split_whitespace().next()).context("no such line")?;
        Ok(value.parse()?)
    }

    /// Names of large files that are under way or were interrupted.
    ///
    /// # Errors
    /// If the private directory can't be read.
    pub fn partials(&self) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.root.join(".haul/partials"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !name.ends_with(".journal") {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Sockets that it has open: those that it listens on, and one for each connection.
    ///
    /// # Errors
    /// If the system does not show the descriptors.
    pub fn sockets(&self) -> anyhow::Result<usize> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid()))?.flatten();
        // A descriptor that is closed in this moment is no socket.
        let places = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        Ok(places.filter(|place| place.to_string_lossy().starts_with("socket:")).count())
    }

    /// Half-written files. Files without a name may be listed twice while they get one.
    ///
    /// # Errors
    /// If the private directory can't be read.
    pub fn staged(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut staged = Vec::new();
        // Files without a name can be seen as long as they are open.
        for open in std::fs::read_dir(format!("/proc/{}/fd", self.pid())).into_iter().flatten() {
            let open = open?.path();
            let place = std::fs::read_link(&open).unwrap_or_default();
            if place.starts_with(self.root.join(".haul/staged")) && !place.is_dir() {
                staged.push(open);
            }
        }
        for directory in std::fs::read_dir(self.root.join(".haul/staged"))? {
            for entry in std::fs::read_dir(directory?.path())? {
                staged.push(entry?.path());
            }
        }
        Ok(staged)
    }

    /// The report of a failure, and the end of the server.
    fn report(&mut self) -> String {
        let mut text = String::from("\n");
        if let Some((words, output)) = client::take_last() {
            text += &failure::client(&words, &output);
        }
        // The root as the failure leaves it, and then the log to its end.
        let listing = failure::listing(&self.root);
        let ended = match self.child.try_wait() {
            Ok(Some(status)) => format!("had ended with {status}"),
            _ => String::from("was running"),
        };
        self.kill();
        let log = failure::last_lines(&self.log_text());
        let (root, pid) = (self.root.display(), self.pid());
        text += &format!(
            "--- hauld, process {pid}, {ended}; its log:\n{log}--- its root {root}:\n{listing}"
        );
        text
    }

    fn kill(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Hauld {
    #[expect(clippy::print_stderr, reason = "the harness keeps it with the message of the failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.report());
        }
        self.kill();
    }
}
