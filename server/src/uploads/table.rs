//! The table of uploads: each by its token and its key, and the clients that have them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use haul_protocol::{Code, Name, Token};

use super::committed::Published;
use super::share::{Holder, Share};
use super::writer::{OpenUpload, Owner};
use super::{MAX_OPEN_PARTS, REMEMBERED, taken_over, unknown};
use crate::accounts::{ClientId, Scope};
use crate::refusal::Refusal;

/// Parts of the uploads of one client whose files are being opened, but for a single file: after a restart of the machine that
/// takes long, and they make no room.
const MAX_OPENING_PARTS: usize = MAX_OPEN_PARTS / 8;

/// Invariant: no lock of an upload is taken under that of the table, but for the owner's, and nothing is read or
/// written: every `hello` needs the table.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) open: HashMap<Token, Entry>,
    /// The token of each key that is open.
    pub(super) by_key: HashMap<String, Token>,
    /// Keys whose files are being opened, renamed or removed just now.
    pub(super) busy: HashSet<String>,
    /// The share of each client in uploads whose files are being opened.
    pub(super) opening: HashMap<ClientId, Share>,
    /// Tokens whose commit is being carried out, and their scopes.
    pub(super) publishing: HashMap<Token, Scope>,
    pub(super) parts: usize,
    pub(super) connections: HashMap<ClientId, usize>,
    /// Clients that had to give an upload to another client before it was idle.
    pub(super) gave: HashSet<ClientId>,
    /// Tokens that a newer `open` has replaced, and their scopes.
    pub(super) taken_over: VecDeque<(Token, Scope)>,
    pub(super) published: Published,
}

/// An upload, its client and its parts, for the table.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) upload: Arc<OpenUpload>,
    /// The client that has opened it last.
    pub(super) client: ClientId,
    pub(super) parts: usize,
}

/// The answer of the table to an `open`.
pub(super) enum Found {
    /// The upload, which is the caller's from now on.
    TakenOver(Arc<OpenUpload>),
    /// Nothing: the key is busy until the caller has opened its files. These uploads make room.
    Begun(Vec<Arc<OpenUpload>>),
}

impl Table {
    /// The upload of a token. A token of another scope is not known.
    pub(super) fn find(&self, scope: &Scope, token: &Token) -> Result<&Entry, Refusal> {
        let is_taken_over = |(taken, of): &(Token, Scope)| taken == token && of == scope;
        match self.open.get(token) {
            Some(entry) if entry.upload.owner().scope == *scope => Ok(entry),
            None if self.taken_over.iter().any(is_taken_over) => Err(taken_over()),
            _ => Err(unknown()),
        }
    }

    /// The client says that the entry under the name is not its file. An upload that was opened as if it were holds no part any
    /// more.
    pub(super) fn forget_published(&mut self, key: &str) {
        if let Some(old) = self.by_key.get(key).copied()
            && self.open.get(&old).is_some_and(|entry| entry.upload.published.is_some())
            && let Some(entry) = self.remove(&old)
        {
            let scope = entry.upload.owner().scope.clone();
            self.remember_taken_over(old, scope);
        }
    }

    /// Removes the upload of a key that goes to another name, because an earlier run of a client of a drop account has begun
    /// it, or whose token has another scope: with other rights, say, the file may not be opened.
    pub(super) fn take_elsewhere(
        &mut self,
        key: &str,
        name: &Name,
        owner: &Owner,
    ) -> Vec<Arc<OpenUpload>> {
        let goes_elsewhere = |entry: &&Entry| {
            entry.upload.name != *name || entry.upload.owner().scope != owner.scope
        };
        let old = self.by_key.get(key).copied();
        let entry = old.and_then(|old| self.open.get(&old)).filter(goes_elsewhere);
        let (Some(old), Some(entry)) = (old, entry) else { return Vec::new() };
        // A client that still sends parts of it is told that a newer `open` has them.
        let before = std::mem::replace(&mut *entry.upload.owner(), owner.clone());
        self.remember_taken_over(old, before.scope);
        self.take_all(|token, _| *token == old)
    }

    /// The open upload of a key, with its new owner; or room for a new one.
    pub(super) fn find_or_begin(
        &mut self,
        key: &str,
        parts: usize,
        owner: &Owner,
        client: &ClientId,
    ) -> Result<Found, Refusal> {
        if let Some(old) = self.by_key.get(key).copied()
            && self.open.get(&old).is_some_and(|entry| entry.upload.is_spoiled())
        {
            // Its disk has failed, so it starts again.
            self.remove(&old);
        }
        if let Some(old) = self.by_key.get(key).copied()
            && let Some(mut entry) = self.open.remove(&old)
        {
            let before = std::mem::replace(&mut *entry.upload.owner(), owner.clone());
            self.remember_taken_over(old, before.scope);
            entry.client = client.clone();
            let upload = Arc::clone(&entry.upload);
            self.by_key.insert(key.to_owned(), owner.token);
            self.open.insert(owner.token, entry);
            return Ok(Found::TakenOver(upload));
        }
        if self.busy.contains(key) {
            return Err(Refusal::new(Code::Busy, "this very file is being committed or opened"));
        }
        let holder = Holder::of(client);
        let opening = self.opening.iter().filter(|(client, _)| Holder::of(client) == holder);
        let opening: usize = opening.map(|(_, share)| share.parts()).sum();
        if opening > 0 && opening + parts > MAX_OPENING_PARTS {
            return Err(Refusal::new(Code::Busy, "too many parts of this client are being read"));
        }
        let idle = self.make_room(parts, client)?;
        self.busy.insert(key.to_owned());
        self.parts += parts;
        self.opening.entry(client.clone()).or_default().add(parts);
        Ok(Found::Begun(idle))
    }

    /// Removes uploads, whose keys are busy from then on.
    pub(super) fn take_all(
        &mut self,
        which: impl Fn(&Token, &Entry) -> bool,
    ) -> Vec<Arc<OpenUpload>> {
        let tokens = self.open.iter().filter(|(token, entry)| which(token, entry));
        let tokens: Vec<Token> = tokens.map(|(token, _)| *token).collect();
        let entries = tokens.iter().filter_map(|token| self.remove(token));
        let uploads: Vec<_> = entries.map(|entry| entry.upload).collect();
        self.busy.extend(uploads.iter().map(|upload| upload.key.clone()));
        uploads
    }

    /// Marks a key as busy that is neither open nor busy.
    pub(super) fn begin_alone(&mut self, key: &str) -> bool {
        !self.by_key.contains_key(key) && self.busy.insert(key.to_owned())
    }

    pub(super) fn remove(&mut self, token: &Token) -> Option<Entry> {
        let entry = self.open.remove(token)?;
        self.by_key.remove(&entry.upload.key);
        self.parts -= entry.parts;
        Some(entry)
    }

    pub(super) fn remember_taken_over(&mut self, token: Token, scope: Scope) {
        if self.taken_over.len() == REMEMBERED {
            self.taken_over.pop_front();
        }
        self.taken_over.push_back((token, scope));
    }
}
