//! The thread that tells the hook `on-commit` of changes: many at once, in order, again and again until the hook has taken them.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;

use super::output::Output;
use super::portion::Portion;
use super::program::{Ended, Running};
use super::reader::{Batch, Reader};
use super::{ON_COMMIT, OnCommit};
use crate::metrics::Metrics;

/// Pauses after failures, each twice as long as the one before, unless the next run has fewer changes and more time for each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Time between two looks whether the server stops, while the program runs.
const LOOK: Duration = Duration::from_millis(200);

/// The reason for which changes were not taken.
#[derive(Debug)]
enum Untaken {
    /// The program was not run, or could not be watched.
    NotRun(String),
    /// The program was killed, for its time was over.
    Killed(String),
    /// The program has said so by its end.
    Refused(String),
}

impl OnCommit {
    /// Delivers until the server stops.
    pub(crate) fn run(&self, metrics: &Metrics) {
        let mut reader = Reader::default();
        let mut output = match self.program.is_post {
            true => Output::kept(ON_COMMIT),
            false => Output::new(ON_COMMIT),
        };
        let (mut portion, mut pause) = (Portion::default(), FIRST_PAUSE);
        while let Some(due) = self.spool.due(portion.get()) {
            if due.stops.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            // The marks of changes that were told to clients, in case that somebody else takes the entries away.
            if let Err(error) = self.spool.write_marks() {
                tracing::debug!(hook = ON_COMMIT, %error, "could not write to its spool");
            }
            let begun = Instant::now();
            let batch = reader.batch(&self.spool, &due);
            let given = batch.as_ref().map_or(0, |batch| batch.events);
            let taken = batch
                .map_err(|error| Untaken::NotRun(format!("its spool can't be read: {error}")))
                .and_then(|batch| self.give(&batch.lines, &mut output).map(|()| batch));
            match taken {
                Ok(batch) => {
                    pause = FIRST_PAUSE;
                    if batch.events > 0 {
                        portion.worked(begun.elapsed(), self.program.time);
                    }
                    self.taken(&batch, metrics);
                }
                Err(untaken) => {
                    reader = Reader::default();
                    let has_less = untaken.is_of_run() && portion.failed(given);
                    // The time that the run has had was a pause already.
                    let was_killed = matches!(untaken, Untaken::Killed(_));
                    pause = if has_less && was_killed { FIRST_PAUSE } else { pause };
                    let why = untaken.why();
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

    /// The program has taken these changes.
    fn taken(&self, batch: &Batch, metrics: &Metrics) {
        self.last.worked();
        metrics.hooks.delivered.add(batch.events);
        // A server that is killed may tell these once more.
        if let Err(error) = self.spool.delivered(batch.next) {
            tracing::warn!(hook = ON_COMMIT, %error, "could not note what it was told");
        }
    }

    /// Runs the program with these lines as its input.
    fn give(&self, lines: &str, output: &mut Output) -> Result<(), Untaken> {
        if lines.is_empty() {
            return Ok(());
        }
        let running = self.program.host.run(self.program.number);
        let mut running =
            running.map_err(|error| Untaken::NotRun(format!("could not be started: {error}")))?;
        let ended = self.tell(&mut running, lines, output);
        output.end([&mut running.output, &mut running.error]);
        // The exit code of a program that is hauld itself tells nobody what has failed.
        let reason = output.reason();
        match ended? {
            Ended::Well => Ok(()),
            Ended::Badly(why) => Err(Untaken::Refused(reason.unwrap_or(why))),
        }
    }

    /// Writes lines to the program that runs, until it ends; an error if it has to be killed.
    fn tell(
        &self,
        running: &mut Running,
        lines: &str,
        output: &mut Output,
    ) -> Result<Ended, Untaken> {
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
                let why = format!("was killed after {} s", begun.elapsed().as_secs());
                return Err(Untaken::Killed(why));
            }
            wait(running, !left.is_empty(), rest.min(LOOK))
                .map_err(|errno| Untaken::NotRun(errno.to_string()))?;
            left = write(running, left);
            output.read(&mut running.output);
            output.read(&mut running.error);
        }
    }
}

impl Untaken {
    /// Whether a run with fewer changes may end otherwise.
    fn is_of_run(&self) -> bool {
        !matches!(self, Self::NotRun(_))
    }

    fn why(self) -> String {
        let (Self::NotRun(why) | Self::Killed(why) | Self::Refused(why)) = self;
        why
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
