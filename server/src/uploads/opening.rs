//! An upload whose files are being opened. Its journal is read, and after a restart of the machine the bytes that it may
//! hold: that takes many turns of the connection, and meanwhile the upload's key is busy.

use std::sync::Arc;

use haul_protocol::{Bitmap, Geometry, Token, Wanted};

use super::part_table::Upload;
use super::table::Table;
use super::unknown;
use super::writer::{OpenUpload, Owner};
use crate::accounts::ClientId;
use crate::locks::Mutex;
use crate::refusal::Refusal;
use crate::store::{
    JournalReading, Key, Parents, Partial, Published, Replaces, Resumed, Store, Verifying,
};

/// The state of an `open`.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The upload is open.
    Now {
        /// Its name.
        token: Token,
        /// Its parts.
        geometry: Geometry,
        /// The parts that are held.
        held: Bitmap,
    },
    /// Bytes have to be read before.
    Later(Box<Opening>),
}

/// Dropping it leaves the files for another `open`.
#[derive(Debug)]
pub(crate) struct Opening {
    store: Arc<Store>,
    key: Key,
    wanted: Wanted,
    geometry: Geometry,
    owner: Owner,
    replaces: Replaces,
    stage: Stage,
    promise: Promise,
    busy: Busy,
}

/// The step that an `open` has reached.
#[derive(Debug)]
enum Stage {
    /// The journal is read.
    Journal(Box<JournalReading>),
    /// The bytes are read of which only they can tell whether they are held.
    Bytes(Box<(Result<Partial, Published>, Verifying)>),
}

impl Opening {
    pub(super) fn begin(
        store: &Arc<Store>,
        parents: &Parents,
        key: Key,
        wanted: Wanted,
        (geometry, owner, replaces): (Geometry, Owner, Replaces),
        busy: Busy,
    ) -> Result<Self, Refusal> {
        store.promise(parents, key.id(), &wanted.name, wanted.size)?;
        let promise = Promise { of: Some((Arc::clone(store), key.id().to_owned())) };
        let stage = match store.journal(&key, &wanted.name)? {
            Some(reading) => Stage::Journal(Box::new(reading)),
            None => Self::resumed(store, parents, &key, &wanted, (geometry, replaces), None)?,
        };
        let store = Arc::clone(store);
        Ok(Self { store, key, wanted, geometry, owner, replaces, stage, promise, busy })
    }

    fn resumed(
        store: &Arc<Store>,
        parents: &Parents,
        key: &Key,
        wanted: &Wanted,
        (geometry, replaces): (Geometry, Replaces),
        read: Option<JournalReading>,
    ) -> Result<Stage, Refusal> {
        let is_taken = || store.is_free(parents, &wanted.name).is_err();
        let how = (geometry, wanted.replace);
        Ok(match store.partial(parents, key, &wanted.name, how, read)? {
            Resumed::Partial(partial, _) if replaces == Replaces::Nothing && is_taken() => {
                partial.close();
                partial.discard();
                return Err(store
                    .is_free(parents, &wanted.name)
                    .err()
                    .map_or_else(unknown, Refusal::from));
            }
            Resumed::Partial(partial, verifying) => {
                Stage::Bytes(Box::new((Ok(partial), verifying)))
            }
            Resumed::Published(published, held) => Stage::Bytes(Box::new((Err(published), held))),
        })
    }

    /// Whether nothing is left to read.
    pub(super) fn is_over(&self) -> bool {
        matches!(&self.stage, Stage::Bytes(bytes) if bytes.1.is_over())
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.stage {
            Stage::Journal(reading) => reading.held_bytes(),
            Stage::Bytes(bytes) => bytes.1.held_bytes(),
        }
    }

    /// Reads a little, through `buffer`; returns it and how much that was.
    pub(super) fn advance(
        self,
        parents: &Parents,
        buffer: &mut [u8],
    ) -> Result<(Self, usize), Refusal> {
        let Self { store, key, wanted, geometry, owner, replaces, stage, promise, busy } = self;
        let (stage, read) = match stage {
            Stage::Journal(mut reading) => match reading.advance(&wanted.name, buffer)? {
                0 => {
                    let shape = (geometry, replaces);
                    (Self::resumed(&store, parents, &key, &wanted, shape, Some(*reading))?, 0)
                }
                read => (Stage::Journal(reading), read),
            },
            Stage::Bytes(mut bytes) => {
                let read = match &mut *bytes {
                    (Ok(partial), verifying) => {
                        verifying.advance(partial, &wanted.name, geometry, buffer)?
                    }
                    (Err(_), _) => 0,
                };
                (Stage::Bytes(bytes), read)
            }
        };
        let opening = Self { store, key, wanted, geometry, owner, replaces, stage, promise, busy };
        Ok((opening, read))
    }

    /// The upload, the parts that it holds, and its key.
    pub(super) fn finish(self) -> Result<(OpenUpload, Bitmap, Busy), Refusal> {
        let Self { store, wanted, geometry, owner, stage, mut promise, busy, .. } = self;
        let Stage::Bytes(bytes) = stage else { return Err(unknown()) };
        let (content, verifying) = *bytes;
        let held = verifying.held();
        let state = Upload::new(geometry, &held);
        let bitmap = state.held();
        if content.is_ok() && !held.is_empty() {
            tracing::info!(name = wanted.name.as_bytes(), parts = held.len(), "an upload goes on");
        }
        let missing = if content.is_ok() { state.missing_bytes() } else { 0 };
        match store.reserve(&wanted.name, missing) {
            Ok(reserved) => {
                promise.of = None;
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

/// The share of a partial whose upload is not open yet. If it never is, the share is as large as the partial.
#[derive(Debug)]
struct Promise {
    of: Option<(Arc<Store>, String)>,
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some((store, id)) = &self.of {
            store.settle_promise(id);
        }
    }
}

/// A key that is busy while its files are being opened. Until it ends, its upload counts for its client, and its parts for all.
#[derive(Debug)]
pub(super) struct Busy {
    table: Arc<Mutex<Table>>,
    of: Option<Of>,
}

/// The key, the client and the parts of an upload that is being opened.
type Of = (String, ClientId, usize);

impl Busy {
    /// The guard of a key that the table has just noted as busy.
    pub(super) fn new(
        table: &Arc<Mutex<Table>>,
        key: &str,
        client: &ClientId,
        parts: usize,
    ) -> Self {
        let of = Some((key.to_owned(), client.clone(), parts));
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
