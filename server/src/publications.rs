//! Directories whose next versions are being put together, and by which clients.

use std::sync::Arc;

use haul_protocol::{Code, Name, Publish, Refusal};

use crate::store::{Parents, Store, Version};
use crate::sync::{Mutex, MutexGuard, Rank};
use crate::uploads::random_token;

/// Directories that may be published at once; each holds three open directories.
pub(crate) const MAX_VERSIONS: usize = 64;

/// The table of them.
#[derive(Debug)]
pub(crate) struct Publications(Mutex<Vec<Open>>);

#[derive(Debug)]
struct Open {
    client: String,
    name: Name,
    /// `None` while a worker opens it: that waits for the disk, so it happens without the lock.
    version: Option<Arc<Version>>,
    connections: usize,
}

impl Default for Publications {
    fn default() -> Self {
        Self(Mutex::new(Rank::Publications, Vec::new()))
    }
}

impl Publications {
    fn open(&self) -> MutexGuard<'_, Vec<Open>> {
        self.0.lock()
    }

    /// A connection is about the next version of a directory: the first one of its client begins it, or goes on
    /// with what is there.
    pub(crate) fn enter(
        &self,
        store: &Arc<Store>,
        parents: &Parents,
        client: &str,
        publish: &Publish,
    ) -> Result<Arc<Version>, Refusal> {
        if let Some(version) = self.find_or_begin(client, publish)? {
            return Ok(version);
        }
        let opened = random_token().and_then(|token| {
            Ok(Version::open(store, parents, &publish.name, publish.tree, token)?)
        });
        let mut open = self.open();
        let at = open.iter().position(|open| open.is(client, &publish.name));
        match (opened, at) {
            (Ok(version), Some(at)) => {
                let version = Arc::new(version);
                open[at].version = Some(Arc::clone(&version));
                Ok(version)
            }
            (opened, at) => {
                let entry = at.map(|at| open.remove(at));
                drop((open, entry));
                opened.map(Arc::new)
            }
        }
    }

    /// The version that another connection of the client has opened; or `None`, and the caller has to open it.
    fn find_or_begin(
        &self,
        client: &str,
        publish: &Publish,
    ) -> Result<Option<Arc<Version>>, Refusal> {
        let mut open = self.open();
        if let Some(open) = open.iter_mut().find(|open| open.is(client, &publish.name)) {
            let Some(version) = &open.version else {
                let message =
                    "another connection of this client is opening this directory just now";
                return Err(Refusal::new(Code::Busy, message));
            };
            if publish.tree.is_some_and(|tree| tree != version.token) {
                return Err(Refusal::new(Code::TakenOver, "this tree is not that of the run"));
            }
            open.connections += 1;
            return Ok(Some(Arc::clone(version)));
        }
        if open.len() >= MAX_VERSIONS {
            return Err(Refusal::new(
                Code::Busy,
                "too many directories are being published at once",
            ));
        }
        let (client, name) = (client.to_owned(), publish.name.clone());
        open.push(Open { client, name, version: None, connections: 1 });
        Ok(None)
    }

    /// A connection has ended; with the last one of its client the directory may be changed again. What is
    /// there of the next version stays.
    pub(crate) fn leave(&self, client: &str, version: &Version) {
        let mut open = self.open();
        let Some(at) = open.iter().position(|open| open.is(client, &version.name)) else { return };
        open[at].connections -= 1;
        if open[at].connections == 0 {
            // Dropping a version may remove its directory, for which nobody else should wait.
            let ended = open.remove(at);
            drop(open);
            drop(ended);
        }
    }
}

impl Open {
    fn is(&self, client: &str, name: &Name) -> bool {
        self.client == client && self.name == *name
    }
}
