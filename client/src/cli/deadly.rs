//! Signals that end haul without a word, such as SIGHUP and SIGQUIT. While haul sends the output of a command, they end the run first,
//! as Ctrl-C does, so that the command ends too; then haul ends by the same signal.

pub(super) use platform::Deadly;

#[cfg(unix)]
mod platform {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use signal_hook::consts::{
        SIGABRT, SIGALRM, SIGHUP, SIGPROF, SIGQUIT, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU,
    };
    use signal_hook::flag;

    /// All such signals that other processes send, or the kernel because of a timer or a limit. Signals that tell of a fault in
    /// haul itself are not among them, nor are those whose default the library does not know.
    const DEADLY: [i32; 9] =
        [SIGHUP, SIGQUIT, SIGABRT, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU];

    /// Such signals, which do what they always do as long as nobody holds them.
    #[derive(Debug, Clone)]
    pub(crate) struct Deadly {
        is_free: Arc<AtomicBool>,
        heard: Arc<AtomicUsize>,
    }

    /// Holds such signals back until it is dropped.
    pub(crate) struct Held<'a>(&'a Deadly);

    impl Default for Deadly {
        fn default() -> Self {
            Self { is_free: Arc::new(AtomicBool::new(true)), heard: Arc::default() }
        }
    }

    impl Deadly {
        /// Watches these signals, but for those that are ignored. `stop` is set when one comes while they are held. Returns
        /// the signals, for the thread that stops the run then.
        pub(crate) fn install(&self, stop: &Arc<AtomicBool>) -> io::Result<Vec<i32>> {
            let mut watched = DEADLY.to_vec();
            watched.retain(|signal| !is_ignored(*signal));
            for &signal in &watched {
                flag::register_conditional_default(signal, Arc::clone(&self.is_free))?;
                let number = usize::try_from(signal).unwrap_or(0);
                flag::register_usize(signal, Arc::clone(&self.heard), number)?;
                flag::register(signal, Arc::clone(stop))?;
            }
            Ok(watched)
        }

        /// From now on, such a signal ends the run that goes on.
        pub(crate) fn hold(&self) -> Held<'_> {
            self.is_free.store(false, Ordering::Release);
            Held(self)
        }

        /// The exit code of the process, as a shell has it, if such a signal has come while they are held and will end it.
        pub(crate) fn code(&self) -> Option<u8> {
            let heard = u8::try_from(self.heard.load(Ordering::Acquire)).ok()?;
            if heard == 0 { None } else { 128_u8.checked_add(heard) }
        }
    }

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.is_free.store(true, Ordering::Release);
            let heard = self.0.heard.swap(0, Ordering::AcqRel);
            if let (true, Ok(signal)) = (heard != 0, i32::try_from(heard)) {
                // It does not return.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        }
    }

    /// Whether the parent of haul wants this signal to be ignored, as `nohup` does (proc_pid_status(5)).
    fn is_ignored(signal: i32) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
    }
}

#[cfg(not(unix))]
mod platform {
    /// There are no such signals.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Deadly;

    impl Deadly {
        #[expect(clippy::unused_self, reason = "other platforms have such signals")]
        pub(crate) fn hold(&self) {}

        #[expect(clippy::unused_self, reason = "other platforms have such signals")]
        pub(crate) fn code(&self) -> Option<u8> {
            None
        }
    }
}
