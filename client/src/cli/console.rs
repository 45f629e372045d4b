//! Messages beside the progress of a run.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes a message to standard error.
pub(crate) fn tell(text: &dyn Display) {
    // If standard error is gone, no message can be told.
    let _ = writeln!(io::stderr(), "{text}");
}
