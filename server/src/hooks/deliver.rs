//! The thread that tells the hook `on-commit` of changes: many at once, in order, again and again until the hook has taken them.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;

use super::output::Output;
use super::program::{Ended, Running};
use super::reader::Reader;
use super::{ON_COMMIT, OnCommit};
use crate::metrics::Metrics;

/// Changes that the program is told of at once.
const MOST: usize = 4096;

/// Pauses after failures, each twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Time between two looks whether the server stops, while the program runs.
const LOOK: Duration = Duration::from_millis(200);

impl OnCommit {
    /// Delivers until the server stops.
    pub(crate) fn run(&self, metrics: &Metrics) {
        let mut reader = Reader::default();
        let mut output = match self.program.is_post {
            true => Output::kept(ON_COMMIT),
            false => Output::new(ON_COMMIT),
        };
        let mut pause = FIRST_PAUSE;
        while let Some(due) = self.spool.due(MOST) {
            if due.stops.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            // The marks of changes that were told to clients, in case that somebody else takes the entries away.
            if let Err(error) = self.spool.write_marks() {
                tracing::debug!(hook = ON_COMMIT, %error, "could not write to its spool");
            }
            let given = reader
                .batch(&self.spool, &due)
                .map_err(|error| format!("its spool can't be read: {error}"))
                .and_then(|batch| self.give(&batch.lines, &mut output).map(|()| batch));
            match given {
                Ok(batch) => {
                    pause = FIRST_PAUSE;
                    self.last.worked();
                    metrics.hooks.delivered.add(batch.events);
                    // A server that is killed may tell these once more.
                    if let Err(error) = self.spool.delivered(batch.next) {
                        tracing::warn!(hook = ON_COMMIT, %error, "could not note what it was told");
                    }
                }
                Err(why) => {
                    reader = Reader::default();
                    metrics.hooks.failed.add(1);
                    tracing::warn!(hook = ON_COMMIT, why, again_in = ?pause, "failed");
                    self.last.failed(why);
                    if self.spool.rest(pause).is_some() {
                        break;
                    }
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
        }
        let left = self.spool.waiting().events;
        if left > 0 {
            tracing::info!(
                hook = ON_COMMIT,
                changes = left,
                "are told when hauld is started again"
            );
        }
    }

    /// Runs the program with these lines as its input.
    fn give(&self, lines: &str, output: &mut Output) -> Result<(), String> {
        if lines.is_empty() {
            return Ok(());
        }
        let running = self.program.host.run(self.program.number);
        let mut running = running.map_err(|error| format!("could not be started: {error}"))?;
        let ended = self.tell(&mut running, lines, output);
        output.end([&mut running.output, &mut running.error]);
        // The exit code of a program that is hauld itself tells nobody what has failed.
        let reason = output.reason();
        match ended? {
            Ended::Well => Ok(()),
            Ended::Badly(why) => Err(reason.unwrap_or(why)),
        }
    }

    /// Writes lines to the program that runs, until it ends; an error if it has to be killed.
    fn tell(
        &self,
        running: &mut Running,
        lines: &str,
        output: &mut Output,
    ) -> Result<Ended, String> {
        let begun = Instant::now();
        let mut left = lines.as_bytes();
        loop {
            if let Some(ended) = running.ended() {
                return Ok(ended);
            }
            let end = begun + self.program.time;
            let end = self.spool.stops().map_or(end, |stops| stops.min(end));
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Err(format!("was killed after {} s", begun.elapsed().as_secs()));
            }
            wait(running, !left.is_empty(), rest.min(LOOK)).map_err(|errno| errno.to_string())?;
            left = write(running, left);
            output.read(&mut running.output);
            output.read(&mut running.error);
        }
    }
}

/// Writes as much to the program as it takes; returns the rest. A program that takes no more is judged by how it ends.
fn write<'a>(running: &mut Running, left: &'a [u8]) -> &'a [u8] {
    let Some(input) = &running.input else { return &[] };
    match rustix::io::write(input, left) {
        Ok(len) if len < left.len() => &left[len..],
        Err(Errno::AGAIN | Errno::INTR) => left,
        Ok(_) | Err(_) => {
            running.input = None;
            &[]
        }
    }
}

/// Waits until the program or the process that has started it does something.
fn wait(running: &Running, has_more: bool, time: Duration) -> Result<(), Errno> {
    let control: &UnixStream = &running.control;
    let mut watched = vec![PollFd::new(control, PollFlags::IN)];
    for pipe in [&running.output, &running.error].into_iter().flatten() {
        watched.push(PollFd::new(pipe, PollFlags::IN));
    }
    if let Some(input) = running.input.as_ref().filter(|_| has_more) {
        watched.push(PollFd::from_borrowed_fd(input.as_fd(), PollFlags::OUT));
    }
    let time = Timespec::try_from(time).map_err(|_| Errno::INVAL)?;
    match poll(&mut watched, Some(&time)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}
