//! Counts of reloads and restarts, and of what the hook was told.

use std::fmt;

use crate::tally::Tally;

/// Counts of a bout.
pub(crate) type Counts = Tally<What>;

/// One thing that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    Passes,
    Runs,
    NotReached,
    Uploads,
    Reloads,
    WrongReloads,
    Accounts,
    WrongAccounts,
    Certificates,
    Keys,
    Stops,
    Kills,
    Cuts,
    Acknowledged,
    Told,
    ToldAgain,
    NeverAcknowledged,
    Names,
    Trees,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passes => "passes",
            Self::Runs => "runs of haul",
            Self::NotReached => "ended before they reached the server",
            Self::Uploads => "uploads by tus and the draft",
            Self::Reloads => "reloads",
            Self::WrongReloads => "of wrong settings",
            Self::Accounts => "changes of accounts",
            Self::WrongAccounts => "wrong files of accounts",
            Self::Certificates => "certificates",
            Self::Keys => "keys",
            Self::Stops => "stops of the server",
            Self::Kills => "kills",
            Self::Cuts => "cuts",
            Self::Acknowledged => "files acknowledged",
            Self::Told => "changes told to the hook",
            Self::ToldAgain => "told more than once",
            Self::NeverAcknowledged => "files told without an acknowledgement",
            Self::Names => "names compared with their last event",
            Self::Trees => "files of trees compared",
        })
    }
}
