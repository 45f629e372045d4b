//! The answer of `hauld` to each signal. Without this table most signals would end it at once, for all clients.
//!
//! | signal | who sends it | hauld |
//! |---|---|---|
//! | `SIGTERM`, `SIGINT` | a service manager, Ctrl-C | stops in order; a second one ends it at once |
//! | `SIGHUP` | a terminal that is closed, or who wants a reload | reads its file of settings again and opens its audit log and its access log anew, whichever it has; with none the same as `SIGTERM`, and says that it reloads nothing; stays ignored if it was when hauld was started (`nohup`) |
//! | `SIGXCPU` | the kernel: the limit of processor time is used up, `SIGKILL` comes next | stops in order |
//! | `SIGXFSZ` | the kernel: a file would be longer than the process may write | nothing: the write fails with `EFBIG`, and one upload is refused |
//! | `SIGPIPE` | the kernel: a peer has gone | nothing (the Rust runtime ignores it): the write fails with `EPIPE` |
//! | `SIGUSR1`, `SIGUSR2`, `SIGALRM`, `SIGVTALRM`, `SIGPROF`, `SIGIO` | people who take hauld for a program that knows them | logs that they mean nothing here |
//! | `SIGQUIT` | who wants it to end with a core dump | ends at once, without one (core dumps are off); so do `SIGABRT` and faults of the program itself |
//! | `SIGKILL`, `SIGSTOP`, `SIGTSTP`, `SIGCONT` | | as everywhere |

use std::io;

use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::backend::Handle;
use signal_hook::iterator::{Signals, SignalsInfo};

/// Signals that stop the server in order.
const STOPPING: [i32; 3] = [SIGTERM, SIGINT, SIGXCPU];

/// Signals that are taken so that they do not end the server.
const OTHERS: [i32; 7] = [SIGXFSZ, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO];

/// Watches signals, from before the first thread and the first write on.
#[derive(Debug)]
pub(crate) struct Watch(Signals);

/// The action that a signal asks of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Stop in order; asked for by a person or a service manager, who may ask twice.
    Stop,
    /// Stop in order, which the kernel repeats every second.
    StopSoon,
    /// Open files anew that somebody has renamed. A server without such files stops.
    Reload,
}

impl Watch {
    /// # Errors
    /// If the kernel refuses a handler.
    pub(crate) fn start() -> io::Result<Self> {
        let signals = Signals::new(STOPPING.into_iter().chain(OTHERS))?;
        if !is_ignored(SIGHUP) {
            signals.handle().add_signal(SIGHUP)?;
        }
        Ok(Self(signals))
    }

    /// Ends [`next`](Self::next) for good.
    pub(crate) fn handle(&self) -> Handle {
        self.0.handle()
    }

    /// Waits for a signal that stops the server, or has it open files anew; `None` once the handle is closed.
    pub(crate) fn next(&mut self) -> Option<Wanted> {
        next(&mut self.0)
    }
}

fn next(signals: &mut SignalsInfo) -> Option<Wanted> {
    for signal in signals.forever() {
        match signal {
            SIGXFSZ => {}
            SIGHUP => return Some(Wanted::Reload),
            SIGXCPU => {
                tracing::warn!("SIGXCPU: the limit of processor time is used up (ulimit -t)");
                return Some(Wanted::StopSoon);
            }
            SIGTERM | SIGINT => return Some(Wanted::Stop),
            other => {
                let name = signal_hook::low_level::signal_name(other).unwrap_or("a signal");
                tracing::info!("{name} means nothing to hauld; SIGTERM stops it");
            }
        }
    }
    None
}

/// Whether the process was started with this signal ignored (proc_pid_status(5)).
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    ignored >> (signal - 1) & 1 == 1
}
