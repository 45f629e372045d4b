//! The facts about an upload whose bytes come in order that outlast a restart of the server.

use serde::{Deserialize, Serialize};

/// Facts that its client has told when it began, and the promises that it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderedFacts {
    /// Nobody has told the size of the file.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) deferred: bool,
    /// The mtime of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mtime: Option<(i64, u32)>,
    /// It may not replace anything.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) only_new: bool,
    /// Bytes that the client was told of survive a power cut.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) lasting: bool,
    /// The rights that its account had when it began; a server without accounts writes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rights: Option<String>,
    /// Text that the client gets back as it has sent it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) metadata: String,
}

fn is_false(fact: &bool) -> bool {
    !fact
}
