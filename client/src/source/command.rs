//! The output of a command as a source: kept, and sent only if the command succeeds.

use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::spool::{Opened, keep};
use crate::error::FileError;

/// Time between two looks whether a command has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// Time that a command may take to end when haul has asked it to.
const GRACE: Duration = Duration::from_secs(2);

/// The command that runs: haul runs one at a time.
static RUNNING: Mutex<Option<u32>> = Mutex::new(None);

/// A command that is to be run.
#[derive(Debug, Clone)]
pub struct Line {
    /// For the system's shell.
    pub text: String,
    /// It gets the standard input of haul.
    pub reads_stdin: bool,
}

/// Runs a command to its end and keeps what it writes. `None`: the user has had enough, and the command was ended.
///
/// # Errors
/// If the command can't be started, fails, or what it writes can't be kept.
pub fn output(line: &Line, stopped: &dyn Fn() -> bool) -> Result<Option<Opened>, FileError> {
    let mut command = platform::shell(&line.text);
    command.stdin(if line.reads_stdin { Stdio::inherit() } else { Stdio::null() });
    let child =
        command.stdout(Stdio::piped()).spawn().map_err(FileError::local("run the shell"))?;
    let mut running = Running::new(child);
    let Some(output) = running.0.as_mut().and_then(|child| child.stdout.take()) else {
        return Ok(None);
    };
    let Some(opened) = platform::keep(output, stopped)? else { return Ok(None) };
    while !stopped() {
        match running.status() {
            Ok(None) => std::thread::sleep(PAUSE),
            Ok(Some(status)) => {
                running.0 = None;
                return match status.success() {
                    true => Ok(Some(opened)),
                    false => Err(FileError::Command(status)),
                };
            }
            Err(error) => return Err(FileError::local("wait for the command")(error)),
        }
    }
    Ok(None)
}

/// A command that is ended when this is dropped.
struct Running(Option<Child>);

/// The number of the command that runs, which means nothing else as long as nobody has asked how the command has ended.
fn known() -> MutexGuard<'static, Option<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills the command that runs, if there is one: haul ends at once.
pub fn kill_running() {
    if let Some(pid) = *known() {
        platform::kill_all(pid);
    }
}

impl Running {
    fn new(child: Child) -> Self {
        *known() = Some(child.id());
        Self(Some(child))
    }

    /// The exit status of the command, if it has ended.
    fn status(&mut self) -> std::io::Result<Option<ExitStatus>> {
        let mut known = known();
        let Some(child) = &mut self.0 else { return Ok(None) };
        let status = child.try_wait()?;
        known.take_if(|_| status.is_some());
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(child) = &mut self.0 else { return };
        let started = platform::end(child);
        let asked = Instant::now();
        // The shell may end long before what it has started.
        while matches!(self.status(), Ok(None))
            || self.0.as_ref().is_some_and(|child| platform::has_others(child, &started))
        {
            if asked.elapsed() > GRACE {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        *known() = None;
        let Some(child) = &mut self.0 else { return };
        if asked.elapsed() > GRACE {
            platform::kill(child, &started);
            // It can't refuse.
            let _ = child.wait();
        }
    }
}

#[cfg(unix)]
mod platform {
    use std::fs::File;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, ChildStdout, Command};

    use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};

    use super::keep as spool;
    use crate::error::FileError;
    use crate::source::fifo::wait;
    use crate::source::spool::Opened;

    pub(super) fn shell(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        // With a terminal, Ctrl-C reaches the command as well, which may ask there for a password. Without one, all
        // that the command has started can be ended together.
        if !has_terminal() {
            command.process_group(0);
        }
        command
    }

    pub(super) fn keep(
        output: ChildStdout,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Opened>, FileError> {
        let output = File::from(std::os::fd::OwnedFd::from(output));
        spool(&output, u64::MAX, &|| wait(&output, stopped))
    }

    /// Asks a command to end. Returns the processes that it has started, unless they are in a group of their own.
    pub(super) fn end(child: &mut Child) -> Vec<Process> {
        let pid = Pid::from_child(child);
        let mut started = Vec::new();
        if test_kill_process_group(pid).is_err() {
            descendants(pid.as_raw_nonzero().get(), &mut started);
        }
        let started: Vec<_> = started.into_iter().filter_map(Process::new).collect();
        signal(child, &started, Signal::TERM);
        // One that is stopped hears nothing else.
        signal(child, &started, Signal::CONT);
        started
    }

    pub(super) fn kill(child: &mut Child, started: &[Process]) {
        signal(child, started, Signal::KILL);
    }

    /// Whether processes that a command has started are still there, after the command itself. The number of a group is
    /// not used again before the group is empty.
    pub(super) fn has_others(child: &Child, started: &[Process]) -> bool {
        test_kill_process_group(Pid::from_child(child)).is_ok() || started.iter().any(Process::runs)
    }

    /// Kills a command whose end nobody has asked for, and all that it has started.
    pub(super) fn kill_all(pid: u32) {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
        if kill_process_group(pid, Signal::KILL).is_ok() {
            return;
        }
        let mut started = Vec::new();
        descendants(pid.as_raw_nonzero().get(), &mut started);
        // Children of a process that has ended are found no more, so it goes last.
        for pid in started.into_iter().rev().filter_map(Pid::from_raw).chain([pid]) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// A process that has ended already is no failure.
    fn signal(child: &mut Child, started: &[Process], signal: Signal) {
        let pid = Pid::from_child(child);
        if kill_process_group(pid, signal).is_ok() {
            return;
        }
        // Once it was asked how it has ended, its number may be that of another process.
        if matches!(child.try_wait(), Ok(None)) {
            let _ = kill_process(pid, signal);
        }
        started.iter().for_each(|process| process.signal(signal));
    }

    /// A process that another one has started: a handle, since its number may be used again.
    #[cfg(target_os = "linux")]
    pub(super) struct Process(std::os::fd::OwnedFd);

    #[cfg(target_os = "linux")]
    impl Process {
        fn new(pid: i32) -> Option<Self> {
            use rustix::process::{PidfdFlags, pidfd_open};
            pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok().map(Self)
        }

        fn signal(&self, signal: Signal) {
            let _ = rustix::process::pidfd_send_signal(&self.0, signal);
        }

        /// It can be read when the process has ended.
        fn runs(&self) -> bool {
            use rustix::event::{PollFd, PollFlags, Timespec, poll};
            let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
            matches!(poll(&mut polled, Some(&Timespec::default())), Ok(0))
        }
    }

    /// Elsewhere nobody tells what a process has started.
    #[cfg(not(target_os = "linux"))]
    pub(super) enum Process {}

    #[cfg(not(target_os = "linux"))]
    impl Process {
        fn new(_: i32) -> Option<Self> {
            None
        }

        fn signal(&self, _: Signal) {}

        fn runs(&self) -> bool {
            false
        }
    }

    fn has_terminal() -> bool {
        File::open("/dev/tty").is_ok()
    }

    /// Processes that a process has started, as far as the system tells.
    fn descendants(pid: i32, found: &mut Vec<i32>) {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        for child in children.unwrap_or_default().split_whitespace().flat_map(str::parse) {
            found.push(child);
            descendants(child, found);
        }
    }
}

#[cfg(not(unix))]
mod platform {
    use std::process::{Child, ChildStdout, Command};

    use super::keep as spool;
    use crate::error::FileError;
    use crate::source::spool::Opened;

    pub(super) fn shell(text: &str) -> Command {
        let mut command = Command::new("cmd");
        command.args(["/C", text]);
        command
    }

    pub(super) fn keep(
        output: ChildStdout,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Opened>, FileError> {
        spool(output, u64::MAX, &|| !stopped())
    }

    /// The console ends what was started in it.
    pub(super) fn kill_all(_: u32) {}

    /// Nobody tells what a process has started.
    pub(super) struct Started;

    pub(super) fn end(child: &mut Child) -> Started {
        // It may have ended already.
        let _ = child.kill();
        Started
    }

    pub(super) fn kill(child: &mut Child, _: &Started) {
        end(child);
    }

    pub(super) fn has_others(_: &Child, _: &Started) -> bool {
        false
    }
}
