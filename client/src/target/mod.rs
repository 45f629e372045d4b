//! The target: entries of this machine that come from a server.
//!
//! - Nothing shows under its final name before every byte is there. The callers verify bytes; this room writes them to a file
//!   without a name ([`unnamed`]) or with a temporary one beside the place ([`temporary`]), and then gives it its name. If
//!   anything fails, the entry that stood there is as it was.
//! - Names are single components, and every step is taken from the handle of an open [`Directory`], through no symlink. No
//!   path is opened again from its start, so neither a name nor a symlink that is put there at any moment leads out of the
//!   target.
//! - A killed run leaves at most temporary files. The next run goes on with those of large files ([`Partial`]), and makes
//!   those of small files anew. A lock tells a file that another run uses from a leftover, so two runs at once never share
//!   one. [`Directory::sweep`] removes leftovers that no run asks for any more.
//! - A file with a temporary name gets its mode after its bytes; until then only its owner may read it. Modes have no setuid, setgid or sticky
//!   bits. New entries have group and default ACL of their directory, since they are made in it.
//! - `durable` means: a file is on the disk (fsync(2)) before it gets its final name. Directories, symlinks and names become
//!   durable by one [`Directory::sync_file_system`] at the end of a run, which the caller asks for.

#[cfg(unix)]
mod attributes;
#[cfg(unix)]
mod boot;
#[cfg(unix)]
mod contents;
#[cfg(unix)]
mod directory;
#[cfg(not(unix))]
mod elsewhere;
#[cfg(unix)]
mod foreseen;
#[cfg(unix)]
mod group;
#[cfg(unix)]
mod identity;
#[cfg(unix)]
mod incoming;
mod kind;
#[cfg(unix)]
mod leftovers;
#[cfg(unix)]
mod lock;
#[cfg(unix)]
mod names;
#[cfg(unix)]
mod partial;
#[cfg(unix)]
mod records;
#[cfg(unix)]
mod staged;
#[cfg(unix)]
mod standing;
#[cfg(unix)]
mod stands;
mod subject;
#[cfg(unix)]
mod symlink;
#[cfg(unix)]
mod systems;
#[cfg(unix)]
mod temporary;
#[cfg(unix)]
mod unnamed;
#[cfg(unix)]
mod way;

#[cfg(unix)]
pub(crate) use self::{
    directory::Directory,
    group::{Group, may_be_deep, may_open, open_more},
    identity::Identity,
    leftovers::Parts,
    partial::Partial,
    standing::{Over, Standing},
};
pub(crate) use self::{kind::Kind, subject::Subject};
#[cfg(not(unix))]
pub(crate) use elsewhere::{
    Directory, Group, Identity, Over, Partial, Parts, Standing, may_be_deep, may_open, open_more,
};

#[cfg(test)]
#[cfg(unix)]
mod tests;
