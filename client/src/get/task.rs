//! The tasks of a run that reads back.

use std::sync::Arc;

use super::comparing::Comparing;
use super::item::{Batch, File, Page};
use super::large::Large;
use super::source::Top;

/// The next thing to ask a server.
#[derive(Debug)]
pub(super) enum Task {
    /// The entry that a source is.
    Top(Top),
    /// One page of the entries of a directory.
    List(Page),
    /// Small files.
    Small(Batch),
    /// The first part of a file, with the facts of all of it.
    First(File),
    /// One part of a file of which the facts are known.
    Part(Arc<Large>, usize),
    /// Files that have to be read here before they are compared.
    Unread(Comparing),
    /// Files whose digests the server is to compare.
    Check(Comparing),
}
