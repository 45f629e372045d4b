//! Notes: facts that a user may want to know of a run, though nothing has failed.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use haul_protocol::{Name, Shown};

/// A fact that a user may want to know, though nothing has failed by it. Its text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The source has changed, and is walked once more.
    WalkedAgain(PathBuf),
    /// A source stays on this machine, though its removal was asked for.
    Stays(PathBuf, &'static str),
    /// A line of a file of rules leaves nothing out.
    FitsNothing {
        /// The file.
        path: PathBuf,
        /// The number of the line.
        line: usize,
        /// The reason that no name fits it.
        flaw: String,
    },
    /// A pattern begins with the path of a source, below which it looks for that path.
    NotBelowSource {
        /// The option.
        option: &'static str,
        /// The pattern, as it was given.
        pattern: String,
        /// The pattern without the path of the source.
        right: String,
    },
    /// A connection is given up, and others go on.
    ConnectionGivenUp(String),
    /// The congestion control that was asked for can't be had.
    NoCongestionControl {
        /// The name of the algorithm.
        name: String,
        /// The reason.
        why: String,
    },
    /// The client has brought a token, and the server has no accounts.
    NoAccounts {
        /// The server.
        server: String,
    },
    /// A hauld that ssh has started has answered.
    OverSsh {
        /// The command line of ssh.
        command: String,
        /// The version of hauld there.
        version: String,
        /// The directory there that is its root.
        root: String,
        /// It has joined a server that serves the root already.
        joined: bool,
    },
    /// hauld was copied to a machine that had none.
    Copied {
        /// The path there.
        path: String,
    },
    /// Connections go past ssh.
    Direct {
        /// The address there.
        address: SocketAddr,
    },
    /// A connection could not go past ssh, or does so no longer.
    NotDirect(String),
    /// The line of a connection that has ended. Only if names are wanted.
    Line {
        /// The number of the connection, from 1.
        connection: usize,
        /// Its congestion control.
        algorithm: String,
        /// The smoothed time there and back.
        round_trip: Duration,
        /// Segments that were sent again.
        retransmits: u32,
    },
    /// A symlink of the server leads out of the directory that entries go to.
    LeadsOut {
        /// The symlink, here.
        link: PathBuf,
        /// The path that it points to.
        target: PathBuf,
    },
    /// So do others, which are not told.
    MoreLeadOut,
    /// No entry is removed at the server.
    NothingRemoved(&'static str),
    /// A dry run has nothing to change; the run itself would be refused.
    Foreseen(String),
    /// The directory of this name gets no new version, because an entry or a request has failed.
    NotPublished(Name),
}

impl Note {
    /// Whether only a user who wants to know how it works is told.
    #[must_use]
    pub fn is_for_the_curious(&self) -> bool {
        matches!(self, Self::OverSsh { .. } | Self::Direct { .. } | Self::NotDirect(_))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WalkedAgain(path) => write!(
                f,
                "{} has changed meanwhile; haul looks through the source once more",
                quote(path)
            ),
            Self::Stays(path, why) => write!(f, "{} stays: {why}", quote(path)),
            Self::FitsNothing { path, line, flaw } => {
                write!(f, "{}: line {line} fits no name: {flaw}", quote(path))
            }
            Self::NotBelowSource { option, pattern, right } => write!(
                f,
                "{option} `{}` fits nothing: `/` is SRC itself there; write `{}`",
                Shown(pattern),
                Shown(right)
            ),
            Self::ConnectionGivenUp(why) => write!(f, "one connection less: {why}"),
            Self::NoCongestionControl { name, why } => write!(
                f,
                "congestion control `{}` can't be had, and is not used: {why}",
                Shown(name)
            ),
            Self::NoAccounts { server } => write!(
                f,
                "{server} has no accounts and looks at no token: everyone who reaches it can change the files there"
            ),
            Self::OverSsh { command, version, root, joined } => {
                let how = if *joined { ", served there already" } else { "" };
                let (version, root) = (Shown(version), Shown(root));
                write!(f, "`{}`: hauld {version}, root {root}{how}", Shown(command))
            }
            Self::Copied { path } => {
                write!(f, "there was no hauld; haul has copied one to {} there", Shown(path))
            }
            Self::Direct { address } => {
                write!(f, "with TLS directly to {address}, and ssh only keeps watch")
            }
            Self::NotDirect(why) => write!(f, "over ssh, because there is no direct way: {why}"),
            Self::Line { connection, algorithm, round_trip, retransmits } => write!(
                f,
                "connection {connection}: {algorithm}, round trip {:.1} ms, {retransmits} retransmits",
                round_trip.as_secs_f64() * 1000.0
            ),
            Self::LeadsOut { link, target } => write!(
                f,
                "{} is a symlink that leads elsewhere: to {} (--links skip leaves symlinks out)",
                quote(link),
                quote(target)
            ),
            Self::MoreLeadOut => f.write_str("more symlinks lead elsewhere"),
            Self::NothingRemoved(why) => write!(f, "nothing is removed, because {why}"),
            Self::Foreseen(refusal) => f.write_str(refusal),
            Self::NotPublished(name) => {
                write!(f, "nothing is published, because of what failed above; {name} is as it was")
            }
        }
    }
}

/// A path that never garbles a terminal.
pub fn quote(path: &Path) -> String {
    Shown(path.display()).to_string()
}
