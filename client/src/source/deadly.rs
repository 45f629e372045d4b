//! Signals that end haul without a word, SIGHUP and SIGQUIT. While a command runs whose output is sent, the command ends
//! first, and then haul by the same signal.

pub(super) use platform::Deadly;

#[cfg(unix)]
mod platform {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, OnceLock};

    use signal_hook::consts::{SIGHUP, SIGQUIT};
    use signal_hook::flag;

    /// Holds such signals back until it is dropped.
    pub(crate) struct Deadly(&'static Watched);

    struct Watched {
        /// No command runs, so a signal does what it always does.
        idle: Arc<AtomicBool>,
        heard: Arc<AtomicUsize>,
    }

    impl Deadly {
        pub(crate) fn watch() -> Self {
            static WATCHED: OnceLock<Watched> = OnceLock::new();
            let watched = WATCHED.get_or_init(|| {
                let (idle, heard) = (Arc::new(AtomicBool::new(true)), Arc::default());
                for signal in [SIGHUP, SIGQUIT].into_iter().filter(|signal| !is_ignored(*signal)) {
                    // If the system refuses, the signal ends haul alone.
                    let _ = flag::register_conditional_default(signal, Arc::clone(&idle));
                    let number = usize::try_from(signal).unwrap_or(0);
                    let _ = flag::register_usize(signal, Arc::clone(&heard), number);
                }
                Watched { idle, heard }
            });
            watched.idle.store(false, Ordering::Release);
            Self(watched)
        }

        pub(crate) fn is_heard(&self) -> bool {
            self.0.heard.load(Ordering::Acquire) != 0
        }
    }

    impl Drop for Deadly {
        fn drop(&mut self) {
            self.0.idle.store(true, Ordering::Release);
            let heard = self.0.heard.swap(0, Ordering::AcqRel);
            if let (true, Ok(signal)) = (heard != 0, i32::try_from(heard)) {
                // It does not return.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        }
    }

    /// Whether whoever started haul wanted this signal to be ignored, as `nohup` does (proc_pid_status(5)).
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
    pub(crate) struct Deadly;

    impl Deadly {
        pub(crate) fn watch() -> Self {
            Self
        }

        #[expect(clippy::unused_self, reason = "other platforms have such signals")]
        pub(crate) fn is_heard(&self) -> bool {
            false
        }
    }
}
