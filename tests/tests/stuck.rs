//! A thread of the server that is stuck in the midst of its work, and the watchdog of systemd.
//!
//! The test traces one thread (ptrace(2)) and stops it, as a disk that hangs would; all other threads go on.

use std::os::unix::net::UnixDatagram;

use haul_tests::prelude::*;
use haul_tests::threads;
use nix::libc::{
    SYS_accept4, SYS_brk, SYS_epoll_pwait, SYS_epoll_wait, SYS_futex, SYS_madvise, SYS_mmap,
    SYS_munmap, SYS_restart_syscall, SYS_sched_yield, c_long,
};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// The thread of a server that has this name.
pub(crate) fn thread_of(server: &Hauld, name: &str) -> Pid {
    let mut found = None;
    eventually("the thread has its name", || {
        found = threads::named(server, name);
        found.is_some()
    });
    Pid::from_raw(found.unwrap())
}

/// A thread that stands still. Dropping this lets it go on.
pub(crate) struct Stopped(Pid);

impl Stopped {
    /// Stops it where it is.
    fn here(thread: Pid) -> Self {
        ptrace::seize(thread, ptrace::Options::PTRACE_O_TRACESYSGOOD).unwrap();
        ptrace::interrupt(thread).unwrap();
        let stopped = Self(thread);
        stopped.wait();
        stopped
    }

    fn wait(&self) {
        waitpid(self.0, Some(WaitPidFlag::__WALL)).unwrap();
    }

    /// Stops it where it waits for an event.
    pub(crate) fn at_rest(server: &Hauld, thread: Pid) -> Self {
        let start = Instant::now();
        loop {
            let stopped = Self::here(thread);
            if stopped.is_in(server, &[SYS_epoll_wait, SYS_epoll_pwait]) {
                return stopped;
            }
            assert!(start.elapsed() < DEADLINE, "the thread never waits for an event");
        }
    }

    /// Lets it go on until it begins or ends this system call.
    fn until(&self, server: &Hauld, call: c_long) {
        loop {
            ptrace::syscall(self.0, None).unwrap();
            self.wait();
            if self.is_in(server, &[call]) {
                return;
            }
        }
    }

    /// Lets it go on until it waits for an event and `is_done` says so; returns its system calls, in order, but for those that
    /// wait for other threads or ask for memory.
    pub(crate) fn calls(&self, server: &Hauld, mut is_done: impl FnMut() -> bool) -> Vec<c_long> {
        const OTHERS: [c_long; 7] = [
            SYS_futex,
            SYS_sched_yield,
            SYS_mmap,
            SYS_munmap,
            SYS_brk,
            SYS_madvise,
            SYS_restart_syscall,
        ];
        let mut calls = Vec::new();
        loop {
            ptrace::syscall(self.0, None).unwrap();
            self.wait();
            let call = self.call(server);
            let waits = [SYS_epoll_wait, SYS_epoll_pwait].contains(&call);
            if waits && !calls.is_empty() && is_done() {
                return calls;
            }
            if !waits && !OTHERS.contains(&call) {
                calls.push(call);
            }
        }
    }

    /// Whether it is in one of these system calls.
    fn is_in(&self, server: &Hauld, calls: &[c_long]) -> bool {
        calls.contains(&self.call(server))
    }

    /// The system call that it is in.
    fn call(&self, server: &Hauld) -> c_long {
        let path = format!("/proc/{}/task/{}/syscall", server.pid(), self.0);
        let line = fs::read_to_string(path).unwrap();
        line.split(' ').next().unwrap().trim().parse().unwrap_or(-1)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // The server may have ended.
        let _ = ptrace::detach(self.0, None);
    }
}

/// A service manager, and a server that beats for its watchdog.
struct Watched {
    _place: TempDir,
    manager: UnixDatagram,
    server: Hauld,
}

impl Watched {
    fn start() -> Self {
        let place = TempDir::new().unwrap();
        let manager = UnixDatagram::bind(place.path().join("notify")).unwrap();
        manager.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "export WATCHDOG_PID=$$; exec \"$HAULD\" \"$@\"", "sh"]);
        command.env("HAULD", &binaries::get().hauld);
        command.env("NOTIFY_SOCKET", place.path().join("notify"));
        command.env("WATCHDOG_USEC", "600000");
        let words = ["--workers", "1", "--metrics", "127.0.0.1:0"];
        let server = Hauld::start_in(TempDir::new().unwrap(), command, &words).unwrap();
        Self { _place: place, manager, server }
    }

    /// The next beat.
    fn beats(&self) {
        let mut buffer = [0; 4096];
        loop {
            let len = self.manager.recv(&mut buffer).expect("hauld beats");
            if buffer[..len].starts_with(b"WATCHDOG=1") {
                return;
            }
        }
    }

    /// Messages that wait.
    fn drain(&self) -> usize {
        self.manager.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        let count = std::iter::from_fn(|| self.manager.recv(&mut buffer).ok()).count();
        self.manager.set_nonblocking(false).unwrap();
        count
    }

    fn missed(&self) -> usize {
        self.server.log_text().matches("a thread of the server is stuck").count()
    }

    /// One beat after the other is missed, and none comes. One that another thread misses on a busy machine says nothing, so
    /// beats may come before.
    fn misses_beats(&self) {
        eventually("beats are missed and none comes", || {
            self.drain();
            let before = self.missed();
            eventually("beats are missed", || self.missed() > before + 2);
            self.drain() == 0
        });
    }
}

#[test]
fn watchdog_misses_its_beats_while_the_timer_is_stuck() {
    let watched = Watched::start();
    watched.beats();
    let stopped = Stopped::here(thread_of(&watched.server, "timer"));
    watched.misses_beats();
    drop(stopped);
    watched.drain();
    watched.beats();
}

/// A worker that waits for an event is not stuck; one that has begun with its work is. Those who watch are answered all the same.
#[test]
fn watchdog_misses_its_beats_while_a_worker_is_stuck_in_its_work() {
    let watched = Watched::start();
    watched.beats();
    let stopped = Stopped::at_rest(&watched.server, thread_of(&watched.server, "worker-0"));
    watched.drain();
    watched.beats();
    watched.beats();
    let client = std::net::TcpStream::connect(watched.server.address()).unwrap();
    stopped.until(&watched.server, SYS_accept4);
    watched.misses_beats();
    let log = watched.server.log_text();
    let line = log.lines().find(|line| line.contains("tells metrics")).unwrap();
    let address = line.rsplit_once("address=").unwrap().1.trim();
    let text = haul_tests::http::ask(address, "GET /metrics", "", b"").text();
    assert!(text.contains("\nhauld_workers_busy 1\n"), "{text}");
    drop(stopped);
    drop(client);
    watched.drain();
    watched.beats();
    let mut peer = watched.server.peer();
    assert_eq!(peer.ask(&put(1, "x", b"x"), b"x").unwrap()["ack"], 1);
}

/// The committer carries a publish out; while it is stuck, nobody knows whether the new version stands there.
#[test]
fn interrupted_publish_without_an_answer_is_told_as_one_that_may_be_done() {
    let setting = Setting::start_with(&["--durability", "group"]);
    setting.write("a", "a");
    let stopped = Stopped::here(thread_of(&setting.server, "committer"));
    let relay = Relay::tapped("127.0.0.1:0", setting.server.address()).unwrap();
    let to = format!("haul://{}/www/site", relay.address());
    let mut command = haul_command();
    command.args(["publish", "--json"]).arg(setting.source()).arg(&to);
    let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the client asks for it", || {
        let asked = b"\"cmd\":\"publish\"";
        relay.kept().iter().any(|bytes| bytes.windows(asked.len()).any(|found| found == asked))
    });
    signal(&client, Signal::INT);
    let output = client.wait_with_output().unwrap();
    drop(stopped);
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("before the server has answered"), "{told}");
    assert_eq!(last(&output.stdout)["published"], Value::Null);
}
