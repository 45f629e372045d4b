//! Drafts, the next versions of directories, and the clients that have them.
//!
//! An empty draft for which nothing was done for a while makes room: for another draft if there are as many as there may
//! be, or for a client that wants to change its directory. Its connections end, and its client loses nothing: when the
//! client connects again and asks for the same draft, it gets an empty one of that name.

use std::sync::Arc;
use std::time::Duration;

use haul_protocol::{Code, Name, Publish};

use super::given_up::GivenUp;
use crate::accounts::{AccountName, ClientId};
use crate::commit::notify::{ConnectionId, Notify, waker};
use crate::locks::{Mutex, MutexGuard, Rank};
use crate::refusal::Refusal;
use crate::store::{Closed, Earlier, Owner, Parents, Room, Store, StoreError, Version, meet};
use crate::uploads::{Uploads, random_token};

/// Directories that may be published at once; each holds three open directories.
pub(crate) const MAX_VERSIONS: usize = 64;

/// The same of one account: four of them leave room for others.
const MAX_VERSIONS_AN_ACCOUNT: usize = MAX_VERSIONS / 4;

/// The same of one client; `haul` publishes one.
const MAX_VERSIONS_A_CLIENT: usize = 8;

/// For how long nothing was done for an empty draft before it makes room for another draft.
const IDLE: Duration = Duration::from_secs(5);

/// The table of them.
#[derive(Debug)]
pub(crate) struct Publications {
    store: Arc<Store>,
    uploads: Arc<Uploads>,
    /// Time for which a peer may pause.
    pause: Duration,
    table: Arc<Mutex<Table>>,
}

/// The answer to a connection that is about the next version of a directory.
#[derive(Debug)]
pub(crate) enum Begun {
    /// The version.
    Version(Arc<Version>),
    /// None yet: changes in the directory are under way.
    Closing(Box<Beginning>),
}

/// The directory is closed for a version. Dropping it opens the directory, and another connection may begin one.
#[derive(Debug)]
pub(crate) struct Beginning {
    closed: Closed,
    earlier: Earlier,
    entry: Entry,
}

impl Beginning {
    /// Whether the changes are over that were under way in the directory.
    pub(crate) fn is_over(&self) -> bool {
        self.closed.is_over()
    }
}

/// The place of a version in the table that is not open yet; given back when dropped.
#[derive(Debug)]
struct Entry {
    table: Arc<Mutex<Table>>,
    client: ClientId,
    name: Name,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut table = self.table.lock();
        let is_it = |open: &Open| open.is(&self.client, &self.name) && open.version.is_none();
        let at = table.open.iter().position(is_it);
        let open = at.map(|at| table.open.remove(at));
        drop((table, open));
    }
}

#[derive(Debug, Default)]
struct Table {
    open: Vec<Open>,
    /// Drafts that were empty when they made room, and their directories.
    given_up: GivenUp,
}

#[derive(Debug)]
struct Open {
    client: ClientId,
    name: Name,
    /// `None` while it is opened: that waits for the disk and for changes under way, so it happens without the lock.
    version: Option<Arc<Version>>,
    /// The connections of its client that are about it.
    connections: Vec<ConnectionId>,
}

/// The answer of the table to a `hello`.
enum Found {
    /// The version that another connection of the client has opened.
    Version(Arc<Version>),
    /// Nothing: the caller has to open it.
    Begun(Earlier),
    /// Too many versions.
    Full(Whose),
}

/// Those who have too many versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Client,
    Account,
    All,
}

impl Publications {
    /// None yet. `pause`: how long a peer may.
    pub(crate) fn new(store: Arc<Store>, uploads: Arc<Uploads>, pause: Duration) -> Self {
        Self {
            store,
            uploads,
            pause,
            table: Arc::new(Mutex::new(Rank::Publications, Table::default())),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    /// A connection is about the next version of a directory: the first one of its client begins it, or
    /// goes on with what is there. If changes in the directory are under way, the connection is woken when they are over, and
    /// [goes on](Self::go_on).
    pub(crate) fn enter(
        &self,
        notify: &Arc<dyn Notify>,
        parents: &Parents,
        client: &ClientId,
        publish: &Publish,
        connection: ConnectionId,
    ) -> Result<Begun, Refusal> {
        let mut found = self.table().find_or_begin(client, publish, connection)?;
        if let Found::Full(whose) = found {
            self.make_room(&**notify, IDLE, |open| match whose {
                Whose::Client => open.client == *client,
                Whose::Account => open.client.account() == client.account(),
                Whose::All => true,
            });
            found = self.table().find_or_begin(client, publish, connection)?;
        }
        let earlier = match found {
            Found::Version(version) => return Ok(Begun::Version(version)),
            Found::Begun(earlier) => earlier,
            Found::Full(whose) => {
                let who = match whose {
                    Whose::Client => " by this client",
                    Whose::Account => " by this account",
                    Whose::All => "",
                };
                let message = format_args!("too many directories are being published at once{who}");
                return Err(Refusal::new(Code::Busy, message));
            }
        };
        let (table, name) = (Arc::clone(&self.table), publish.name.clone());
        let entry = Entry { table, client: client.clone(), name };
        let waker = waker(notify, connection);
        let close = || Closed::begin(&self.store, &publish.name, &waker);
        let mut closed = close();
        if matches!(closed, Err(StoreError::Publishing { .. }))
            && self.make_room(&**notify, self.reserved(), |open| meet(&open.name, &publish.name))
        {
            closed = close();
        }
        let beginning = Box::new(Beginning { closed: closed?, earlier, entry });
        if beginning.is_over() {
            return Ok(Begun::Version(self.go_on(*beginning, parents)?));
        }
        Ok(Begun::Closing(beginning))
    }

    /// The changes are over that were under way in the directory: opens its version.
    pub(crate) fn go_on(
        &self,
        beginning: Beginning,
        parents: &Parents,
    ) -> Result<Arc<Version>, Refusal> {
        let Beginning { closed, earlier, entry } = beginning;
        let owner = Owner::of(entry.client.account().map(AccountName::as_str));
        let new = (random_token()?, &owner);
        let version = Arc::new(Version::open(closed, parents, earlier, new)?);
        let mut table = self.table();
        if let Some(open) = table.open.iter_mut().find(|open| open.is(&entry.client, &entry.name)) {
            open.version = Some(Arc::clone(&version));
        }
        table.given_up.begun(&version);
        drop(table);
        Ok(version)
    }

    /// Makes one draft make room: the one for which nothing was done for longest, if that is for `idle` at least; tells
    /// whether one has.
    fn make_room(
        &self,
        notify: &dyn Notify,
        idle: Duration,
        which: impl Fn(&Open) -> bool,
    ) -> bool {
        let table = self.table();
        let which = table.open.iter().filter(|open| which(open));
        let versions = which.filter_map(|open| Some((open.version.clone()?, open.client.clone())));
        let mut versions: Vec<_> =
            versions.map(|(version, client)| (version.idle(), version, client)).collect();
        drop(table);
        versions.retain(|(for_long, ..)| *for_long >= idle);
        versions.sort_by_key(|(for_long, ..)| std::cmp::Reverse(*for_long));
        versions.iter().any(|(_, version, client)| self.give_up(notify, version, client))
    }

    /// Another client was refused a change in the directory of this draft: the draft makes room if it is empty.
    pub(crate) fn yield_to_others(
        &self,
        notify: &dyn Notify,
        version: &Arc<Version>,
        client: &ClientId,
    ) {
        if version.is_wanted() && version.idle() >= self.reserved() {
            self.give_up(notify, version, client);
        }
    }

    fn give_up(&self, notify: &dyn Notify, version: &Arc<Version>, client: &ClientId) -> bool {
        // Large files are not in the draft before they are whole.
        if self.uploads.has_come(client) && version.idle() < self.forsaken() {
            return false;
        }
        let Some(room) = version.give_up(self.forsaken()) else { return false };
        tracing::info!(name = version.name.as_bytes(), ?room, "a version has made room for others");
        self.ended(notify, version, room);
        true
    }

    /// A draft is given up: the table forgets it, remembers its name if it was empty, and wakes its connections, which end.
    fn ended(&self, notify: &dyn Notify, version: &Arc<Version>, room: Room) {
        let mut table = self.table();
        let at = table.open.iter().position(|open| open.has(version));
        let ended = at.map(|at| table.open.remove(at));
        if room == Room::Removed {
            table.given_up.remember(version);
        }
        drop(table);
        for connection in ended.into_iter().flat_map(|ended| ended.connections) {
            notify.wake(connection);
        }
    }

    /// A connection has ended; with the last one of its client the directory may be changed again. A draft with entries
    /// stays. An empty one is removed, and the client that asks for it again gets an empty one.
    pub(crate) fn leave(
        &self,
        notify: &dyn Notify,
        version: &Arc<Version>,
        connection: ConnectionId,
    ) {
        if !self.table().left(version, connection) {
            return;
        }
        // It may remove a directory, for which nobody else should wait.
        if let Some(room) = version.give_up(Duration::MAX) {
            // A connection that came meanwhile ends, and its client asks again.
            self.ended(notify, version, room);
            return;
        }
        let mut table = self.table();
        let at =
            table.open.iter().position(|open| open.has(version) && open.connections.is_empty());
        let ended = at.map(|at| table.open.remove(at));
        drop(table);
        drop(ended);
    }

    /// For how long nothing was done for an empty draft before its directory is left to others: as long as a
    /// peer may pause. A client may hash a large file before it sends anything.
    fn reserved(&self) -> Duration {
        self.pause
    }

    /// For how long nothing was done for a draft with entries before it makes room as well; a client may read large
    /// files for that long before it sends anything.
    fn forsaken(&self) -> Duration {
        self.pause * 10
    }
}

impl Table {
    /// Those who have as many versions as they may, one of which is this client.
    fn full(&self, client: &ClientId) -> Option<Whose> {
        let count = |is_theirs: &dyn Fn(&Open) -> bool| {
            self.open.iter().filter(|open| is_theirs(open)).count()
        };
        let of_account =
            |open: &Open| client.account().is_some() && open.client.account() == client.account();
        if count(&|open| open.client == *client) >= MAX_VERSIONS_A_CLIENT {
            Some(Whose::Client)
        } else if count(&of_account) >= MAX_VERSIONS_AN_ACCOUNT {
            Some(Whose::Account)
        } else {
            (self.open.len() >= MAX_VERSIONS).then_some(Whose::All)
        }
    }

    /// A connection is not about a version any more; tells whether it was the last one.
    fn left(&mut self, version: &Arc<Version>, connection: ConnectionId) -> bool {
        let Some(open) = self.open.iter_mut().find(|open| open.has(version)) else { return false };
        open.connections.retain(|other| *other != connection);
        open.connections.is_empty()
    }

    fn find_or_begin(
        &mut self,
        client: &ClientId,
        publish: &Publish,
        connection: ConnectionId,
    ) -> Result<Found, Refusal> {
        if let Some(open) = self.open.iter_mut().find(|open| open.is(client, &publish.name)) {
            let Some(version) = &open.version else {
                let message =
                    "another connection of this client is opening this directory just now";
                return Err(Refusal::new(Code::Busy, message));
            };
            if publish.tree.is_some_and(|tree| tree != version.token) {
                return Err(Refusal::new(Code::TakenOver, "this tree is not that of the run"));
            }
            if publish.tree.is_none() && version.is_done() {
                let message = "the connection on which this directory was published is still open";
                return Err(Refusal::new(Code::Busy, message));
            }
            open.connections.push(connection);
            return Ok(Found::Version(Arc::clone(version)));
        }
        if let Some(whose) = self.full(client) {
            return Ok(Found::Full(whose));
        }
        let (client, name) = (client.clone(), publish.name.clone());
        let earlier = match publish.tree {
            None => Earlier::Any,
            Some(tree) if self.given_up.may_begin(&name, tree) => Earlier::GivenUp(tree),
            Some(tree) => Earlier::Tree(tree),
        };
        self.open.push(Open { client, name, version: None, connections: vec![connection] });
        Ok(Found::Begun(earlier))
    }
}

impl Open {
    fn is(&self, client: &ClientId, name: &Name) -> bool {
        self.client == *client && self.name == *name
    }

    fn has(&self, version: &Arc<Version>) -> bool {
        self.version.as_ref().is_some_and(|own| Arc::ptr_eq(own, version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(client: &ClientId, number: usize) -> Open {
        let name = Name::parse(number.to_string().as_bytes()).unwrap();
        Open { client: client.clone(), name, version: None, connections: Vec::new() }
    }

    #[test]
    fn account_leaves_versions_to_others_whatever_its_clients_are_called() {
        let mut table = Table::default();
        for number in 0..MAX_VERSIONS_AN_ACCOUNT {
            let client = ClientId::of("alice", &number.to_string());
            assert_eq!(table.full(&client), None, "{number}");
            table.open.push(open(&client, number));
        }
        assert_eq!(table.full(&ClientId::of("alice", "another")), Some(Whose::Account));
        assert_eq!(table.full(&ClientId::of("bob", "another")), None);
        // Without accounts, each client is for itself.
        for number in table.open.len()..MAX_VERSIONS {
            let client = ClientId::alone(&number.to_string());
            assert_eq!(table.full(&client), None, "{number}");
            table.open.push(open(&client, number));
        }
        assert_eq!(table.full(&ClientId::of("bob", "another")), Some(Whose::All));
    }
}
