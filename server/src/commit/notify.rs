//! What others may ask of a connection that they know by its key only.

use super::committer::Completion;

/// All connections. Whoever runs them implements it.
pub(crate) trait Notify: Sync {
    /// Has a worker run a connection soon, whatever its peer does. If the connection is gone, nothing happens.
    fn wake(&self, connection: u64);

    /// Leaves a change that is over at the connection that asked for it, which has to be woken then. Returns whether the
    /// connection still is.
    fn complete(&self, connection: u64, completion: Completion) -> bool;

    /// Has the connection give its place for an open file back that has had one for longest without using it.
    fn free_a_place(&self);
}
