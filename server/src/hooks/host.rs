//! The process that starts the programs of hooks.
//!
//! hauld itself can start none: its sandbox lets it run nothing, and all that it started would be confined as well. So hauld
//! starts this process, which is hauld too, before it confines itself. Over a socket hauld asks it to start one of the programs
//! that were named at the start, by number, and passes the descriptors that become the program's standard input, output and
//! error. So a hauld that has been taken over can start these programs, and nothing else.
//!
//! With each request comes a socket for that one run. A line on it tells that the program runs, a second one how it has ended.
//! If anything comes the other way, or hauld closes it (also by being killed), the program is killed, with all processes of its
//! group.

use std::ffi::OsString;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use clap::Args;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::post;

/// Descriptors that come with a request: the socket of the run, and what becomes standard input, output and error.
pub(super) const DESCRIPTORS: usize = 4;

/// Variables that a program of a hook has from hauld, if hauld has them.
const KEPT: [&str; 8] =
    ["HOME", "LANG", "LC_ALL", "LOGNAME", "SSL_CERT_DIR", "SSL_CERT_FILE", "TZ", "USER"];

/// Where programs that a hook starts by name are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The words of the process, which hauld alone starts.
#[derive(Debug, Clone, Args)]
pub struct HookHost {
    /// The umask of the programs.
    umask: u32,
    /// Directory that uploads go to.
    root: PathBuf,
    /// The programs, each after its option; an empty one posts to a URL.
    programs: Vec<OsString>,
}

impl HookHost {
    /// Serves hauld, at standard input, to its end.
    ///
    /// # Errors
    /// If standard input is no socket of hauld's.
    pub fn run(&self) -> io::Result<()> {
        // Programs get signals of their own from those who end a whole service. This process ends when hauld does.
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
            signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
        }
        rustix::process::umask(Mode::from_raw_mode(self.umask & 0o777));
        let mut runs = Vec::new();
        while let Some((number, descriptors)) = receive(rustix::stdio::stdin())? {
            let command = self.command(usize::from(number));
            runs.retain(|run: &thread::JoinHandle<()>| !run.is_finished());
            runs.push(thread::Builder::new().spawn(move || run(command, descriptors))?);
        }
        for run in runs {
            // Each ends its program, because hauld has let go of it.
            let _ = run.join();
        }
        Ok(())
    }

    /// The command of a hook, by its number.
    fn command(&self, number: usize) -> Option<Command> {
        let [hook, program] = self.programs.chunks_exact(2).nth(number)? else { return None };
        let mut command = match program.is_empty() {
            true => poster(),
            false => Command::new(program),
        };
        command.env_clear().env("PATH", PATH).env("HAULD_HOOK", hook).env("HAULD_ROOT", &self.root);
        command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        if program.is_empty() {
            command.envs(std::env::var_os(post::URL).map(|url| (post::URL, url)));
        }
        command.current_dir("/").process_group(0);
        Some(command)
    }
}

/// hauld itself, as the program that posts to a URL.
fn poster() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("hauld").arg(post::COMMAND);
    command
}

/// The environment of the process itself: no setting of hauld's, and what programs get of it.
pub(super) fn kept_environment() -> impl Iterator<Item = (&'static str, OsString)> {
    KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)))
}

/// The next request; `None`: hauld has gone.
fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(u8, Vec<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut number = [0];
    let mut into = [io::IoSliceMut::new(&mut number)];
    let received = loop {
        match recvmsg(socket, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            received => break received?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(Some((number[0], descriptors)))
}

/// Runs one program to its end.
fn run(command: Option<Command>, descriptors: Vec<OwnedFd>) {
    let Ok([control, input, output, error]) = <[OwnedFd; DESCRIPTORS]>::try_from(descriptors)
    else {
        return;
    };
    let mut control = UnixStream::from(control);
    let started = command.ok_or(io::ErrorKind::NotFound.into()).and_then(|mut command| {
        let standard = [input, output, error].map(Stdio::from);
        let [input, output, error] = standard;
        command.stdin(input).stdout(output).stderr(error).spawn()
    });
    let told = match started {
        Ok(child) => {
            // Nobody listens if hauld has gone.
            let _ = control.write_all(b"runs\n");
            watch(child, &control)
        }
        Err(error) => format!("failed: {error}"),
    };
    let _ = control.write_all(format!("{}\n", told.replace('\n', " ")).as_bytes());
}

/// Waits for the end of a program, or ends it. Returns how it has ended.
fn watch(mut child: Child, control: &UnixStream) -> String {
    let group = Pid::from_child(&child);
    // As long as nobody has waited for the process, no other one gets its number, nor that of its group.
    let watched = pidfd_open(group, PidfdFlags::empty()).map(|handle| {
        let mut watched =
            [PollFd::new(&handle, PollFlags::IN), PollFd::new(control, PollFlags::IN)];
        while !matches!(poll(&mut watched, None), Ok(count) if count > 0) {}
    });
    // It fails if nobody of the group is left.
    let _ = kill_process_group(group, Signal::KILL);
    match (watched, child.wait()) {
        (Err(errno), _) => format!("can't be watched: {errno}"),
        (Ok(()), Ok(status)) => ended(status),
        (Ok(()), Err(error)) => format!("failed: {error}"),
    }
}

/// How a process has ended, in a word that hauld reads and one for people.
fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => String::from("done"),
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => String::from("ended"),
    }
}
