//! Signals that end haul without a word, such as SIGHUP and SIGQUIT. While haul sends the output of a command, they end the run first,
//! as Ctrl-C does, so that the command ends too; then haul ends by the same signal.

pub(super) use platform::Deadly;

#[cfg(unix)]
mod platform {
    use std::io;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};

    use signal_hook::consts::{
        SIGABRT, SIGALRM, SIGHUP, SIGPROF, SIGQUIT, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU,
    };
    use signal_hook::flag;
    use signal_hook::iterator::Handle;

    /// All such signals that other processes send, or the kernel because of a timer or a limit. Signals that tell of a fault in
    /// haul itself are not among them, nor are those whose default the library does not know.
    const DEADLY: [i32; 9] =
        [SIGHUP, SIGQUIT, SIGABRT, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU];

    /// Such signals, which do what they always do as long as nobody holds them. Nothing is asked of the system before they are
    /// held for the first time: most commands never do.
    #[derive(Debug, Clone)]
    pub(crate) struct Deadly {
        is_free: Arc<AtomicBool>,
        heard: Arc<AtomicUsize>,
        /// Until they are watched.
        unwatched: Arc<Mutex<Option<Listeners>>>,
    }

    /// Those who are told of such a signal that comes while they are held.
    #[derive(Debug)]
    struct Listeners {
        /// The flag that the signal sets.
        stop: Arc<AtomicBool>,
        /// The thread that stops the run then.
        thread: Handle,
    }

    /// Holds such signals back until it is dropped.
    pub(crate) struct Held<'a>(&'a Deadly);

    impl Default for Deadly {
        fn default() -> Self {
            let is_free = Arc::new(AtomicBool::new(true));
            Self { is_free, heard: Arc::default(), unwatched: Arc::default() }
        }
    }

    impl Deadly {
        /// Tells it of the flag that such a signal sets while they are held, and of the thread that stops the run then.
        pub(crate) fn attach(&self, stop: &Arc<AtomicBool>, thread: Handle) {
            let mut unwatched = self.unwatched.lock().unwrap_or_else(PoisonError::into_inner);
            *unwatched = Some(Listeners { stop: Arc::clone(stop), thread });
        }

        /// From now on, such a signal ends the run that goes on. Signals that are ignored stay so.
        ///
        /// # Errors
        /// If the system does not allow it.
        pub(crate) fn hold(&self) -> io::Result<Held<'_>> {
            let mut unwatched = self.unwatched.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(listeners) = unwatched.take() {
                self.watch(&listeners)?;
            }
            self.is_free.store(false, Ordering::Release);
            Ok(Held(self))
        }

        fn watch(&self, Listeners { stop, thread }: &Listeners) -> io::Result<()> {
            let ignored = ignored();
            for signal in DEADLY.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0) {
                flag::register_conditional_default(signal, Arc::clone(&self.is_free))?;
                let number = usize::try_from(signal).unwrap_or(0);
                flag::register_usize(signal, Arc::clone(&self.heard), number)?;
                flag::register(signal, Arc::clone(stop))?;
                thread.add_signal(signal)?;
            }
            Ok(())
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

    /// The signals that the parent of haul wants to be ignored, as `nohup` does: a bit for each, as proc_pid_status(5) has
    /// them.
    fn ignored() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    }
}

#[cfg(not(unix))]
mod platform {
    /// There are no such signals.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Deadly;

    impl Deadly {
        #[expect(
            clippy::unused_self,
            clippy::unnecessary_wraps,
            reason = "other platforms have such signals"
        )]
        pub(crate) fn hold(&self) -> std::io::Result<()> {
            Ok(())
        }

        #[expect(clippy::unused_self, reason = "other platforms have such signals")]
        pub(crate) fn code(&self) -> Option<u8> {
            None
        }
    }
}
