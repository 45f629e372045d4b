//! The observer's thread: passes on the calls that the threads of the run have queued.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::events::Event;
use super::observer::Observer;
use super::progress::Progress;

/// Something else that the observer's thread is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing until it is nudged.
    Nothing,
    /// Nothing, but it looks again then.
    LookAt(Instant),
    /// It leaves the events for something else.
    Leave,
}

/// The observer's thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// The run is over.
    ToTheEnd,
    /// It was [asked](Asked::Leave) to leave.
    Left,
}

/// The observer, and the queue of its calls. The threads of the run wait for room in the queue no longer when this is dropped.
pub struct Watch<'a> {
    progress: &'a Progress,
    events: Receiver<Event>,
    observer: &'a mut dyn Observer,
    interval: Option<Duration>,
    /// When the observer is told the progress next.
    due: Option<Instant>,
}

impl<'a> Watch<'a> {
    /// Begins now.
    pub fn new(
        progress: &'a Progress,
        events: Receiver<Event>,
        observer: &'a mut dyn Observer,
    ) -> Self {
        let interval = observer.interval();
        let due = interval.map(|interval| Instant::now() + interval);
        Self { progress, events, observer, interval, due }
    }

    /// Passes the calls on until the run is over.
    pub fn finish(mut self) {
        self.until(&|| Asked::Nothing);
    }

    /// The same, or until `look` asks the thread to leave.
    pub fn until(&mut self, look: &dyn Fn() -> Asked) -> Watched {
        loop {
            let look_at = match look() {
                Asked::Leave => return Watched::Left,
                Asked::LookAt(at) => Some(at),
                Asked::Nothing => None,
            };
            let received = match self.due.into_iter().chain(look_at).min() {
                Some(due) => {
                    self.events.recv_timeout(due.saturating_duration_since(Instant::now()))
                }
                None => self.events.recv().map_err(RecvTimeoutError::from),
            };
            match received {
                Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => return Watched::ToTheEnd,
                Ok(event) => tell(event, self.observer),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // With many events the wait never times out.
            if let Some(interval) = self.interval
                && self.due.is_some_and(|due| due <= Instant::now())
            {
                self.observer.status(&self.progress.status());
                self.due = Some(Instant::now() + interval);
            }
        }
    }
}

fn tell(event: Event, observer: &mut dyn Observer) {
    match event {
        Event::FileDone(name, bytes) => observer.file_done(&name, bytes),
        Event::SymlinkDone(name) => observer.symlink_done(&name),
        Event::DirectoryDone(name) => observer.directory_done(&name),
        Event::Adjusted(name) => observer.adjusted(&name),
        Event::Removed(name) => observer.removed(&name),
        Event::LeftOut(path, why) => observer.left_out(&path, why),
        Event::Skipped(path, why) => observer.skipped(&path, why),
        Event::Failed(path, error) => observer.failed(&path, &error),
        Event::Would { action, name, why, bytes } => observer.would(action, &name, why, bytes),
        Event::Differs { finding, name, why } => observer.differs(finding, &name, why),
        Event::Reconnecting(attempt, why) => observer.reconnecting(&attempt, &why),
        Event::Note(note) => observer.note(&note),
        Event::Look | Event::End => {}
    }
}
