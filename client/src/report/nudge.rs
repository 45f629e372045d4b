//! A nudge for the observer's thread, which may have something else to do.

use std::sync::mpsc::SyncSender;

use super::events::Event;

/// Has the observer's thread look whether it is to do anything else.
#[derive(Debug, Clone)]
pub struct Nudge(SyncSender<Event>);

impl Nudge {
    /// Through the queue of events.
    #[must_use]
    pub(crate) fn new(events: SyncSender<Event>) -> Self {
        Self(events)
    }

    /// Never waits: while the queue is full, the thread takes events out of it, and looks after each.
    pub(crate) fn nudge(&self) {
        let _ = self.0.try_send(Event::Look);
    }
}
