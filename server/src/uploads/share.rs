//! The share of a client in the uploads of all.

use crate::accounts::{AccountName, ClientId};

/// The account of an upload, or its client if the server has no accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Holder<'a> {
    Account(&'a AccountName),
    Client(&'a str),
}

impl<'a> Holder<'a> {
    /// Of this client's uploads.
    pub(super) fn of(client: &'a ClientId) -> Self {
        client.account.as_ref().map_or(Self::Client(&client.client), Self::Account)
    }
}

/// A share: uploads and their parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) uploads: usize,
    pub(super) parts: usize,
}

impl Share {
    /// One more upload, of so many parts.
    pub(super) fn add(&mut self, parts: usize) {
        self.uploads += 1;
        self.parts += parts;
    }

    /// One upload less.
    pub(super) fn remove(&mut self, parts: usize) {
        self.uploads -= 1;
        self.parts -= parts;
    }

    /// Parts of all of them.
    pub(super) fn parts(self) -> usize {
        self.parts
    }

    /// Whether there is none.
    pub(super) fn is_none(&self) -> bool {
        self.uploads == 0
    }

    /// The most that any of them has of either.
    pub(super) fn most<'a>(shares: impl Iterator<Item = &'a Self>) -> Self {
        shares.fold(Self::default(), |most, share| Self {
            uploads: most.uploads.max(share.uploads),
            parts: most.parts.max(share.parts),
        })
    }
}
