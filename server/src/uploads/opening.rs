//! An upload whose files are being opened. After a restart of the machine the bytes that it may hold are read: that takes
//! many turns of the connection, and meanwhile the upload's key is busy.

use std::sync::Arc;

use haul_protocol::{Bitmap, Geometry, Refusal, Token, Wanted};

use super::Table;
use super::part_table::Upload;
use super::writer::{OpenUpload, Owner};
use crate::locks::Mutex;
use crate::store::{Key, Parents, Partial, Published, Resumed, Store, Verifying};

/// How far an `open` is.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The upload is open.
    Now {
        /// Its name.
        token: Token,
        /// Its parts.
        geometry: Geometry,
        /// Those that are held.
        held: Bitmap,
    },
    /// Bytes have to be read before.
    Later(Box<Opening>),
}

/// Dropping it leaves the files for another `open`.
#[derive(Debug)]
pub(crate) struct Opening {
    store: Arc<Store>,
    wanted: Wanted,
    geometry: Geometry,
    owner: Owner,
    content: Result<Partial, Published>,
    verifying: Verifying,
    busy: Busy,
}

impl Opening {
    pub(super) fn begin(
        store: &Arc<Store>,
        parents: &Parents,
        key: &Key,
        wanted: Wanted,
        (geometry, owner): (Geometry, Owner),
        busy: Busy,
    ) -> Result<Self, Refusal> {
        let (content, verifying) =
            match store.partial(parents, key, &wanted.name, geometry, wanted.replace)? {
                Resumed::Partial(partial, verifying) => (Ok(partial), verifying),
                Resumed::Published(published, held) => (Err(published), held),
            };
        let store = Arc::clone(store);
        Ok(Self { store, wanted, geometry, owner, content, verifying, busy })
    }

    /// Whether nothing is left to read.
    pub(super) fn is_over(&self) -> bool {
        self.verifying.is_over()
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.verifying.held_bytes()
    }

    /// Reads a little, through `buffer`; returns how much.
    pub(super) fn advance(&mut self, buffer: &mut [u8]) -> Result<usize, Refusal> {
        let Ok(partial) = &self.content else { return Ok(0) };
        Ok(self.verifying.advance(partial, &self.wanted.name, self.geometry, buffer)?)
    }

    /// The upload, the parts that it holds, and its key.
    pub(super) fn finish(self) -> Result<(OpenUpload, Bitmap, Busy), Refusal> {
        let Self { store, wanted, geometry, owner, content, verifying, busy } = self;
        let held = verifying.held();
        let state = Upload::new(geometry, &held);
        let bitmap = state.held();
        if !held.is_empty() {
            tracing::info!(name = %wanted.name, parts = held.len(), "an upload goes on");
        }
        let missing = if content.is_ok() { state.missing_bytes() } else { 0 };
        match store.reserve(&wanted.name, missing) {
            Ok(reserved) => {
                let upload =
                    OpenUpload::new(busy.key(), wanted.name, owner, state, content, reserved);
                Ok((upload, bitmap, busy))
            }
            Err(error) => {
                // Of no use to anyone if it holds nothing.
                if let (Ok(partial), true) = (content, held.is_empty()) {
                    partial.discard();
                }
                Err(error.into())
            }
        }
    }
}

/// A key that is busy while its files are being opened. Until it ends, its upload counts for its client, and its parts for all.
#[derive(Debug)]
pub(super) struct Busy {
    table: Arc<Mutex<Table>>,
    of: Option<Of>,
}

/// Whose upload it is: its key, its client, its parts.
type Of = (String, String, usize);

impl Busy {
    /// Of a key that the table has just noted as busy.
    pub(super) fn new(table: &Arc<Mutex<Table>>, key: &str, client: &str, parts: usize) -> Self {
        let of = Some((key.to_owned(), client.to_owned(), parts));
        Self { table: Arc::clone(table), of }
    }

    fn key(&self) -> &str {
        self.of.as_ref().map_or("", |(key, ..)| key)
    }

    /// Ends it in the table that the caller holds.
    pub(super) fn end(mut self, table: &mut Table) -> Of {
        let of = self.of.take().unwrap_or_default();
        table.opened(&of);
        of
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(of) = self.of.take() {
            self.table.lock().opened(&of);
        }
    }
}

impl Table {
    /// The files of an upload are open, or will not be.
    pub(super) fn opened(&mut self, (key, client, parts): &Of) {
        self.busy.remove(key);
        self.parts -= parts;
        if let Some(share) = self.opening.get_mut(client) {
            share.remove(*parts);
            if share.is_none() {
                self.opening.remove(client);
            }
        }
    }
}
