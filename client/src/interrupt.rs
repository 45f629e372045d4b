//! Ctrl-C and SIGTERM: the first ends the upload in order, the second the process; between uploads
//! the first does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::ConnectionError;
use crate::work::Work;

/// Whether the user wants the upload that runs now to end.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    set: bool,
    work: Weak<Work>,
}

impl Interrupt {
    /// Watches signals from now on. Once a process. SIGHUP is left alone: whoever starts an upload
    /// under nohup wants it to go on.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub fn install() -> anyhow::Result<Self> {
        let interrupt = Self::default();
        let watched = interrupt.clone();
        watch(move || watched.signal())?;
        Ok(interrupt)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self) {
        let mut state = self.state();
        if state.set || !state.running {
            std::process::exit(i32::from(crate::exit::INTERRUPTED));
        }
        state.set = true;
        if let Some(work) = state.work.upgrade() {
            work.stop(ConnectionError::Stopped);
        }
    }

    /// An upload begins, which a signal shall stop.
    pub fn begin(&self, work: Weak<Work>) {
        *self.state() = State { running: true, set: false, work };
    }

    /// The upload has ended; returns whether a signal came while it ran.
    pub fn end(&self) -> bool {
        let mut state = self.state();
        state.running = false;
        state.set
    }

    /// Whether a signal has come.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.state().set
    }
}

#[cfg(unix)]
fn watch(signal: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new()
        .name(String::from("signals"))
        .spawn(move || signals.forever().for_each(|_| signal()))?;
    Ok(())
}

#[cfg(not(unix))]
fn watch(signal: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    Ok(ctrlc::set_handler(signal)?)
}
