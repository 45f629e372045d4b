//! Directories whose next versions are being put together, and by which clients.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_protocol::{Code, Publish, Refusal};

use crate::store::{Parents, Store, Version};
use crate::uploads::random_token;

/// Directories that may be published at once; each holds three open directories.
pub(crate) const MAX_VERSIONS: usize = 64;

/// The table of them.
#[derive(Debug, Default)]
pub(crate) struct Publications(Mutex<Vec<Open>>);

#[derive(Debug)]
struct Open {
    client: String,
    version: Arc<Version>,
    connections: usize,
}

impl Publications {
    fn open(&self) -> MutexGuard<'_, Vec<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut open = self.open();
        let own = |open: &&mut Open| open.client == client && open.version.name == publish.name;
        if let Some(open) = open.iter_mut().find(own) {
            if publish.tree.is_some_and(|tree| tree != open.version.token) {
                return Err(Refusal::new(Code::TakenOver, "this tree is not that of the run"));
            }
            open.connections += 1;
            return Ok(Arc::clone(&open.version));
        }
        if open.len() >= MAX_VERSIONS {
            return Err(Refusal::new(
                Code::Busy,
                "too many directories are being published at once",
            ));
        }
        let version =
            Arc::new(Version::open(store, parents, &publish.name, publish.tree, random_token()?)?);
        let client = client.to_owned();
        open.push(Open { client, version: Arc::clone(&version), connections: 1 });
        Ok(version)
    }

    /// A connection has ended; with the last one of its client the directory may be changed again. What is
    /// there of the next version stays.
    pub(crate) fn leave(&self, client: &str, version: &Version) {
        let mut open = self.open();
        let own = |open: &Open| open.client == client && open.version.name == version.name;
        if let Some(at) = open.iter().position(own) {
            open[at].connections -= 1;
            if open[at].connections == 0 {
                open.remove(at);
            }
        }
    }
}
