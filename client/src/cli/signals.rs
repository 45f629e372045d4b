//! Ctrl-C and SIGTERM: the first ends the command in order, the second the process; between commands
//! the first does.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::deadly::Deadly;
use super::{console, exit};
use crate::source::command;
use crate::work::interrupt::Interrupt;
use crate::work::on_commit;

/// A signal that comes so soon after the first one is the same: `timeout` of coreutils signals its child, and then the whole
/// process group.
const SAME: Duration = Duration::from_millis(300);

/// Whether the user wants the command that runs now to end.
#[derive(Debug, Clone, Default)]
pub(super) struct Signals {
    state: Arc<Mutex<State>>,
    /// Its flag is set in the handler itself. In a pipe, Ctrl-C also ends the process that is read from, and that end
    /// must not be seen before the signal.
    interrupt: Interrupt,
    deadly: Deadly,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    set: bool,
    /// The flag that the handler has set was obeyed before the thread of signals came to it.
    obeyed: bool,
    /// When the first signal ended the command.
    first: Option<Instant>,
    /// Written to standard output if a signal ends the process while no command runs.
    last_words: Vec<u8>,
}

impl Signals {
    /// Watches signals from now on. Once a process. SIGHUP is left alone: a user who starts an upload under nohup
    /// wants it to go on.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub(super) fn install() -> anyhow::Result<Self> {
        let signals = Self::default();
        let watched = signals.clone();
        watch(&signals, move || watched.signal())?;
        survive_file_size_limit()?;
        hear_of_children()?;
        Ok(signals)
    }

    /// The handle by which a signal stops a run.
    pub(super) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// While this is held, SIGHUP, SIGQUIT and the like end the run first, and haul then.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub(super) fn hold_deadly(&self) -> io::Result<impl Sized> {
        self.deadly.hold()
    }

    /// The exit code of the process, if SIGHUP, SIGQUIT or the like was held back and will end it.
    pub(super) fn deadly_code(&self) -> Option<u8> {
        self.deadly.code()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self) {
        let mut state = self.state();
        if std::mem::take(&mut state.obeyed) {
            state.first = Some(Instant::now());
            return;
        }
        if state.first.is_some_and(|first| first.elapsed() < SAME) {
            return;
        }
        if state.set || !state.running {
            if !state.running && !state.last_words.is_empty() {
                console::write_out(&state.last_words);
            }
            command::kill_running();
            let _unfinished = on_commit::remove_unfinished();
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
        state.set = true;
        self.interrupt.stop();
        state.first = Some(Instant::now());
    }

    /// Lines for standard output, in case that a signal ends the process before a command runs. Nothing else may be written to
    /// standard output before [`begin`](Self::begin), or these lines would wait for that.
    pub(super) fn last_words(&self, lines: Vec<u8>) {
        self.state().last_words = lines;
    }

    /// A command begins, which a signal shall stop.
    pub(super) fn begin(&self) {
        let mut state = self.state();
        self.interrupt.clear();
        state.last_words.clear();
        (state.running, state.set, state.first) = (true, false, None);
    }

    /// The command has ended; returns whether a signal came while it ran.
    pub(super) fn end(&self) -> bool {
        let mut state = self.state();
        state.running = false;
        state.obeyed |= self.is_set() && !state.set;
        state.set || self.is_set()
    }

    /// Whether a signal has come.
    pub(super) fn is_set(&self) -> bool {
        self.interrupt.is_set()
    }
}

#[cfg(unix)]
fn watch(own: &Signals, signal: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let heard = own.interrupt.flag();
    let watched = [SIGINT, SIGTERM];
    for signal in watched {
        signal_hook::flag::register(signal, Arc::clone(heard))?;
    }
    let mut signals = signal_hook::iterator::Signals::new(watched)?;
    own.deadly.attach(heard, signals.handle());
    std::thread::Builder::new()
        .name(String::from("signals"))
        .spawn(move || signals.forever().for_each(|_| signal()))?;
    Ok(())
}

/// A file that may not grow any more is an error to be told, as a full disk is, and not the end of the process. The
/// signal has a handler and is not ignored, because commands that haul runs would inherit an ignored signal.
#[cfg(unix)]
fn survive_file_size_limit() -> anyhow::Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
    Ok(())
}

/// If the parent of haul ignores SIGCHLD, haul inherits that, and the system tells nobody how a command has ended. A handler
/// takes the place of the ignored signal; commands that haul runs inherit none.
#[cfg(unix)]
fn hear_of_children() -> anyhow::Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGCHLD, Arc::default())?;
    Ok(())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "other platforms have such a signal")]
fn hear_of_children() -> anyhow::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "other platforms have such a limit")]
fn survive_file_size_limit() -> anyhow::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn watch(_: &Signals, signal: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    Ok(ctrlc::set_handler(signal)?)
}
