//! Knowledge about an item at the server.

use haul_protocol::Verdict;

/// The server's knowledge of an item, as far as the client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The server was not asked.
    Unasked,
    /// The server has said something that this client does not know.
    Unknown,
    /// The file has got mode or mtime without its bytes. The server is asked once more: somebody may have replaced the file
    /// since it was compared.
    Adjusted,
    /// The server has compared its entry with the item, and says this.
    Is(Verdict),
}

impl Known {
    /// Whether this is the verdict.
    #[must_use]
    pub fn is(self, verdict: Verdict) -> bool {
        self == Self::Is(verdict)
    }

    /// Whether the server has said that an entry stands there.
    #[must_use]
    pub fn stands(self) -> bool {
        matches!(self, Self::Is(verdict) if verdict != Verdict::Missing)
    }

    /// The reason for sending or changing the item, for people.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::Is(Verdict::Missing) => "new",
            Self::Is(Verdict::Kind) => "replaces something of another kind",
            Self::Is(Verdict::Directory) => "replaces a directory",
            Self::Is(Verdict::Size) => "size differs",
            Self::Is(Verdict::Target) => "points elsewhere",
            Self::Is(Verdict::Digest) => "bytes differ",
            Self::Is(Verdict::Mtime) => "mtime differs",
            Self::Is(Verdict::Mode) => "mode differs",
            Self::Is(Verdict::Same) => "the same is there",
            Self::Is(_) | Self::Unknown | Self::Unasked | Self::Adjusted => "differs",
        }
    }
}

impl From<Option<Verdict>> for Known {
    fn from(verdict: Option<Verdict>) -> Self {
        verdict.map_or(Self::Unknown, Self::Is)
    }
}
