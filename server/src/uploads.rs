//! All large files under way: found by token, written by any connection, published once.

mod publish;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haul_protocol::{Bitmap, Code, Cv, Digest, Geometry, Refusal, Token, Wanted, limits};

use crate::store::{Key, Parents, Resumed, Store};
use crate::upload::{Decision, Upload, superseded};
use crate::writer::{OpenUpload, Owner, PartWriter};
pub(crate) use publish::{Commit, Publishing};

/// Large files that may be under way at once; each holds two open files.
pub(crate) const MAX_OPEN: usize = 256;

/// Parts of all files under way together: bounds the memory of their states (40 bytes a part) to
/// 20 MiB.
const MAX_OPEN_PARTS: usize = 1 << 19;

/// Tokens that are remembered after they have become invalid, and published files whose journal is
/// kept: for clients that ask again because the answer was lost.
const REMEMBERED: usize = 256;

/// The table of uploads, and which client has how many connections.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<Token, Arc<OpenUpload>>,
    /// The token of each key that is open.
    by_key: HashMap<String, Token>,
    /// Keys whose files are being opened, renamed or removed just now.
    busy: HashSet<String>,
    /// Tokens whose commit is being carried out.
    publishing: HashSet<Token>,
    parts: usize,
    connections: HashMap<String, usize>,
    /// Tokens that a newer `open` has replaced.
    taken_over: VecDeque<Token>,
    published: VecDeque<(Token, Digest, String)>,
}

impl Uploads {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of this client begins.
    pub(crate) fn connected(&self, client: &str) {
        *self.table().connections.entry(client.to_owned()).or_default() += 1;
    }

    /// A connection of this client has ended; with its last one its tokens are forgotten. What is
    /// held stays on the disk.
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
            .filter(|(_, upload)| upload.owner().client == client)
            .map(|(token, _)| *token)
            .collect();
        let left: Vec<_> = left.iter().filter_map(|token| table.remove(token)).collect();
        // Nobody opens them again before the last writer has stopped.
        table.busy.extend(left.iter().map(|upload| upload.key.clone()));
        drop(table);
        for upload in left {
            tracing::info!(name = %upload.name, "an upload is interrupted");
            if let Some(partial) = upload.take() {
                partial.close();
            }
            self.table().busy.remove(&upload.key);
        }
    }

    /// Whether this client has uploads under way.
    pub(crate) fn has_open(&self, client: &str) -> bool {
        self.table().open.values().any(|upload| upload.owner().client == client)
    }

    /// Starts an upload, or goes on with one; returns what is held. Whether it could be published is for the
    /// caller to know.
    pub(crate) fn open(
        &self,
        store: &Arc<Store>,
        parents: &Parents,
        (client, identity): (&str, &str),
        wanted: Wanted,
    ) -> Result<(Token, Geometry, Bitmap), Refusal> {
        let part_size = limits::part_size_for(wanted.size).unwrap_or(limits::MAX_BODY_LEN);
        let geometry = Geometry::new(wanted.size, part_size)
            .map_err(|error| Refusal::new(Code::BadRequest, error))?;
        let key = Key::new(&wanted.name, geometry, &wanted.fingerprint, identity);
        let token = random_token()?;
        let owner = Owner { token, client: client.to_owned(), attributes: wanted.attributes };
        if let Some(upload) = self.take_over_or_begin(&key, geometry, &owner)? {
            // Older writers may have passed their check and be in the middle of a write.
            drop(upload.writers_alone());
            let held = upload.state().held();
            return Ok((token, geometry, held));
        }
        let opened = open_files(store, parents, &key, &wanted, geometry, owner);
        let mut table = self.table();
        table.busy.remove(key.id());
        let upload = opened?;
        let held = upload.state().held();
        table.parts += geometry.parts();
        table.by_key.insert(key.id().to_owned(), token);
        table.open.insert(token, Arc::new(upload));
        Ok((token, geometry, held))
    }

    /// The open upload of this key, with its new owner; or `None`, and the key is busy until its
    /// files are open.
    fn take_over_or_begin(
        &self,
        key: &Key,
        geometry: Geometry,
        owner: &Owner,
    ) -> Result<Option<Arc<OpenUpload>>, Refusal> {
        let mut table = self.table();
        if let Some(old) = table.by_key.get(key.id()).copied()
            && table.open.get(&old).is_some_and(|upload| upload.is_spoiled())
        {
            // Its disk has failed, so it starts again.
            table.remove(&old);
        }
        if let Some(old) = table.by_key.get(key.id()).copied()
            && let Some(upload) = table.open.remove(&old)
        {
            table.remember_taken_over(old);
            table.by_key.insert(key.id().to_owned(), owner.token);
            table.open.insert(owner.token, Arc::clone(&upload));
            upload.state().take_over();
            *upload.owner() = owner.clone();
            return Ok(Some(upload));
        }
        if table.open.len() + table.busy.len() >= MAX_OPEN
            || table.parts + geometry.parts() > MAX_OPEN_PARTS
        {
            return Err(Refusal::new(Code::Busy, "too many large uploads at once"));
        }
        if !table.busy.insert(key.id().to_owned()) {
            return Err(Refusal::new(Code::Busy, "this very file is being published or opened"));
        }
        Ok(None)
    }

    /// Announces a part. `None`: it is held already.
    pub(crate) fn part(
        &self,
        token: &Token,
        offset: u64,
        len: u64,
        cv: Cv,
    ) -> Result<Option<PartWriter>, Refusal> {
        let upload = self.find(token)?;
        let mut state = upload.state();
        let geometry = state.geometry();
        let decision = state.claim(offset, len, cv)?;
        drop(state);
        let claim = match decision {
            Decision::Skip => return Ok(None),
            Decision::Write(claim) => claim,
            Decision::TakeOver(claim) => {
                // The older writer may have passed its check and be in the middle of a write.
                drop(upload.writers_alone());
                claim
            }
        };
        let hasher = geometry.hasher(claim.index).ok_or_else(superseded)?;
        Ok(Some(PartWriter::new(upload, *token, claim, hasher, offset)))
    }

    /// Discards an upload.
    pub(crate) fn abort(&self, token: &Token) -> Result<(), Refusal> {
        let mut table = self.table();
        let Some(upload) = table.remove(token) else {
            drop(table);
            return Err(self.find(token).err().unwrap_or_else(unknown));
        };
        table.busy.insert(upload.key.clone());
        drop(table);
        if let Some(partial) = upload.take() {
            partial.close();
            partial.discard();
        }
        self.table().busy.remove(&upload.key);
        Ok(())
    }

    /// Removes partials that nobody came back for.
    pub(crate) fn sweep(&self, store: &Store, keep: Duration) {
        for key in store.expired(keep) {
            let mut table = self.table();
            if table.by_key.contains_key(&key) || !table.busy.insert(key.clone()) {
                continue;
            }
            drop(table);
            // It may have been taken up and interrupted again since it was listed.
            if store.is_expired(&key, keep) {
                match store.forget(&key) {
                    Ok(_) => tracing::info!(partial = key, "removed an expired partial"),
                    Err(errno) => {
                        tracing::warn!(partial = key, %errno, "could not remove a partial");
                    }
                }
            }
            self.table().busy.remove(&key);
        }
    }

    fn find(&self, token: &Token) -> Result<Arc<OpenUpload>, Refusal> {
        let table = self.table();
        match table.open.get(token) {
            Some(upload) => Ok(Arc::clone(upload)),
            None if table.taken_over.contains(token) => Err(taken_over()),
            None => Err(unknown()),
        }
    }
}

impl Table {
    fn remove(&mut self, token: &Token) -> Option<Arc<OpenUpload>> {
        let upload = self.open.remove(token)?;
        self.by_key.remove(&upload.key);
        self.parts -= upload.state().geometry().parts();
        Some(upload)
    }

    fn remember_taken_over(&mut self, token: Token) {
        if self.taken_over.len() == REMEMBERED {
            self.taken_over.pop_front();
        }
        self.taken_over.push_back(token);
    }
}

fn open_files(
    store: &Arc<Store>,
    parents: &Parents,
    key: &Key,
    wanted: &Wanted,
    geometry: Geometry,
    owner: Owner,
) -> Result<OpenUpload, Refusal> {
    let (content, held) =
        match store.partial(parents, key, &wanted.name, geometry, wanted.replace)? {
            Resumed::Partial(partial, held) => (Ok(partial), held),
            Resumed::Published(published, held) => (Err(published), held),
        };
    let state = Upload::new(geometry, &held);
    if !held.is_empty() {
        tracing::info!(name = %wanted.name, parts = held.len(), "an upload goes on");
    }
    let missing = if content.is_ok() { state.missing_bytes() } else { 0 };
    match store.reserve(&wanted.name, missing) {
        Ok(reserved) => {
            Ok(OpenUpload::new(key.id(), wanted.name.clone(), owner, state, content, reserved))
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

pub(crate) fn random_token() -> Result<Token, Refusal> {
    let mut token = [0; 16];
    getrandom::fill(&mut token)
        .map_err(|error| Refusal::new(Code::Io, format_args!("no random bytes: {error}")))?;
    Ok(Token(token))
}

pub(crate) fn unknown() -> Refusal {
    Refusal::new(Code::UnknownUpload, "no upload of this token is open; open the file again")
}

pub(crate) fn taken_over() -> Refusal {
    Refusal::new(Code::TakenOver, "a newer run of this client has taken this upload over")
}
