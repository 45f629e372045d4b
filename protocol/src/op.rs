//! The operations of requests, and the facts that hold for each of them.

use alloc::boxed::Box;
use alloc::string::String;

use crate::digest::{Cv, Digest, Token};
use crate::message::{Attributes, Mtime};
use crate::name::{LinkTarget, Name};
use crate::rights::{Right, Rights};

/// The operation of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// A whole small file; the body is its bytes.
    Put {
        /// Its name.
        name: Name,
        /// Its size in bytes, the same as the body's length.
        size: u64,
        /// BLAKE3 of the body.
        digest: Digest,
        /// Mode and mtime.
        attributes: Attributes,
    },
    /// Several small files, whose lines and bytes are the body (see [`decode_bundle`](crate::decode_bundle)).
    /// It stands for as many requests: the first file has its id, and each of the others the next one.
    Bundle {
        /// The number of files.
        count: u64,
        /// BLAKE3 of the body.
        digest: Digest,
    },
    /// Announces a large file; answered with [`Reply::Opened`](crate::Reply::Opened) and a bitmap of parts held.
    Open(Box<Wanted>),
    /// One part of a large file; the body is its bytes.
    Part {
        /// From the answer to `open`.
        upload: Token,
        /// Offset of the part in the file.
        offset: u64,
        /// The chaining value of the body.
        cv: Cv,
    },
    /// All parts have been answered: publish the file.
    Commit {
        /// From the answer to `open`.
        upload: Token,
        /// BLAKE3 of the whole file.
        digest: Digest,
    },
    /// Discards an upload.
    Abort {
        /// From the answer to `open`.
        upload: Token,
    },
    /// Makes a directory, or sets the mode of the one that is there.
    Mkdir {
        /// Its name.
        name: Name,
        /// Its mode for the time being.
        mode: Option<u32>,
        /// Whether a file or link that stands there makes way for it.
        replace: bool,
    },
    /// Makes a symbolic link, replacing a file or link.
    Symlink {
        /// Its name.
        name: Name,
        /// The path that it points to.
        target: LinkTarget,
        /// Its own mtime.
        mtime: Option<Mtime>,
    },
    /// Sets mode and mtime of a directory or file that is there.
    Setattr {
        /// Its name.
        name: Name,
        /// Whether it is a file; otherwise a directory.
        is_file: bool,
        /// The attributes to set.
        attributes: Attributes,
    },
    /// Removes a file, a link, or a directory with nothing in it; nothing there is fine.
    Remove {
        /// Its name.
        name: Name,
    },
    /// Gives an entry another name; needs the feature `rename`.
    Rename {
        /// Its name.
        name: Name,
        /// Its new name.
        to: Name,
        /// Whether an entry that stands there makes way.
        replace: bool,
    },
    /// Asks which of the entries in the body are missing or different. Answered with a letter for each, see
    /// [`Verdict`](crate::Verdict).
    Check {
        /// Whether the server reads the bytes of every file whose digest is stated, also if it knows their digest.
        reread: bool,
    },
    /// As [`Check`](Self::Check), in the next version of a directory; files that are the same in the present version
    /// are taken over.
    Adopt,
    /// The next version is complete: it takes the place of the present one, whole.
    Publish {
        /// Mode and mtime of the directory itself.
        attributes: Attributes,
        /// The number of files and symbolic links in it, as the client counts; for people.
        files: Option<u64>,
    },
    /// The version before the present one takes its place again. Answered with
    /// [`Reply::Version`](crate::Reply::Version).
    Rollback {
        /// The directory.
        name: Name,
        /// Whether that is meant even if the last exchange of versions was a rollback.
        again: bool,
        /// Drawn by the client: the same rollback that is asked for once more has the same one, and happens once.
        token: Option<Token>,
        /// Whether the client has asked before and lost the answer: then the server changes nothing, and answers only if
        /// this rollback was the last exchange of versions.
        repeated: bool,
    },
    /// Asks for the entries of a directory. Answered with entries, sorted by the bytes of their names.
    List {
        /// The directory; absent: the root.
        name: Option<Name>,
        /// Entries after this name only; absent: from the first.
        after: Option<Name>,
    },
    /// Asks for one part of a file, or for all of a file that has only one. Answered with
    /// [`Reply::Part`](crate::Reply::Part) and the bytes.
    Get {
        /// Its name.
        name: Name,
        /// Offset of the part in the file: a multiple of `part_size`.
        offset: u64,
        /// Bytes of every part but the last: a power of two from [`CHUNK_LEN`](crate::limits::CHUNK_LEN) to
        /// [`MAX_BODY_LEN`](crate::limits::MAX_BODY_LEN).
        part_size: u64,
        /// The state of the file in the answer about its first part; the file must still be in this state.
        state: Option<Token>,
        /// Whether the client compares the digest of the whole file in the end, and so needs no chaining value of a part
        /// if the answer has that digest.
        whole: bool,
    },
    /// Asks for small files, whose names are the body (see [`encode_wanted`](crate::encode_wanted)). Answered with
    /// [`Reply::Fetched`](crate::Reply::Fetched) and the files (see [`decode_fetched`](crate::decode_fetched)).
    Fetch,
    /// Are you there?
    Ping,
}

/// The facts that `open` states of a large file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: Name,
    /// Its size in bytes.
    pub size: u64,
    /// Mode and mtime.
    pub attributes: Attributes,
    /// Changes whenever the source does; opaque to the server.
    pub fingerprint: String,
    /// The entry under the name is known not to be the file, even if an earlier upload of the file has left parts.
    pub replace: bool,
}

/// Whether a request is acknowledged together with others, or answered by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// A change: by `ack`.
    Together,
    /// By its id.
    Apart,
}

/// Whether a request may have a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    No,
    Yes,
}

impl Op {
    /// The one table of the facts of each kind of request: its command on the wire, its way of being told, whether it
    /// has a body, the rights that it needs.
    const fn row(&self) -> (&'static str, Told, Body, Rights) {
        use Body::{No, Yes};
        use Told::{Apart, Together};
        const PUT: Rights = Rights::of(&[Right::Put]);
        const DELETE: Rights = Rights::of(&[Right::Delete]);
        const MOVE: Rights = Rights::of(&[Right::Put, Right::Delete]);
        const LIST: Rights = Rights::of(&[Right::List]);
        const GET: Rights = Rights::of(&[Right::Get]);
        const PUBLISH: Rights = Rights::of(&[Right::Publish]);
        match self {
            Self::Put { .. } => ("put", Together, Yes, PUT),
            Self::Bundle { .. } => ("bundle", Together, Yes, PUT),
            Self::Open(_) => ("open", Apart, No, PUT),
            Self::Part { .. } => ("part", Together, Yes, PUT),
            Self::Commit { .. } => ("commit", Apart, No, PUT),
            Self::Abort { .. } => ("abort", Apart, No, PUT),
            Self::Mkdir { .. } => ("mkdir", Together, No, PUT),
            Self::Symlink { .. } => ("symlink", Together, No, PUT),
            Self::Setattr { .. } => ("setattr", Together, No, PUT),
            Self::Remove { .. } => ("remove", Together, No, DELETE),
            Self::Rename { .. } => ("rename", Together, No, MOVE),
            Self::Check { .. } => ("check", Apart, Yes, LIST),
            Self::Adopt => ("adopt", Apart, Yes, PUBLISH),
            Self::Publish { .. } => ("publish", Apart, No, PUBLISH),
            Self::Rollback { .. } => ("rollback", Apart, No, PUBLISH),
            Self::List { .. } => ("list", Apart, No, LIST),
            Self::Get { .. } => ("get", Apart, No, GET),
            Self::Fetch => ("fetch", Apart, Yes, GET),
            Self::Ping => ("ping", Apart, No, Rights::none()),
        }
    }

    /// Its command on the wire.
    #[must_use]
    pub const fn command(&self) -> &'static str {
        self.row().0
    }

    /// Whether the request is a *change*, acknowledged together with others by `ack`; every other
    /// one is answered by its id.
    #[must_use]
    pub const fn is_change(&self) -> bool {
        matches!(self.row().1, Told::Together)
    }

    /// Whether a body may follow its header.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        matches!(self.row().2, Body::Yes)
    }

    /// The rights that the client's account must have, all of them. Whether the request may also replace the entry that stands
    /// there is a right of its own ([`Right::Replace`]), for which only the store can ask.
    #[must_use]
    pub const fn needs(&self) -> Rights {
        self.row().3
    }

    /// The number of ids that the request takes: one for each file.
    #[must_use]
    pub const fn ids(&self) -> u64 {
        match self {
            Self::Bundle { count, .. } => *count,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    /// One request of each kind.
    fn all() -> Vec<Op> {
        let name = || Name::parse(b"a").unwrap();
        let (upload, digest) = (Token([0; 16]), Digest([0; 32]));
        let attributes = Attributes::default();
        let (size, fingerprint, replace) = (0, String::from("f"), false);
        let wanted = Wanted { name: name(), size, attributes, fingerprint, replace };
        let target = LinkTarget::parse(b"t").unwrap();
        let rollback = Op::Rollback { name: name(), again: false, token: None, repeated: false };
        alloc::vec![
            Op::Put { name: name(), size, digest, attributes },
            Op::Bundle { count: 1, digest },
            Op::Open(Box::new(wanted)),
            Op::Part { upload, offset: 0, cv: Cv([0; 32]) },
            Op::Commit { upload, digest },
            Op::Abort { upload },
            Op::Mkdir { name: name(), mode: None, replace },
            Op::Symlink { name: name(), target, mtime: None },
            Op::Setattr { name: name(), is_file: true, attributes },
            Op::Remove { name: name() },
            Op::Rename { name: name(), to: name(), replace },
            Op::Check { reread: false },
            Op::Adopt,
            Op::Publish { attributes, files: None },
            rollback,
            Op::List { name: None, after: None },
            Op::Get { name: name(), offset: 0, part_size: 1024, state: None, whole: false },
            Op::Fetch,
            Op::Ping,
        ]
    }

    /// The place of a request in [`all`]: another request is no code before it has one.
    fn place(op: &Op) -> usize {
        match op {
            Op::Put { .. } => 0,
            Op::Bundle { .. } => 1,
            Op::Open(_) => 2,
            Op::Part { .. } => 3,
            Op::Commit { .. } => 4,
            Op::Abort { .. } => 5,
            Op::Mkdir { .. } => 6,
            Op::Symlink { .. } => 7,
            Op::Setattr { .. } => 8,
            Op::Remove { .. } => 9,
            Op::Rename { .. } => 10,
            Op::Check { .. } => 11,
            Op::Adopt => 12,
            Op::Publish { .. } => 13,
            Op::Rollback { .. } => 14,
            Op::List { .. } => 15,
            Op::Get { .. } => 16,
            Op::Fetch => 17,
            Op::Ping => 18,
        }
    }

    #[test]
    fn every_request_needs_the_rights_of_this_table() {
        assert!(all().iter().map(place).eq(0..=place(&Op::Ping)), "a request is missing");
        let found = all();
        let found = found.iter().map(|op| (op.command(), op.needs().to_string()));
        let found: Vec<_> = found.collect();
        let expected = [
            ("put", "put"),
            ("bundle", "put"),
            ("open", "put"),
            ("part", "put"),
            ("commit", "put"),
            ("abort", "put"),
            ("mkdir", "put"),
            ("symlink", "put"),
            ("setattr", "put"),
            ("remove", "delete"),
            ("rename", "put, delete"),
            ("check", "list"),
            ("adopt", "publish"),
            ("publish", "publish"),
            ("rollback", "publish"),
            ("list", "list"),
            ("get", "get"),
            ("fetch", "get"),
            ("ping", ""),
        ];
        assert_eq!(found, expected.map(|(command, rights)| (command, rights.to_string())));
    }
}
