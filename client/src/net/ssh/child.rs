//! The process of ssh: started with one end of a pair of sockets, asked how it has ended, and never left behind.

#[cfg(unix)]
pub(crate) use unix::{Session, start};

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::process::{Child, Command, ExitStatus, Stdio};
    use std::time::{Duration, Instant};

    use rustix::process::{Pid, Signal, kill_process};

    use crate::error::ssh::Remote;

    /// Time between two looks whether ssh has ended.
    const PAUSE: Duration = Duration::from_millis(5);

    /// Time that ssh has to end by itself when its connection is closed: the remote hauld ends first.
    const LEAVE: Duration = Duration::from_secs(5);

    /// The same, if ssh may be asking for a password and does not look at the connection.
    const LEAVE_EARLY: Duration = Duration::from_millis(200);

    /// Time that ssh has to end after it was asked to: it may have to give the terminal its echo back.
    const END: Duration = Duration::from_secs(2);

    /// Time in which the system tells how a process has ended whose end of the connection is closed.
    const STATUS: Duration = Duration::from_secs(1);

    /// A process of ssh. It is ended, and the system forgets it, when this is dropped; its connection is to be closed before.
    #[derive(Debug)]
    pub(crate) struct Session {
        child: Child,
        /// The user and the host.
        pub(crate) host: String,
        /// The command line, as it is shown.
        pub(crate) command: String,
        /// The hauld that has answered.
        pub(crate) remote: Option<Remote>,
        /// The path there of a copy of hauld that was made for it.
        pub(crate) copied: Option<String>,
    }

    /// Starts a program whose standard input and output are one end of a pair of sockets; returns the other end. All that the
    /// program wants to say or to ask goes to standard error and the terminal of this process.
    ///
    /// # Errors
    /// If the program can't be started.
    pub(crate) fn start(
        words: &[String],
        host: String,
        command: String,
    ) -> io::Result<(UnixStream, Session)> {
        let (program, rest) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let (ours, theirs) = UnixStream::pair()?;
        // Each end has its own mode: the program's stays one that blocks.
        ours.set_nonblocking(true)?;
        let (input, output) = (OwnedFd::from(theirs.try_clone()?), OwnedFd::from(theirs));
        let mut started = Command::new(program);
        started.args(rest).stdin(Stdio::from(input)).stdout(Stdio::from(output));
        let child = started.spawn()?;
        Ok((ours, Session { child, host, command, remote: None, copied: None }))
    }

    impl Session {
        /// The end of the process, if it has ended.
        pub(crate) fn status(&mut self) -> Option<ExitStatus> {
            self.child.try_wait().ok().flatten()
        }

        /// The end of a process whose end of the connection is closed.
        pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
            self.wait(STATUS)
        }

        fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
            let begun = Instant::now();
            loop {
                match self.child.try_wait() {
                    Ok(Some(status)) => return Some(status),
                    Ok(None) if begun.elapsed() < limit => std::thread::sleep(PAUSE),
                    _ => return None,
                }
            }
        }

        /// The number of a process that nobody has waited for belongs to no other one.
        fn signal(&mut self, signal: Signal) {
            if matches!(self.child.try_wait(), Ok(None)) {
                let _ = kill_process(Pid::from_child(&self.child), signal);
            }
        }
    }

    impl Drop for Session {
        fn drop(&mut self) {
            let leave = if self.remote.is_some() { LEAVE } else { LEAVE_EARLY };
            if self.wait(leave).is_some() {
                return;
            }
            self.signal(Signal::TERM);
            // One that is stopped hears nothing else.
            self.signal(Signal::CONT);
            if self.wait(END).is_none() {
                self.signal(Signal::KILL);
                // It can't refuse.
                let _ = self.child.wait();
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use std::io::{Read, Write};

        use super::*;

        fn sh(script: &str) -> (UnixStream, Session) {
            let words = ["sh", "-c", script].map(String::from);
            let (socket, session) = start(&words, String::new(), String::new()).unwrap();
            socket.set_nonblocking(false).unwrap();
            (socket, session)
        }

        fn is_there(session: &Session) -> bool {
            rustix::process::test_kill_process(Pid::from_child(&session.child)).is_ok()
        }

        #[test]
        fn process_speaks_over_the_pair_and_ends_with_it() {
            let (mut socket, session) = sh("read line; echo \"got $line\"; cat >/dev/null");
            socket.write_all(b"it\n").unwrap();
            let mut said = [0; 7];
            socket.read_exact(&mut said).unwrap();
            assert_eq!(&said, b"got it\n");
            let pid = Pid::from_child(&session.child);
            drop(socket);
            drop(session);
            assert!(rustix::process::test_kill_process(pid).is_err());
        }

        #[test]
        fn process_that_does_not_listen_is_ended_and_no_zombie_stays() {
            let (mut socket, session) =
                sh("trap '' TERM; echo; while :; do sleep 60 & wait $!; done");
            socket.read_exact(&mut [0]).unwrap();
            let pid = Pid::from_child(&session.child);
            assert!(is_there(&session));
            drop(socket);
            drop(session);
            assert!(rustix::process::test_kill_process(pid).is_err());
        }

        #[test]
        fn end_of_a_process_is_told() {
            let (mut socket, mut session) = sh("exit 7");
            assert_eq!(socket.read(&mut [0]).unwrap(), 0);
            assert_eq!(session.ended().unwrap().code(), Some(7));
        }
    }
}

#[cfg(not(unix))]
pub(crate) use elsewhere::Session;

/// There are no pairs of sockets here.
#[cfg(not(unix))]
mod elsewhere {
    use std::process::ExitStatus;

    use crate::error::ssh::Remote;

    /// No process.
    #[derive(Debug)]
    pub(crate) struct Session {
        pub(crate) host: String,
        pub(crate) command: String,
        pub(crate) remote: Option<Remote>,
        pub(crate) copied: Option<String>,
    }

    impl Session {
        pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
            None
        }
    }
}
