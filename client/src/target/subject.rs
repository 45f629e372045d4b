//! The file whose parts are here.

use haul_protocol::{Digest, Token};

/// A file of the server, as the server has told, of which parts are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The server's word for the present bytes of the file.
    pub state: Token,
    /// The digest of the file, which all parts together must have. Without one, each part has been compared with a
    /// chaining value of the server's before its record was written.
    pub digest: Option<Digest>,
}
