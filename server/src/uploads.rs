//! All large files under way: found by token, written by any connection, published once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use haul_protocol::{
    Attributes, Code, Cv, Digest, Geometry, Name, PartHasher, Refusal, Token, Wanted, limits,
};

use crate::store::{Parents, Staged, Store};
use crate::upload::{Claim, Decision, Upload, superseded};

/// Large files that may be under way at once; each holds one open file.
pub(crate) const MAX_OPEN: usize = 256;

/// Parts of all files under way together: bounds the memory of their states (40 bytes a part) to
/// 20 MiB.
const MAX_OPEN_PARTS: usize = 1 << 19;

/// The table of uploads, and which client has how many connections.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<Token, Arc<OpenUpload>>,
    parts: usize,
    connections: HashMap<String, usize>,
}

/// One large file: its state, and the staged file that its parts are written to.
#[derive(Debug)]
pub(crate) struct OpenUpload {
    name: Name,
    attributes: Attributes,
    client: String,
    state: Mutex<Upload>,
    /// Writers share it, a commit has it alone and takes the file out: after that a late writer
    /// finds nothing to write to.
    staged: RwLock<Option<Staged>>,
}

impl Uploads {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of this client begins.
    pub(crate) fn connected(&self, client: &str) {
        *self.table().connections.entry(client.to_owned()).or_default() += 1;
    }

    /// A connection of this client has ended; with its last one, its uploads are discarded.
    pub(crate) fn disconnected(&self, client: &str) {
        let mut table = self.table();
        let Some(count) = table.connections.get_mut(client) else {
            return;
        };
        *count -= 1;
        if *count > 0 {
            return;
        }
        table.connections.remove(client);
        let left: Vec<Token> = table
            .open
            .iter()
            .filter(|(_, upload)| upload.client == client)
            .map(|(token, _)| *token)
            .collect();
        let left: Vec<_> = left.into_iter().filter_map(|token| table.remove(&token)).collect();
        drop(table);
        for upload in left {
            tracing::info!(name = %upload.name, "discarded an unfinished upload");
            upload.close();
        }
    }

    /// Whether this client has uploads under way.
    pub(crate) fn has_open(&self, client: &str) -> bool {
        self.table().open.values().any(|upload| upload.client == client)
    }

    /// Starts an upload.
    pub(crate) fn open(
        &self,
        store: &Arc<Store>,
        parents: &Parents<'_>,
        client: &str,
        wanted: Wanted,
    ) -> Result<(Token, Geometry), Refusal> {
        let part_size = limits::part_size_for(wanted.size).unwrap_or(limits::MAX_BODY_LEN);
        let geometry = Geometry::new(wanted.size, part_size)
            .map_err(|error| Refusal::new(Code::BadRequest, error))?;
        self.table().check_room(geometry)?;
        store.prepare(parents, &wanted.name)?;
        let staged = store.stage(&wanted.name, &wanted.attributes)?;
        let mut token = [0; 16];
        getrandom::fill(&mut token)
            .map_err(|error| Refusal::new(Code::Io, format_args!("no random bytes: {error}")))?;
        let token = Token(token);
        let mut table = self.table();
        // Others may have come in the meantime.
        table.check_room(geometry)?;
        table.parts += geometry.parts();
        table.open.insert(
            token,
            Arc::new(OpenUpload {
                name: wanted.name,
                attributes: wanted.attributes,
                client: client.to_owned(),
                state: Mutex::new(Upload::new(geometry)),
                staged: RwLock::new(Some(staged)),
            }),
        );
        Ok((token, geometry))
    }

    /// Announces a part.
    pub(crate) fn part(
        &self,
        token: &Token,
        offset: u64,
        len: u64,
        cv: Cv,
    ) -> Result<Option<PartWriter>, Refusal> {
        let upload = self.table().open.get(token).cloned().ok_or_else(unknown)?;
        let mut state = upload.state();
        let geometry = state.geometry();
        let decision = state.claim(offset, len, cv)?;
        drop(state);
        let claim = match decision {
            Decision::Skip => return Ok(None),
            Decision::Write(claim) => claim,
            Decision::TakeOver(claim) => {
                // The older writer may have passed its check and be in the middle of a write.
                drop(upload.staged.write().unwrap_or_else(PoisonError::into_inner));
                claim
            }
        };
        let hasher = geometry.hasher(claim.index).ok_or_else(superseded)?;
        Ok(Some(PartWriter { upload, claim, hasher, offset, finished: false }))
    }

    /// Publishes an upload that is complete.
    pub(crate) fn commit(
        &self,
        store: &Store,
        parents: &Parents<'_>,
        token: &Token,
        digest: Digest,
    ) -> Result<(), Refusal> {
        let upload = self.table().open.get(token).cloned().ok_or_else(unknown)?;
        let mut staged = upload.staged.write().unwrap_or_else(PoisonError::into_inner);
        upload.state().commit(digest)?;
        let file = staged.take().ok_or_else(unknown)?;
        drop(staged);
        self.table().remove(token);
        Ok(store.publish(parents, file, &upload.name, &upload.attributes)?)
    }

    /// Discards an upload.
    pub(crate) fn abort(&self, token: &Token) -> Result<(), Refusal> {
        let upload = self.table().remove(token).ok_or_else(unknown)?;
        upload.close();
        Ok(())
    }
}

impl Table {
    fn check_room(&self, geometry: Geometry) -> Result<(), Refusal> {
        if self.open.len() >= MAX_OPEN || self.parts + geometry.parts() > MAX_OPEN_PARTS {
            return Err(Refusal::new(Code::Busy, "too many large uploads at once"));
        }
        Ok(())
    }

    fn remove(&mut self, token: &Token) -> Option<Arc<OpenUpload>> {
        let upload = self.open.remove(token)?;
        self.parts -= upload.state().geometry().parts();
        Some(upload)
    }
}

impl OpenUpload {
    fn state(&self) -> MutexGuard<'_, Upload> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.staged.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Writes one part as its bytes come. Dropping it unfinished makes the part missing again.
#[derive(Debug)]
pub(crate) struct PartWriter {
    upload: Arc<OpenUpload>,
    claim: Claim,
    hasher: PartHasher,
    offset: u64,
    finished: bool,
}

impl PartWriter {
    /// Takes the next bytes of the part.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if !self.hasher.update(bytes) {
            return Err(Refusal::new(Code::BadPart, "more bytes than the part has"));
        }
        let staged = self.upload.staged.read().unwrap_or_else(PoisonError::into_inner);
        let staged = staged.as_ref().ok_or_else(unknown)?;
        if !self.upload.state().is_valid(&self.claim) {
            return Err(superseded());
        }
        staged.write_at(&self.upload.name, self.offset, bytes)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// All bytes have come.
    pub(crate) fn finish(mut self) -> Result<(), Refusal> {
        let actual = self
            .hasher
            .finish()
            .ok_or_else(|| Refusal::new(Code::BadPart, "fewer bytes than the part has"))?;
        self.finished = true;
        self.upload.state().finish(&self.claim, actual)
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if !self.finished {
            self.upload.state().release(&self.claim);
        }
    }
}

fn unknown() -> Refusal {
    Refusal::new(Code::UnknownUpload, "no upload of this token is open; open the file again")
}
