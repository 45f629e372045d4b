//! The observer's thread: passes on the calls that the threads of the run have queued.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use super::events::Event;
use super::observer::Observer;
use super::progress::Progress;

/// Passes the calls on to the observer, until the run is over.
pub fn watch(progress: &Progress, events: Receiver<Event>, observer: &mut dyn Observer) {
    let interval = observer.interval();
    let mut due = interval.map(|interval| Instant::now() + interval);
    loop {
        let received = match due {
            Some(due) => events.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => events.recv().map_err(RecvTimeoutError::from),
        };
        match received {
            Ok(Event::End) | Err(RecvTimeoutError::Disconnected) => return,
            Ok(event) => tell(event, observer),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // With many events the wait never times out.
        if let Some(interval) = interval
            && due.is_some_and(|due| due <= Instant::now())
        {
            observer.status(&progress.status());
            due = Some(Instant::now() + interval);
        }
    }
}

/// Calls the method that an event is for.
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
        Event::End => {}
    }
}
