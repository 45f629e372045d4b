//! `haul mv`: another name for an entry of a server.

use std::str::FromStr;

use haul_protocol::{Entry, Name, Op, Refusal, Right};

use super::aliases::Meant;
use super::ending::Ending;
use super::exit::Reason;
use super::lookup::{self, There};
use super::oneshot;
use super::options::Reaching;
use super::usage::{Usage, meant};
use crate::connection::rpc::{Asking, Said};
use crate::credentials::Need;
use crate::error::ConnectionError;
use crate::error::destination::DestinationError;
use crate::error::refused::Refused;
use crate::net::destination::{Destination, Server};
use crate::net::root::root_above;
use crate::net::ssh::Access;

/// The rights that it can't do without.
const NEEDS: [Need; 3] = [(Right::Put, "mv"), (Right::Delete, "mv"), (Right::List, "mv")];

/// The feature of a server that can rename.
const RENAME: &str = "rename";

/// The new place of an entry.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) destination: Destination,
    /// A slash at its end says that it is a directory.
    pub(super) is_directory: bool,
}

impl FromStr for Place {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        Ok(Self { destination: text.parse()?, is_directory: text.ends_with('/') })
    }
}

/// The first word behind `haul mv`: a path on this machine is told with the command that moves it.
pub(super) fn entry_to_move(text: &str) -> Result<Destination, Usage> {
    if let Some(meant) = meant(text)? {
        return Ok(meant.used().destination);
    }
    text.parse().map_err(|error| match error {
        DestinationError::LocalPath(_) => moves_up(text),
        error => Usage(error.to_string()),
    })
}

/// The last word behind `haul mv`: a path on this machine is told with what haul can do.
pub(super) fn new_place(text: &str) -> Result<Place, Usage> {
    if let Some(meant) = meant(text)?.map(Meant::used) {
        let is_directory = meant.ends_with_slash;
        return Ok(Place { destination: meant.destination, is_directory });
    }
    text.parse().map_err(|error: DestinationError| match error {
        DestinationError::LocalPath(_) => Usage(format!(
            "`{text}` is a path on this machine, and haul mv renames at a server; to bring it here, write haul get"
        )),
        error => Usage(error.to_string()),
    })
}

fn moves_up(text: &str) -> Usage {
    Usage(format!(
        "`{text}` is on this machine, and haul mv renames at a server: haul put --remove-source {text} DEST moves \
         files from here to a server"
    ))
}

/// The text of an entry that stands on this machine, if it was written so.
fn is_here(entry: &Destination) -> Option<String> {
    let Server::Tcp { host, .. } = &entry.server else { return None };
    let text = match &entry.path {
        Some(path) => format!("{host}/{path}"),
        None => host.clone(),
    };
    std::fs::symlink_metadata(&text).is_ok().then_some(text)
}

/// Renames an entry, and returns the exit code. If a directory stands at the new place, the entry goes into it. Another
/// entry is replaced only with `force`.
pub(super) fn mv(
    source: &Destination,
    place: &Place,
    force: bool,
    reaching: Reaching,
    ending: &Ending<'_>,
) -> u8 {
    let (mut source, mut place) = (source.clone(), place.clone());
    root_above([&mut source, &mut place.destination], Access::Changes);
    let (source, place) = (&source, &place);
    let is_beside = source.is_beside(&place.destination);
    if !is_beside && let Some(text) = is_here(source) {
        return ending.fail(Reason::Usage, &moves_up(&text));
    }
    let Some(from) = &source.path else {
        let error = "the server's root can't be moved; name an entry in it: HOST/NAME, or HOST:NAME over ssh";
        return ending.fail(Reason::Usage, &error);
    };
    if !is_beside {
        let (here, there) = (source.login(), place.destination.login());
        let error = format!(
            "{here} and {there} are not written alike, and haul mv renames at one server: write the server in \
             the same way in front of both, as in haul mv HOST/OLD HOST/NEW; to another server, send the files from \
             where they came with haul put, and then remove them here with haul rm"
        );
        return ending.fail(Reason::Usage, &error);
    }
    let mut renaming = Renaming { from, place, force, to: None, before: None, is_sent: false };
    let mut reason = Reason::Done;
    let done = oneshot::at(source, &NEEDS, reaching, ending, &mut |asking, _| {
        if let Err(Failed { name, why }) = renaming.run(asking)? {
            ending.failed(&name, &why);
            reason = Reason::Failed;
        }
        Ok(())
    });
    match done {
        Ok(()) => ending.asked(reason),
        Err(ended) => ended.tell(ending),
    }
}

/// A rename over one connection after the other.
struct Renaming<'a> {
    from: &'a Name,
    place: &'a Place,
    force: bool,
    /// The new name, once it is known.
    to: Option<Name>,
    /// The entry before it was renamed.
    before: Option<Entry>,
    /// The request may have been carried out.
    is_sent: bool,
}

/// The result of a request whose answer was lost.
enum Fate {
    /// The entry stands under its old name only, as it was.
    Undone,
    /// The entry stands under its new name only, as it was.
    Done,
    /// Nobody can tell.
    Unknown,
}

/// The entry that is the reason why nothing is renamed, and the failure.
struct Failed {
    name: Name,
    why: String,
}

impl Failed {
    fn new(name: &Name, why: impl Into<String>) -> Self {
        Self { name: name.clone(), why: why.into() }
    }

    fn refused(name: &Name, refusal: &Refusal) -> Self {
        Self::new(name, Refused(refusal).to_string())
    }
}

impl Renaming<'_> {
    fn run(&mut self, asking: &mut Asking<'_>) -> Result<Result<(), Failed>, ConnectionError> {
        if !asking.has_feature(RENAME) {
            let why =
                "this server can't rename: it lacks the feature `rename`, as an older hauld does";
            return Ok(Err(Failed::new(self.from, why)));
        }
        let to = match &self.to {
            Some(to) => to.clone(),
            None => match self.look(asking)? {
                Ok(to) => to,
                Err(why) => return Ok(Err(why)),
            },
        };
        self.to = Some(to.clone());
        if self.is_sent {
            match self.fate(asking, &to)? {
                Fate::Undone => {}
                Fate::Done => return Ok(Ok(())),
                Fate::Unknown => {
                    let why = format!(
                        "the connection was lost before the answer, and somebody else has renamed, changed or \
                         made {} or {to} meanwhile, so haul can't tell whether the entry was renamed; look with \
                         haul ls where it is",
                        self.from
                    );
                    return Ok(Err(Failed::new(self.from, why)));
                }
            }
        }
        let (name, replace) = (self.from.clone(), self.force);
        asking.ask(&Op::Rename { name, to, replace })?;
        self.is_sent = true;
        let Said::Refused(refusal) = asking.answer()?.1 else { return Ok(Ok(())) };
        Ok(Err(Failed::refused(self.from, &refusal)))
    }

    /// The new name.
    fn look(&mut self, asking: &mut Asking<'_>) -> Result<Result<Name, Failed>, ConnectionError> {
        let last = self.from.split().1;
        let Place { destination, is_directory } = self.place;
        let inside = match &destination.path {
            None => Name::parse(last),
            Some(directory) => match lookup::kind(asking, directory)? {
                Err(refusal) => return Ok(Err(Failed::refused(directory, &refusal))),
                Ok(There::Directory) => directory.join(last),
                Ok(There::Other) if *is_directory => {
                    return Ok(Err(Failed::new(directory, "is not a directory")));
                }
                Ok(There::Nothing) if *is_directory => {
                    let why = "there is no such directory; haul mkdir makes it";
                    return Ok(Err(Failed::new(directory, why)));
                }
                Ok(There::Other | There::Nothing) => Ok(directory.clone()),
            },
        };
        let to = match inside {
            Ok(to) => to,
            Err(error) => return Ok(Err(Failed::new(self.from, error.to_string()))),
        };
        if to == *self.from {
            return Ok(Err(Failed::new(&to, "both names are the same")));
        }
        if !self.force
            && let Ok(There::Directory | There::Other) = lookup::kind(asking, &to)?
        {
            let why = "is there already; haul mv -f replaces a file, or an empty directory";
            return Ok(Err(Failed::new(&to, why)));
        }
        // If it can't be looked at, nobody can tell after a lost answer.
        self.before = lookup::entry(asking, self.from)?.ok().flatten();
        Ok(Ok(to))
    }

    /// Looks whether the request whose answer was lost was carried out. The server does not carry it out any more.
    fn fate(&self, asking: &mut Asking<'_>, to: &Name) -> Result<Fate, ConnectionError> {
        let Some(before) = &self.before else { return Ok(Fate::Unknown) };
        let (old, new) = (lookup::entry(asking, self.from)?, lookup::entry(asking, to)?);
        let (Ok(old), Ok(new)) = (old, new) else { return Ok(Fate::Unknown) };
        let is_renamed =
            new.is_some_and(|new| Entry { name: before.name.clone(), ..new } == *before);
        Ok(match old {
            Some(old) if old == *before && !is_renamed => Fate::Undone,
            None if is_renamed => Fate::Done,
            _ => Fate::Unknown,
        })
    }
}
