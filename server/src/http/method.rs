//! Methods, and the rights that each of them needs.

use haul_protocol::{Right, Rights};

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Put,
    Delete,
    Mkcol,
    Move,
    Options,
    Post,
    Patch,
    Propfind,
    Proppatch,
    Copy,
    Lock,
    Unlock,
    /// One that is known elsewhere and not served here.
    Unserved,
    /// One that nobody knows.
    Unknown,
}

/// Those that are served, as the field `Allow` has them.
pub(crate) const ALLOWED: &str = "GET, HEAD, PUT, DELETE, MKCOL, MOVE, COPY, PROPFIND, PROPPATCH, LOCK, \
    UNLOCK, OPTIONS";

impl Method {
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "MKCOL" => Self::Mkcol,
            "MOVE" => Self::Move,
            "OPTIONS" => Self::Options,
            "POST" => Self::Post,
            "PATCH" => Self::Patch,
            "PROPFIND" => Self::Propfind,
            "PROPPATCH" => Self::Proppatch,
            "COPY" => Self::Copy,
            "LOCK" => Self::Lock,
            "UNLOCK" => Self::Unlock,
            "CONNECT" | "TRACE" => Self::Unserved,
            _ => Self::Unknown,
        }
    }

    /// Its name in the counts of requests.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Head => "head",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Mkcol => "mkcol",
            Self::Move => "move",
            Self::Options => "options",
            Self::Post => "post",
            Self::Patch => "patch",
            Self::Propfind => "propfind",
            Self::Proppatch => "proppatch",
            Self::Copy => "copy",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::Unserved | Self::Unknown => "other",
        }
    }

    /// Whether it can change anything, also if it is not served.
    pub(crate) fn changes(self) -> bool {
        !matches!(self, Self::Get | Self::Head | Self::Options | Self::Propfind)
    }

    /// Whether its body is a document that the server reads.
    pub(crate) fn has_document(self) -> bool {
        matches!(self, Self::Propfind | Self::Proppatch | Self::Lock)
    }

    /// The rights that a request needs. `of_directory`: it is about a directory that is there.
    pub(crate) fn needs(self, of_directory: bool) -> Rights {
        let rights: &[Right] = match self {
            Self::Get | Self::Head if of_directory => &[Right::List],
            Self::Get | Self::Head => &[Right::Get],
            Self::Put | Self::Mkcol => &[Right::Put],
            Self::Delete => &[Right::Delete],
            Self::Move => &[Right::Put, Right::Delete],
            Self::Propfind => &[Right::List],
            // Of a directory it needs the right to list besides.
            Self::Copy => &[Right::Get, Right::Put],
            Self::Proppatch | Self::Lock | Self::Unlock => &[Right::Put],
            // None of them is served for an entry.
            Self::Post | Self::Patch => &[],
            Self::Options | Self::Unserved | Self::Unknown => &[],
        };
        rights.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::{Attributes, Digest, Name, Op};

    use super::*;

    /// A client of HTTP needs the same rights as one of the haul dialect that asks for the same.
    #[test]
    fn methods_need_the_rights_of_the_requests_that_they_are() {
        let name = || Name::parse(b"a").unwrap();
        let attributes = Attributes::default();
        let put = Op::Put { name: name(), size: 0, digest: Digest([0; 32]), attributes };
        let get = Op::Get { name: name(), offset: 0, part_size: 1, state: None, whole: false };
        let list = Op::List { name: None, after: None };
        for (method, of_directory, op) in [
            (Method::Get, false, &get),
            (Method::Head, false, &get),
            (Method::Get, true, &list),
            (Method::Head, true, &list),
            (Method::Put, false, &put),
            (Method::Mkcol, false, &Op::Mkdir { name: name(), mode: None, replace: false }),
            (Method::Delete, false, &Op::Remove { name: name() }),
            (Method::Move, false, &Op::Rename { name: name(), to: name(), replace: true }),
            (Method::Propfind, false, &list),
            (Method::Proppatch, false, &Op::Setattr { name: name(), is_file: true, attributes }),
        ] {
            assert_eq!(method.needs(of_directory), op.needs(), "{method:?}");
        }
        let both: Rights = get.needs().iter().chain(put.needs().iter()).collect();
        assert_eq!(Method::Copy.needs(false), both);
    }
}
