//! Sources at a server: what comes from there, and under which name.

use std::ffi::OsString;
use std::str::FromStr;

use haul_protocol::Name;

use super::only::Only;
use crate::error::destination::DestinationError;
use crate::net::destination::Destination;

/// An entry of a server that comes to this machine: `[ACCOUNT@]HOST[:PORT]/PATH` and the other forms of a [`Destination`].
///
/// `HOST/DIR` becomes a directory `DIR` in the target, of `HOST/DIR/` the contents do, as those of the root (`HOST`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub(crate) place: Destination,
    /// The contents of the directory come, and not the directory itself.
    pub(crate) contents: bool,
    /// Its name here, if that is another one.
    pub(crate) renamed: Option<OsString>,
}

impl Source {
    /// The same under another name here.
    #[must_use]
    pub fn renamed(self, name: impl Into<OsString>) -> Self {
        Self { renamed: Some(name.into()), ..self }
    }

    /// The server, and the path there.
    #[must_use]
    pub fn place(&self) -> &Destination {
        &self.place
    }

    /// The same, to be changed.
    pub(crate) fn place_mut(&mut self) -> &mut Destination {
        &mut self.place
    }

    /// As it is written.
    pub(super) fn shown(&self) -> String {
        let slash = if self.place.is_over_ssh() { "" } else { "/" };
        let path = self.place.path.as_ref();
        let path = path.map_or_else(String::new, |path| format!("{slash}{path}"));
        format!("{}{path}{}", self.place.login(), if self.contents { "/" } else { "" })
    }

    /// `number`: its own among all sources.
    pub(super) fn top(&self, number: usize, only: Option<Only>) -> Top {
        Top {
            number,
            only,
            name: self.place.path.clone(),
            contents: self.contents,
            renamed: self.renamed.clone(),
            tries: 0,
            losses: 0,
        }
    }
}

impl From<Destination> for Source {
    fn from(place: Destination) -> Self {
        let contents = place.path.is_none();
        Self { place, contents, renamed: None }
    }
}

impl FromStr for Source {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let source = Self::from(text.parse::<Destination>()?);
        Ok(Self { contents: source.contents || text.ends_with('/'), ..source })
    }
}

/// A source of a run.
#[derive(Debug, Clone)]
pub(super) struct Top {
    /// Its number among all sources.
    pub(super) number: usize,
    /// Its name at the server; `None` for the root.
    pub(super) name: Option<Name>,
    pub(super) contents: bool,
    pub(super) renamed: Option<OsString>,
    /// The names of a list below it, if not all of it comes.
    pub(super) only: Option<Only>,
    /// How often it was tried.
    pub(super) tries: u32,
    /// How often a connection was lost when it had to be answered next.
    pub(super) losses: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slash_at_the_end_and_the_root_mean_the_contents() {
        for (text, contents) in [
            ("box/dir", false),
            ("box/dir/", true),
            ("box", true),
            ("box/", true),
            ("haul://alice@box:1/a/b", false),
            ("unix:/run/h.sock:/a/", true),
        ] {
            assert_eq!(text.parse::<Source>().unwrap().contents, contents, "{text}");
        }
        assert!("./dir".parse::<Source>().is_err());
    }
}
