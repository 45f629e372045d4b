//! The output of a command as a source: kept, and sent only if the command succeeds.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::error::FileError;
use crate::source::spool::{Opened, keep};

/// How often it is seen whether a command has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a command may take to end when it was asked to.
const GRACE: Duration = Duration::from_secs(2);

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
    let mut running = Running(Some(child));
    let Some(output) = running.0.as_mut().and_then(|child| child.stdout.take()) else {
        return Ok(None);
    };
    let Some(opened) = platform::keep(output, stopped)? else { return Ok(None) };
    while !stopped() {
        match running.0.as_mut().map(Child::try_wait).transpose() {
            Ok(Some(None)) => std::thread::sleep(PAUSE),
            Ok(status) => {
                running.0 = None;
                return match status.flatten() {
                    Some(status) if status.success() => Ok(Some(opened)),
                    Some(status) => Err(FileError::Command(status)),
                    None => Ok(None),
                };
            }
            Err(error) => return Err(FileError::local("wait for the command")(error)),
        }
    }
    Ok(None)
}

/// A command that is ended when this is dropped.
struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        let Some(child) = &mut self.0 else { return };
        platform::end(child);
        let asked = Instant::now();
        // The shell may end long before what it has started.
        while matches!(child.try_wait(), Ok(None)) || platform::has_others(child) {
            if asked.elapsed() > GRACE {
                platform::kill(child);
                // It can't refuse.
                let _ = child.wait();
                return;
            }
            std::thread::sleep(PAUSE);
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
    use crate::source::spool::Opened;
    use crate::source::stream::wait;

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

    pub(super) fn end(child: &mut Child) {
        signal(child, Signal::TERM);
        // One that is stopped hears nothing else.
        signal(child, Signal::CONT);
    }

    pub(super) fn kill(child: &mut Child) {
        signal(child, Signal::KILL);
    }

    /// Whether what a command has started in its own group is still there, after the command itself. The number of
    /// a group is not used again before the group is empty.
    pub(super) fn has_others(child: &Child) -> bool {
        test_kill_process_group(Pid::from_child(child)).is_ok()
    }

    /// What has ended already is no failure.
    fn signal(child: &Child, signal: Signal) {
        let pid = Pid::from_child(child);
        if kill_process_group(pid, signal).is_ok() {
            return;
        }
        let mut started = Vec::new();
        descendants(pid.as_raw_nonzero().get(), &mut started);
        let _ = kill_process(pid, signal);
        for pid in started.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, signal);
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

    pub(super) fn end(child: &mut Child) {
        // It may have ended already.
        let _ = child.kill();
    }

    pub(super) fn kill(child: &mut Child) {
        end(child);
    }

    pub(super) fn has_others(_: &Child) -> bool {
        false
    }
}
