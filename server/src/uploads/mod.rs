//! All large files under way: found by token, written by any connection, committed once.

mod commit;
mod committed;
mod opening;
pub(crate) mod ordered;
pub(crate) mod part_table;
mod scarcity;
mod share;
mod table;
pub(crate) mod writer;

use std::sync::Arc;
use std::time::Duration;

use haul_protocol::{Code, Cv, Geometry, Name, Token, Wanted, limits};

use crate::accounts::{AccountName, ClientId, Scope};
use crate::locks::{Mutex, MutexGuard, Rank};
use crate::refusal::Refusal;
use crate::store::{Key, Parents, Replaces, Store};
pub(crate) use commit::{Commit, Publishing};
use opening::Busy;
pub(crate) use opening::{Opened, Opening};
use ordered::Ordered;
use part_table::{Decision, superseded};
use table::{Entry, Found, Table};
use writer::{OpenUpload, Owner, PartWriter};

/// Large files that may be under way at once; each holds two open files.
pub(crate) const MAX_OPEN: usize = 256;

/// Large files of one client that may be under way at once: twice what `haul` has.
const MAX_OPEN_A_CLIENT: usize = 64;

/// Parts of all files under way together: bounds the memory of their states (40 bytes a part) to
/// 20 MiB.
const MAX_OPEN_PARTS: usize = 1 << 19;

/// Bytes that an interrupted upload must hold to be kept: sending fewer again costs less than two files on the disk for
/// days.
const WORTH_KEEPING: u64 = 64 * 1024;

/// Time without a part after which an upload makes room for another one. Its client finds the parts that the server holds
/// when it opens the file again.
const IDLE: Duration = Duration::from_secs(5);

/// Tokens that are remembered after they have become invalid, for clients that ask again because the answer was lost.
const REMEMBERED: usize = 256;

/// The table of uploads, and which client has how many connections.
#[derive(Debug)]
pub(crate) struct Uploads {
    table: Arc<Mutex<Table>>,
    /// Those whose bytes come in order.
    pub(crate) ordered: Ordered,
}

/// The sender of a large file.
#[derive(Debug, Clone)]
pub(crate) struct Sender<'a> {
    pub(crate) client: &'a ClientId,
    /// The scope of the token that it gets.
    pub(crate) scope: Scope,
    /// The client's name across its runs.
    pub(crate) identity: &'a str,
    /// Whether the file may take the place of an entry that stands there.
    pub(crate) replaces: Replaces,
    /// The name by which the file goes on, if that is not where it goes: each run of a client of a drop account has a
    /// directory of its own.
    pub(crate) goes_on_as: Option<&'a Name>,
}

impl Default for Uploads {
    fn default() -> Self {
        let table = Arc::new(Mutex::new(Rank::Uploads, Table::default()));
        Self { table, ordered: Ordered::default() }
    }
}

impl Uploads {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    /// A connection of this client begins.
    pub(crate) fn connected(&self, client: &ClientId) {
        *self.table().connections.entry(client.clone()).or_default() += 1;
    }

    /// A connection of this client has ended; with its last one its tokens are forgotten. The parts that are
    /// held stay on the disk.
    pub(crate) fn disconnected(&self, client: &ClientId) {
        let mut table = self.table();
        let Some(count) = table.connections.get_mut(client) else {
            return;
        };
        *count -= 1;
        if *count > 0 {
            return;
        }
        table.connections.remove(client);
        table.gave.remove(client);
        let left = table.take_all(|_, entry| entry.client == *client);
        drop(table);
        self.interrupt(left);
    }

    /// Ends uploads that have left the table; their keys are busy until nobody writes any more.
    fn interrupt(&self, uploads: Vec<Arc<OpenUpload>>) {
        for upload in uploads {
            tracing::info!(name = upload.name.as_bytes(), "an upload is interrupted");
            if let Some(partial) = upload.take() {
                partial.close();
                // Of no use to anyone.
                if upload.state().held_bytes() < WORTH_KEEPING {
                    partial.discard();
                }
            }
            self.table().busy.remove(&upload.key);
        }
    }

    /// Name and size of each upload under way, for those who watch. Waits for no upload.
    pub(crate) fn seen(&self) -> Vec<(String, u64)> {
        let uploads = self.table();
        let each = uploads.open.values().map(|entry| &entry.upload);
        each.map(|upload| (upload.name.to_string(), upload.size)).collect()
    }

    /// Number of uploads under way.
    pub(crate) fn open_now(&self) -> usize {
        self.table().open.len()
    }

    /// Whether this client has uploads under way.
    pub(crate) fn has_open(&self, client: &ClientId) -> bool {
        self.table().open.values().any(|entry| entry.client == *client)
    }

    /// Whether parts of an upload of this client have come.
    pub(crate) fn has_come(&self, client: &ClientId) -> bool {
        self.table().open.values().any(|entry| entry.client == *client && entry.upload.has_come())
    }

    /// Starts an upload, or goes on with one; returns the parts that are held. The caller knows whether it could
    /// be made visible.
    pub(crate) fn open(
        &self,
        store: &Arc<Store>,
        parents: &Parents,
        Sender { client, scope, identity, replaces, goes_on_as }: Sender<'_>,
        wanted: Wanted,
    ) -> Result<Opened, Refusal> {
        let part_size = limits::part_size_for(wanted.size).unwrap_or(limits::MAX_BODY_LEN);
        let geometry = Geometry::new(wanted.size, part_size)
            .map_err(|error| Refusal::new(Code::BadRequest, error))?;
        let sender = (client.account().map(AccountName::as_str), identity);
        let known_as = goes_on_as.unwrap_or(&wanted.name);
        let key = Key::new(known_as, geometry, &wanted.fingerprint, sender);
        let token = random_token()?;
        let owner = Owner { token, scope, attributes: wanted.attributes };
        let elsewhere = self.table().take_elsewhere(key.id(), &wanted.name, &owner);
        self.interrupt(elsewhere);
        let found = {
            let mut table = self.table();
            if wanted.replace {
                table.forget_published(key.id());
            }
            table.find_or_begin(key.id(), geometry.parts(), &owner, client)?
        };
        let idle = match found {
            Found::TakenOver(upload) => {
                upload.cancel_writers(token);
                let held = upload.state().held();
                return Ok(Opened::Now { token, geometry, held });
            }
            Found::Begun(idle) => idle,
        };
        let busy = Busy::new(&self.table, key.id(), client, geometry.parts());
        self.interrupt(idle);
        let shape = (geometry, owner, replaces);
        let opening = Opening::begin(store, parents, key, wanted, shape, busy)?;
        if opening.is_over() { self.finish(opening) } else { Ok(Opened::Later(Box::new(opening))) }
    }

    /// Reads a little of the parts that an upload may hold, through `buffer`; returns how much.
    pub(crate) fn go_on(
        &self,
        opening: Box<Opening>,
        parents: &Parents,
        buffer: &mut [u8],
    ) -> Result<(usize, Opened), Refusal> {
        let (opening, read) = opening.advance(parents, buffer)?;
        let opened = match opening.is_over() {
            true => self.finish(opening)?,
            false => Opened::Later(Box::new(opening)),
        };
        Ok((read, opened))
    }

    /// The upload enters the table.
    fn finish(&self, opening: Opening) -> Result<Opened, Refusal> {
        let (upload, held, busy) = opening.finish()?;
        let geometry = upload.state().geometry();
        let token = upload.owner().token;
        let mut table = self.table();
        let (key, client, parts) = busy.end(&mut table);
        let entry = Entry { upload: Arc::new(upload), client, parts };
        table.parts += parts;
        table.by_key.insert(key, token);
        table.open.insert(token, entry);
        drop(table);
        Ok(Opened::Now { token, geometry, held })
    }

    /// Announces a part. `None`: it is held already.
    pub(crate) fn part(
        &self,
        scope: &Scope,
        token: &Token,
        offset: u64,
        len: u64,
        cv: Cv,
    ) -> Result<Option<PartWriter>, Refusal> {
        let upload = self.find(scope, token)?;
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
        PartWriter::new(upload, *token, claim, hasher, offset, len).map(Some)
    }

    /// Uploads of which no part has come for long keep no room for what may come.
    pub(crate) fn give_room_back(&self) {
        let table = self.table();
        let idle = table.open.values().filter(|entry| entry.upload.idle() >= IDLE);
        idle.for_each(|entry| entry.upload.give_room_back());
    }

    /// Discards an upload.
    pub(crate) fn abort(&self, scope: &Scope, token: &Token) -> Result<(), Refusal> {
        let mut table = self.table();
        table.find(scope, token)?;
        let Some(Entry { upload, .. }) = table.remove(token) else { return Err(unknown()) };
        table.busy.insert(upload.key.clone());
        drop(table);
        if let Some(partial) = upload.take() {
            partial.close();
            partial.discard();
        }
        self.table().busy.remove(&upload.key);
        Ok(())
    }

    /// Removes partials that nobody came back for, until the server stops.
    pub(crate) fn sweep(&self, store: &Store, keep: Duration) {
        for key in store.expired(keep) {
            if store.trash.bell.is_stopped() {
                return;
            }
            let Some(_alone) = self.ordered.alone(&key) else { continue };
            if !self.table().begin_alone(&key) {
                continue;
            }
            // It may have been taken up and interrupted again since it was listed.
            if store.is_expired(&key, keep) {
                match store.forget(&key) {
                    Ok(_) => tracing::info!(
                        partial = key,
                        "removed a partial that nobody has gone on with, or that holds next to nothing"
                    ),
                    Err(errno) => {
                        tracing::warn!(partial = key, %errno, "could not remove a partial");
                    }
                }
            }
            self.table().busy.remove(&key);
        }
    }

    fn find(&self, scope: &Scope, token: &Token) -> Result<Arc<OpenUpload>, Refusal> {
        self.table().find(scope, token).map(|entry| Arc::clone(&entry.upload))
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
    Refusal::new(Code::TakenOver, "a newer `open` of the same file has taken this upload over")
}
