//! Uploads whose bytes come in order, over one request after the other, found by the id that their client was told.
//!
//! An upload is open while requests are about it. A newer request takes it over: from then on the older one can't write, and
//! ends. While the files of an upload are being opened, or the upload becomes a file, it is *busy*: requests wait, and are
//! woken.

mod receiving;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use haul_protocol::{Code, Mtime, Token};

use super::commit::Publishing;
use crate::accounts::Scope;
use crate::locks::{Mutex, Rank};
use crate::refusal::Refusal;
use crate::store::{Change, OrderedUpload};
pub(crate) use receiving::Receiving;

/// The number of the next request that waits: no two of them have the same one.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The uploads that are in use.
#[derive(Debug, Clone)]
pub(crate) struct Ordered(Arc<Mutex<HashMap<Token, Entry>>>);

/// An upload that is in use.
#[derive(Debug)]
struct Entry {
    stage: Stage,
    /// The requests that wait until it is not busy any more, in their order.
    waiting: BTreeMap<u64, Waker>,
}

/// A request waits for an upload until this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    ordered: Ordered,
    token: Token,
    number: u64,
}

#[derive(Debug)]
enum Stage {
    Busy,
    Open { receiving: Arc<Receiving>, users: usize },
}

/// The answer to a request for an upload.
#[derive(Debug)]
pub(crate) enum Entered {
    /// It is open, and the request's own from now on.
    Open(Using),
    /// The request has to find its files.
    Begun(Busy),
    /// The request is woken when the upload is not busy any more.
    Waits(Waiting),
    /// It is another account's.
    Unknown,
}

/// Nobody else can use an upload until this is dropped.
#[derive(Debug)]
pub(crate) struct Busy {
    ordered: Ordered,
    token: Token,
}

/// The use of an upload by one request. Dropping it keeps all bytes that have come, unless they were to be checked.
#[derive(Debug)]
pub(crate) struct Using {
    ordered: Ordered,
    token: Token,
    receiving: Arc<Receiving>,
    turn: u64,
}

impl Default for Ordered {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Rank::OrderedTable, HashMap::new())))
    }
}

impl Ordered {
    /// A request of this account is about an upload. `waker`: wakes the request when it is overtaken, or need not wait.
    pub(crate) fn enter(&self, token: Token, account: Option<&str>, waker: &Waker) -> Entered {
        let mut table = self.0.lock();
        let Some(entry) = table.get_mut(&token) else {
            table.insert(token, Entry::default());
            return Entered::Begun(Busy { ordered: self.clone(), token });
        };
        match &mut entry.stage {
            Stage::Busy => {
                let number = entry.wait(waker);
                Entered::Waits(Waiting { ordered: self.clone(), token, number })
            }
            Stage::Open { receiving, .. } if receiving.upload().account.as_deref() != account => {
                Entered::Unknown
            }
            Stage::Open { receiving, users } => {
                *users += 1;
                let receiving = Arc::clone(receiving);
                drop(table);
                let turn = receiving.take_over(waker);
                let using =
                    Using { ordered: self.clone(), token, receiving, turn: turn.unwrap_or(0) };
                match turn {
                    Some(_) => Entered::Open(using),
                    None => self.wait_for_the_end(using, waker),
                }
            }
        }
    }

    /// The request came when another one had taken the upload to make a file of it, or to remove it: then it waits as if it
    /// were busy already.
    fn wait_for_the_end(&self, using: Using, waker: &Waker) -> Entered {
        let number = match self.0.lock().get_mut(&using.token) {
            Some(entry) if !entry.is_open_anew(&using.receiving) => entry.wait(waker),
            // It is over by now.
            _ => {
                waker.wake_by_ref();
                0
            }
        };
        let (ordered, token) = (self.clone(), using.token);
        drop(using);
        Entered::Waits(Waiting { ordered, token, number })
    }

    /// Nobody else can use the upload of this key until the result is dropped; `None`: it is in use. A key that no upload can
    /// have needs no guard.
    pub(super) fn alone(&self, key: &str) -> Option<Option<Busy>> {
        let Ok(token) = Token::parse(key) else { return Some(None) };
        let mut table = self.0.lock();
        if table.contains_key(&token) {
            return None;
        }
        table.insert(token, Entry::default());
        Some(Some(Busy { ordered: self.clone(), token }))
    }

    /// Nobody has it any more.
    fn over(&self, token: Token) {
        let entry = self.0.lock().remove(&token);
        let waiting = entry.map(|entry| entry.waiting).unwrap_or_default();
        waiting.into_values().for_each(Waker::wake);
    }

    /// Requests that wait for an upload.
    #[cfg(test)]
    fn waiting(&self, token: Token) -> usize {
        self.0.lock().get(&token).map_or(0, |entry| entry.waiting.len())
    }
}

impl Default for Entry {
    fn default() -> Self {
        Self { stage: Stage::Busy, waiting: BTreeMap::new() }
    }
}

impl Entry {
    /// A request waits. Returns its number among those that do.
    fn wait(&mut self, waker: &Waker) -> u64 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.waiting.insert(number, waker.clone());
        number
    }

    /// Whether it is open, and not as `before`.
    fn is_open_anew(&self, before: &Arc<Receiving>) -> bool {
        matches!(&self.stage, Stage::Open { receiving, .. } if !Arc::ptr_eq(receiving, before))
    }
}

impl Busy {
    /// The files are open, and the request has the upload.
    pub(crate) fn open(self, receiving: Receiving) -> Using {
        let receiving = Arc::new(receiving);
        let (ordered, token) = (self.ordered.clone(), self.token);
        let mut waiting = BTreeMap::new();
        if let Some(entry) = ordered.0.lock().get_mut(&token) {
            entry.stage = Stage::Open { receiving: Arc::clone(&receiving), users: 1 };
            waiting = std::mem::take(&mut entry.waiting);
        }
        std::mem::forget(self);
        waiting.into_values().for_each(Waker::wake);
        Using { ordered, token, receiving, turn: 0 }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // The upload may be free by now, or busy anew.
        let waker = self
            .ordered
            .0
            .lock()
            .get_mut(&self.token)
            .and_then(|entry| entry.waiting.remove(&self.number));
        drop(waker);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.ordered.over(self.token);
    }
}

impl Using {
    /// The facts about the upload.
    pub(crate) fn upload(&self) -> &OrderedUpload {
        self.receiving.upload()
    }

    /// The upload, to write to.
    pub(crate) fn receiving(&self) -> &Receiving {
        &self.receiving
    }

    /// Bytes that have come, and the size of the whole file, if that is known, unless a newer request has taken it over.
    pub(crate) fn progress(&self) -> Result<(u64, Option<u64>), Refusal> {
        self.receiving.progress(self.turn)
    }

    /// Names this use of the upload.
    pub(crate) fn turn(&self) -> u64 {
        self.turn
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// All bytes have come: the change that makes the file visible, with this mtime if the client has told none. Until that is
    /// over, the upload is busy.
    pub(crate) fn commit(self, mtime: Option<Mtime>) -> Result<(Change, Publishing), Refusal> {
        let (partial, size, digest) = self.receiving.take_whole(self.turn)?;
        let begun = self.receiving.begun();
        let key = self.token.to_string();
        let busy = self.busy();
        let publishing = Publishing {
            token: self.token,
            scope: Scope::default(),
            digest,
            size,
            key,
            begun,
            ordered: Some(busy),
        };
        let told = self.upload().facts.mtime.map(|(s, ns)| Mtime { s, ns });
        let left = partial.clone();
        let change = partial.finish_ordered(self.upload(), size, told.or(mtime), digest);
        // A flush of this use may note nothing any more: its record would be in the way of the next use.
        let change = change.inspect_err(|_| left.close())?;
        Ok((change, publishing))
    }

    /// Removes the upload.
    pub(crate) fn discard(self) -> Result<(), Refusal> {
        let partial = self.receiving.take(self.turn).ok_or_else(overtaken)?;
        let _busy = self.busy();
        partial.close();
        partial.discard();
        Ok(())
    }

    /// From now on the upload is busy. Requests that were overtaken may still have it, and can do nothing with it.
    fn busy(&self) -> Busy {
        if let Some(entry) = self.ordered.0.lock().get_mut(&self.token) {
            entry.stage = Stage::Busy;
        }
        Busy { ordered: self.ordered.clone(), token: self.token }
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        self.receiving.stop(self.turn);
        let mut table = self.ordered.0.lock();
        let Some(entry) = table.get_mut(&self.token) else { return };
        match &mut entry.stage {
            Stage::Open { receiving, users } if Arc::ptr_eq(receiving, &self.receiving) => {
                *users -= 1;
                if *users > 0 {
                    return;
                }
            }
            // It is busy, or was opened again.
            _ => return,
        }
        entry.stage = Stage::Busy;
        drop(table);
        self.receiving.close();
        self.ordered.over(self.token);
    }
}

/// The refusal of a request that a newer one has overtaken.
pub(crate) fn overtaken() -> Refusal {
    Refusal::new(Code::Conflict, "a newer request about this upload has taken its place")
}
