//! Messages beside the progress of a run.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes a message to standard error.
pub(crate) fn tell(text: &dyn Display) {
    // Nothing can be told if standard error is gone.
    let _ = writeln!(io::stderr(), "{text}");
}
