//! Room for a client that opens an upload when there is none: these rules say which other uploads make it.
//!
//! Uploads are shared among accounts first, then among the clients of each. The *holder* of an upload is its account, or
//! its client if the server has no accounts. The rules compare holders; between two clients of one account, they compare
//! these clients.
//!
//! Either uploads are scarce (there are `MAX_OPEN`) or parts are. These make room, in this order:
//!
//! 1. an upload of which no part has come for `IDLE`;
//! 2. an upload of which no part has come at all, if its holder has more of what is scarce than the newcomer will have, or
//!    if the newcomer has no upload;
//! 3. an upload of the holder that has most of what is scarce, if that is more than the newcomer will have.
//!
//! In each of these, the holder with the largest share is first, then the upload that has been idle for longest. A client
//! that has `MAX_OPEN_A_CLIENT` uploads has room made by its own uploads only, and only by idle ones: its uploads that go
//! on never make room for another of its own.
//!
//! Holders do not take an upload from each other in turn: by 2 and 3 nobody takes from a smaller share than its own. One
//! that has had to make room before its upload was idle no longer takes from a share that is not larger, even if it has
//! no upload: it waits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use haul_protocol::{Code, Token};

use super::share::{Holder, Share};
use super::table::{Entry, Table};
use super::writer::OpenUpload;
use super::{IDLE, MAX_OPEN, MAX_OPEN_A_CLIENT, MAX_OPEN_PARTS};

use crate::accounts::ClientId;
use crate::refusal::Refusal;

impl Table {
    /// Room for one more upload of a client, of so many parts; see [`Scarcity`] for the uploads that make it.
    pub(super) fn make_room(
        &mut self,
        parts: usize,
        client: &ClientId,
    ) -> Result<Vec<Arc<OpenUpload>>, Refusal> {
        // An upload that is being opened counts, and makes no room.
        let mut shares = Shares::default();
        for (client, share) in &self.opening {
            shares.add(client, *share);
        }
        for entry in self.open.values() {
            shares.add(&entry.client, Share { uploads: 1, parts: entry.parts });
        }
        let mut open = self.open.len() + self.busy.len();
        let mut all_parts = self.parts + parts;
        let mut others: Vec<_> =
            self.open.iter().map(|(token, entry)| (entry.upload.idle(), *token, entry)).collect();
        let (mut ended, mut giving) = (HashSet::new(), Vec::new());
        loop {
            let of_client = shares.of_client(client);
            let scarcity = |own: Share, gave: bool, most: Share| Scarcity {
                of_own: of_client.uploads >= MAX_OPEN_A_CLIENT,
                of_uploads: open >= MAX_OPEN,
                of_parts: all_parts > MAX_OPEN_PARTS,
                after: Share { uploads: own.uploads + 1, parts: own.parts + parts },
                may_take_any: own.uploads == 0 && !gave,
                most,
            };
            let holder = Holder::of(client);
            let gave = self.gave.iter().any(|gave| Holder::of(gave) == holder);
            let among_holders = scarcity(shares.of(holder), gave, shares.most_of_holders());
            let gave = self.gave.contains(client);
            let within = scarcity(of_client, gave, shares.most_of_clients(holder));
            if among_holders.is_over() {
                break;
            }
            let weigh = |(idle, _, entry): &&(Duration, Token, &Entry)| {
                let (scarcity, share) = match Holder::of(&entry.client) {
                    other if other == holder => (&within, shares.of_client(&entry.client)),
                    other => (&among_holders, shares.of(other)),
                };
                let is_own = entry.client == *client;
                scarcity.weigh(*idle, entry.upload.has_come(), share, is_own)
            };
            let first = others.iter().filter_map(|other| Some((weigh(&other)?, other)));
            let Some((_, &(idle, token, entry))) = first.max_by_key(|(weight, _)| *weight) else {
                return Err(Refusal::new(Code::Busy, "too many large uploads at once"));
            };
            others.retain(|(_, other, _)| *other != token);
            ended.insert(token);
            if idle < IDLE {
                giving.push(entry.client.clone());
            }
            shares.remove(&entry.client, entry.parts);
            open -= 1;
            all_parts -= entry.parts;
        }
        self.gave.extend(giving);
        Ok(self.take_all(|token, _| ended.contains(token)))
    }
}

/// The shares of all clients, and of their holders.
#[derive(Debug, Default)]
struct Shares<'a> {
    holders: HashMap<Holder<'a>, Share>,
    clients: HashMap<&'a ClientId, Share>,
}

impl<'a> Shares<'a> {
    fn add(&mut self, client: &'a ClientId, share: Share) {
        for known in [
            self.holders.entry(Holder::of(client)).or_default(),
            self.clients.entry(client).or_default(),
        ] {
            known.uploads += share.uploads;
            known.parts += share.parts;
        }
    }

    fn remove(&mut self, client: &'a ClientId, parts: usize) {
        if let Some(share) = self.clients.get_mut(client) {
            share.remove(parts);
        }
        if let Some(share) = self.holders.get_mut(&Holder::of(client)) {
            share.remove(parts);
        }
    }

    fn of(&self, holder: Holder<'_>) -> Share {
        self.holders.get(&holder).copied().unwrap_or_default()
    }

    fn of_client(&self, client: &ClientId) -> Share {
        self.clients.get(client).copied().unwrap_or_default()
    }

    fn most_of_holders(&self) -> Share {
        Share::most(self.holders.values())
    }

    fn most_of_clients(&self, holder: Holder<'_>) -> Share {
        let clients = self.clients.iter().filter(|(client, _)| Holder::of(client) == holder);
        Share::most(clients.map(|(_, share)| share))
    }
}

/// The limits that one more upload of a client would break.
#[derive(Debug)]
struct Scarcity {
    /// The client has as many uploads as it may.
    of_own: bool,
    /// There are as many uploads as there may be.
    of_uploads: bool,
    /// There would be more parts than there may be.
    of_parts: bool,
    /// The share that the newcomer will have.
    after: Share,
    /// The newcomer has no upload, and has not had to give one.
    may_take_any: bool,
    /// The most that anyone has.
    most: Share,
}

/// The weight of an upload when uploads have to make room; the largest is first.
type Weight = (Rank, usize, Duration);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Largest,
    Untouched,
    Idle,
}

impl Scarcity {
    fn is_over(&self) -> bool {
        !self.of_own && !self.of_uploads && !self.of_parts
    }

    /// Whether an upload makes room, and before which others; `share` is what its holder or client has.
    fn weigh(&self, idle: Duration, has_come: bool, share: Share, is_own: bool) -> Option<Weight> {
        let (after, most) = (self.after, self.most);
        let is_larger = (self.of_uploads && share.uploads > after.uploads)
            || (self.of_parts && share.parts > after.parts);
        let is_largest =
            (self.of_uploads && share.uploads == most.uploads && most.uploads > after.uploads)
                || (self.of_parts && share.parts == most.parts && most.parts > after.parts);
        let is_others = !is_own && !self.of_own;
        let rank = if idle >= IDLE && (is_own || !self.of_own) {
            Rank::Idle
        } else if is_others && !has_come && (is_larger || self.may_take_any) {
            Rank::Untouched
        } else if is_others && is_largest {
            Rank::Largest
        } else {
            return None;
        };
        let share = match rank {
            // Whose they are does not matter.
            Rank::Idle => 0,
            _ if self.of_parts => share.parts,
            _ => share.uploads,
        };
        Some((rank, share, idle))
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::{Attributes, Geometry, Name};

    use super::super::part_table::Upload;
    use super::super::table::Found;
    use super::super::writer::Owner;
    use super::*;
    use crate::accounts::Scope;
    use crate::store::{Key, Resumed, Store};

    const NEW: Duration = Duration::ZERO;

    fn share(uploads: usize, parts: usize) -> Share {
        Share { uploads, parts }
    }

    /// Parts are scarce for a client that will have this.
    fn parts(after: Share, may_take_any: bool) -> Scarcity {
        let (of_own, of_uploads, of_parts, most) = (false, false, true, share(9, 1000));
        Scarcity { of_own, of_uploads, of_parts, after, may_take_any, most }
    }

    #[test]
    fn idle_ones_make_room_first_then_untouched_ones_then_those_of_the_largest_share() {
        let scarcity = parts(share(2, 10), false);
        let rank = |idle, has_come, share| {
            scarcity.weigh(idle, has_come, share, false).map(|weight| weight.0)
        };
        assert_eq!(rank(IDLE, true, share(1, 5)), Some(Rank::Idle));
        assert_eq!(rank(NEW, false, share(1, 11)), Some(Rank::Untouched));
        assert_eq!(rank(NEW, true, share(1, 1000)), Some(Rank::Largest));
        assert!(Rank::Idle > Rank::Untouched && Rank::Untouched > Rank::Largest);
        // A client that has no more than the newcomer will have keeps its upload, though others have more uploads.
        assert_eq!(rank(NEW, false, share(9, 10)), None);
        assert_eq!(rank(NEW, true, share(9, 999)), None);
    }

    #[test]
    fn client_without_uploads_takes_any_untouched_one_unless_it_had_to_give_its_own() {
        let giant = share(1, 500);
        assert!(parts(giant, true).weigh(NEW, false, giant, false).is_some());
        assert!(parts(giant, false).weigh(NEW, false, giant, false).is_none());
        assert!(parts(giant, true).weigh(NEW, true, giant, false).is_none(), "parts have come");
    }

    #[test]
    fn own_uploads_make_room_only_if_they_are_idle() {
        let scarcity = Scarcity { of_own: true, ..parts(share(65, 10), false) };
        assert!(scarcity.weigh(IDLE, true, share(64, 1000), true).is_some());
        assert!(scarcity.weigh(NEW, false, share(64, 1000), true).is_none());
        // It has its share: nobody else makes room for it.
        assert!(scarcity.weigh(IDLE, false, share(1, 1000), false).is_none());
    }

    #[test]
    fn uploads_that_are_being_opened_are_of_the_share_of_their_client() {
        let mut table = Table::default();
        let (greedy, other) = (ClientId::alone("greedy"), ClientId::alone("other"));
        for upload in 0..MAX_OPEN_A_CLIENT {
            let owner = owner();
            let found = table.find_or_begin(&upload.to_string(), 10, &owner, &greedy);
            assert!(matches!(found, Ok(Found::Begun(_))), "{upload}");
        }
        assert!(table.make_room(1, &greedy).is_err());
        assert!(table.make_room(1, &other).is_ok());
        for upload in 0..MAX_OPEN_A_CLIENT {
            table.opened(&(upload.to_string(), greedy.clone(), 10));
        }
        assert!(table.make_room(1, &greedy).is_ok());
        assert_eq!((table.parts, table.opening.len(), table.busy.len()), (0, 0, 0));
    }

    fn owner() -> Owner {
        let (scope, attributes) = (Scope::default(), Attributes::default());
        Owner { token: Token([0; 16]), scope, attributes }
    }

    /// An upload of which nothing has come.
    fn upload(store: &Arc<Store>, key: &str) -> OpenUpload {
        let geometry = Geometry::new(5000, 1024).unwrap();
        let name = Name::parse(key.as_bytes()).unwrap();
        let partial = Key::new(&name, geometry, "f", (None, "i"));
        let opened = store.partial(&store.parents(), &partial, &name, (geometry, false), None);
        let Ok(Resumed::Partial(partial, _)) = opened else { panic!("{opened:?}") };
        let owner = owner();
        let room = store.reserve(&name, 0).unwrap();
        OpenUpload::new(key, name, owner, Upload::new(geometry, &[]), Ok(partial), room)
    }

    /// Otherwise an account would have as much as it has names for clients.
    #[test]
    fn new_client_of_an_account_takes_nothing_from_an_account_that_has_less() {
        let root = tempfile::tempdir().unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o022);
        let store = Arc::new(Store::open(root.path(), mode, false, 0).unwrap());
        let full = |of: fn(&str) -> ClientId| {
            let mut table = Table::default();
            for (number, key) in (0_u8..).zip(["one", "two"]) {
                let upload = Arc::new(upload(&store, key));
                let entry = Entry { upload, client: ClientId::of("bob", "c"), parts: 1 };
                table.open.insert(Token([number; 16]), entry);
            }
            for number in 0..MAX_OPEN - 2 {
                let client = of(&number.to_string());
                table.busy.insert(number.to_string());
                table.opening.insert(client, share(1, 1));
            }
            table.parts = MAX_OPEN;
            table
        };
        let alice = |client: &str| ClientId::of("alice", client);
        assert!(full(alice).make_room(1, &alice("new")).is_err());
        // A client of nobody's account has nothing yet, and one of bob's has as much as bob.
        assert_eq!(full(alice).make_room(1, &ClientId::of("carol", "new")).unwrap().len(), 1);
        assert_eq!(full(ClientId::alone).make_room(1, &ClientId::alone("new")).unwrap().len(), 1);
    }
}
