//! What a connection is to do next.

use std::sync::Arc;

use haul_protocol::Token;

use super::item::Item;
use super::multipart::Large;
use crate::error::FileError;

/// What a connection is to do next.
#[derive(Debug)]
pub enum Task {
    /// Ask what the server has of the connection's own items.
    Check,
    /// Send an item.
    Item(Item),
    /// Send one part of a large file.
    Part(Arc<Large>, usize),
    /// All parts of a large file are there.
    Commit(Arc<Large>),
    /// Discard what was sent of a large file.
    Abort(Box<Abort>),
}

/// An upload that is no good to anybody. What becomes of its item is decided when the server has
/// discarded it: the same file opened again would go on with it.
#[derive(Debug)]
pub struct Abort {
    /// What the server calls it.
    pub upload: Token,
    /// The file.
    pub item: Item,
    /// What is wrong with it.
    pub error: FileError,
}
