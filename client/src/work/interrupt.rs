//! Ctrl-C and SIGTERM: the first ends the upload in order, the second the process; between uploads
//! the first does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Work;
use crate::error::ConnectionError;
use crate::source::command;

/// Whether the user wants the upload that runs now to end.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    state: Arc<Mutex<State>>,
    /// Set in the handler itself. In a pipe, Ctrl-C also ends the process that is read from, and that end must not be
    /// seen before the signal.
    heard: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    set: bool,
    /// What the handler has set was obeyed before the thread of signals came to it.
    obeyed: bool,
    work: Weak<Work>,
}

impl Interrupt {
    /// Watches signals from now on. Once a process. SIGHUP is left alone: whoever starts an upload
    /// under nohup wants it to go on. But while a command runs whose output is sent, a SIGHUP that is not ignored ends the
    /// command first ([`command::output`]).
    ///
    /// # Errors
    /// If the system does not allow it.
    pub fn install() -> anyhow::Result<Self> {
        let interrupt = Self::default();
        let watched = interrupt.clone();
        watch(&interrupt.heard, move || watched.signal())?;
        survive_file_size_limit()?;
        Ok(interrupt)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self) {
        let mut state = self.state();
        if std::mem::take(&mut state.obeyed) {
            return;
        }
        if state.set || !state.running {
            command::kill_running();
            std::process::exit(i32::from(crate::exit::INTERRUPTED));
        }
        state.set = true;
        if let Some(work) = state.work.upgrade() {
            work.stop(ConnectionError::Stopped);
        }
    }

    fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Acquire)
    }

    /// An upload begins, which a signal shall stop; or goes on with its next stage.
    pub fn begin(&self, work: Weak<Work>) {
        let mut state = self.state();
        let running = state.running;
        if !running {
            self.heard.store(false, Ordering::Release);
        }
        let set = running && state.set;
        // It came while what is sent was still being read.
        if let (true, Some(work)) = (set || self.has_heard(), work.upgrade()) {
            work.stop(ConnectionError::Stopped);
        }
        *state = State { running: true, set, obeyed: state.obeyed, work };
    }

    /// The upload has ended; returns whether a signal came while it ran.
    pub fn end(&self) -> bool {
        let mut state = self.state();
        state.running = false;
        state.obeyed |= self.has_heard() && !state.set;
        state.set || self.has_heard()
    }

    /// Whether a signal has come.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.has_heard() || self.state().set
    }
}

#[cfg(unix)]
fn watch(heard: &Arc<AtomicBool>, signal: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(heard))?;
    }
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new()
        .name(String::from("signals"))
        .spawn(move || signals.forever().for_each(|_| signal()))?;
    Ok(())
}

/// A file that may not grow any more is an error to be told, as a full disk is, and not the end of the process. With a
/// handler, because commands that are run would inherit it if the signal were ignored.
#[cfg(unix)]
fn survive_file_size_limit() -> anyhow::Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
    Ok(())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "other platforms have such a limit")]
fn survive_file_size_limit() -> anyhow::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn watch(_: &Arc<AtomicBool>, signal: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    Ok(ctrlc::set_handler(signal)?)
}
