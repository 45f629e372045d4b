//! The address of a request: that of an entry, or one of the server's own below `/.haul/`, where no entry can be.

use super::status::Wrong;
use super::target::{Parts, Target, below_drive, reserved};

/// The address of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Entry(Target),
    Own(Own),
}

/// An address of the server's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    /// The part behind `/.haul/`, decoded: not empty, without `.`, `..` or empty components; perhaps with a slash at its end.
    pub(crate) path: Box<str>,
    /// The part behind the question mark.
    pub(crate) query: Box<str>,
    /// The authority, if the address is a whole one.
    authority: Option<String>,
}

impl Address {
    /// Reads the target of a request.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        let parts = Parts::of(text)?;
        if below_drive(&parts.path).is_some() {
            return Target::parse(text).map(Self::Entry);
        }
        let Some(path) = parts.path.strip_prefix(b".haul/").filter(|path| !path.is_empty()) else {
            return Target::parse(text).map(Self::Entry);
        };
        let path = std::str::from_utf8(path).map_err(|_| reserved())?;
        let is_odd = |part: &str| matches!(part, "" | "." | "..");
        if path.strip_suffix('/').unwrap_or(path).split('/').any(is_odd) {
            return Err(Wrong::bad("the address has . or .. or // in it"));
        }
        Ok(Self::Own(Own {
            path: path.into(),
            query: parts.query.into(),
            authority: parts.authority,
        }))
    }

    /// The authority, if the address is a whole one.
    pub(crate) fn authority(&self) -> Option<&str> {
        match self {
            Self::Entry(target) => target.authority.as_deref(),
            Self::Own(own) => own.authority.as_deref(),
        }
    }
}

impl Own {
    /// The first component, and all behind it.
    pub(crate) fn split(&self) -> (&str, &str) {
        self.path.split_once('/').unwrap_or((&self.path, ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::status::Status;

    #[test]
    fn addresses_below_haul_are_the_servers_own_and_all_others_are_entries() {
        for (text, path, query, first, rest) in [
            ("/.haul/tus/", "tus/", "", "tus", ""),
            ("/.haul/tus/a1", "tus/a1", "", "tus", "a1"),
            ("/%2ehaul/many?to=a", "many", "to=a", "many", ""),
            ("http://h/.haul/page/a.js", "page/a.js", "", "page", "a.js"),
        ] {
            let Ok(Address::Own(own)) = Address::parse(text) else { panic!("{text}") };
            assert_eq!((&*own.path, &*own.query, own.split()), (path, query, (first, rest)));
        }
        let whole = Address::parse("http://h:1/.haul/tus").unwrap();
        assert_eq!(whole.authority(), Some("h:1"));
        for text in ["/", "/a", "/a/.haul/tus", "/.haulrc/a"] {
            assert_eq!(Address::parse(text), Target::parse(text).map(Address::Entry), "{text}");
        }
        for text in ["/.haul/..", "/.haul/../a", "/.haul//a", "/.haul/a//", "/.haul/./a"] {
            assert_eq!(Address::parse(text).unwrap_err().status, Status::BAD, "{text}");
        }
        for text in ["/.haul", "/.haul/", "/.HAUL/tus", "/.haul/%ff"] {
            assert_eq!(Address::parse(text).unwrap_err().status, Status::NOT_FOUND, "{text}");
        }
    }
}
