//! Errors of receipts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::system::words;

/// A name can't be in a receipt, or the receipt can't be written.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// `b3sum` reads no such names.
    #[error("its name is not UTF-8 or has U+FFFD in it, which b3sum does not read")]
    Name,
    /// The file system said no.
    #[error("could not write {}: {}", path.display(), words(source))]
    Io {
        /// The receipt.
        path: PathBuf,
        /// The system's error.
        source: Arc<io::Error>,
    },
}

impl ReceiptError {
    /// The file system said no to the receipt at a path.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source: Arc::new(source) }
    }
}
