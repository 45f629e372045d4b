//! Reports of a run: counts, single names, and its status now and then.
//!
//! The threads of a run tell [`progress::Progress`], which counts and queues; the thread that has started the run takes
//! from the queue and tells the [`observer::Observer`] ([`watch`]).

mod counts;
pub mod events;
pub mod note;
pub mod nudge;
pub mod observer;
pub mod progress;
pub mod status;
pub mod watch;

pub use counts::Counts;
