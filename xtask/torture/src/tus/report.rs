//! Counts of resumable uploads.

use std::fmt;

use crate::tally::Tally;

/// Counts of a bout.
pub(crate) type Counts = Tally<What>;

/// One thing that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    Passes,
    Uploads,
    Whole,
    Removed,
    ServerKills,
    ServerStops,
    StartsRefused,
    NetworkBreaks,
    FullDisks,
    Connections,
    Lost,
    CutHere,
    LostCreations,
    Requests,
    WrongBytes,
    Overtaken,
    Busy,
    NoSpace,
    Unwritten,
    Offsets,
    OffsetsAfterStarts,
    GoneFor,
    Looks,
    Files,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passes => "passes",
            Self::Uploads => "uploads",
            Self::Whole => "files whole",
            Self::Removed => "removed",
            Self::ServerKills => "kills of the server",
            Self::ServerStops => "stops",
            Self::StartsRefused => "starts refused",
            Self::NetworkBreaks => "cuts, truncations, stalls and delays",
            Self::FullDisks => "full disks",
            Self::Connections => "connections",
            Self::Lost => "lost",
            Self::CutHere => "ended by their client within a body",
            Self::LostCreations => "beginnings without an answer",
            Self::Requests => "requests",
            Self::WrongBytes => "with bytes unlike their checksum",
            Self::Overtaken => "overtaken",
            Self::Busy => "busy",
            Self::NoSpace => "without space",
            Self::Unwritten => "without a journal",
            Self::Offsets => "offsets compared",
            Self::OffsetsAfterStarts => "of these at once after a start",
            Self::GoneFor => "removed ones asked for again",
            Self::Looks => "looks at final names",
            Self::Files => "whole files compared",
        })
    }
}
