//! The thread that makes changes durable, many at a time, and the queue in front of it.

pub(crate) mod committer;
pub(crate) mod notify;
pub(crate) mod queue;
