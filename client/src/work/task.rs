//! The next task of a connection.

use std::sync::Arc;

use haul_protocol::Token;

use super::item::Item;
use super::multipart::Large;
use crate::error::FileError;

/// The next task of a connection.
#[derive(Debug)]
pub enum Task {
    /// Ask the server about the connection's own items.
    Check,
    /// Send an item.
    Item(Item),
    /// Send one part of a large file.
    Part(Arc<Large>, usize),
    /// Ask whether the server has the large file of which it holds all parts.
    Look(Arc<Large>),
    /// All parts of a large file are there.
    Commit(Arc<Large>),
    /// Discard the upload of a large file.
    Abort(Box<Abort>),
}

/// An upload that is no good to anybody. The fate of its item is decided when the server has
/// discarded the upload: the same file opened again would go on with it.
#[derive(Debug)]
pub struct Abort {
    /// The server's token for the upload.
    pub upload: Token,
    /// The file.
    pub item: Item,
    /// The error that ends the upload.
    pub error: FileError,
}
