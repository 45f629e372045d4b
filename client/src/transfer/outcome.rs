//! The result of a run.

use std::time::Duration;

use crate::error::receipt::ReceiptError;
use crate::report::Counts;

/// The result of a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// Counts of entries that were committed, failed, removed, compared and sent.
    pub counts: Counts,
    /// From the first connection attempt to the end.
    pub elapsed: Duration,
    /// The part of it in which bytes were on their way to the server.
    pub sending: Duration,
    /// The promise of the server's acknowledgements: `group` (a committed file survives a loss of power), `none` (a crash of
    /// the server only). `None`: no server was reached, or it was a classic one.
    pub durability: Option<String>,
    /// The run was stopped by its [`Interrupt`](crate::Interrupt).
    pub interrupted: bool,
    /// The directory has got its next version.
    pub published: bool,
    /// The server was asked to publish it and did not answer before the run ended: `published` is false, and may be wrong.
    pub publish_unanswered: bool,
    /// The server was asked to read every byte that was compared, also of files whose digest it knows.
    pub reread: bool,
    /// The reason why the receipt is not complete, if it is not.
    pub receipt_error: Option<ReceiptError>,
}

impl Report {
    /// Whether everything was done, without a failure or a difference.
    #[must_use]
    pub fn is_success(&self) -> bool {
        let is_clean = self.counts.failed == 0 && self.counts.different == 0;
        is_clean && !self.interrupted && self.receipt_error.is_none()
    }
}
