//! Listing: the entries of a directory, some of them a turn.

pub(super) mod ahead;

use std::sync::{Arc, Weak};

use haul_protocol::{Entry, Name};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::Store;
use super::error::StoreError;
use super::look::{Found, look, missing};
use super::root::Parents;
use crate::accounts::ClientId;
use ahead::{Names, Sorting, Stamp};

/// Whether a list is long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enough {
    /// No entry more, for now.
    Yes,
    /// On with it.
    No,
}

/// A list of a directory under way. It takes as many turns as it needs: a directory may have millions of entries.
#[derive(Debug)]
pub(crate) struct Listing {
    /// The client that asks: all that the store knows of clients.
    client: ClientId,
    /// `None`: the root.
    directory: Option<Name>,
    /// The last component of the last name that was looked at.
    after: Box<[u8]>,
    state: State,
    /// Entries since the begin that no name can say.
    left_out: u64,
    /// The answer has an entry: otherwise a client could not ask on.
    any: bool,
}

#[derive(Debug)]
enum State {
    /// The names have to be found.
    Begun,
    /// The directory is being read. Its handle is that of an earlier turn: it is looked at anew whether it still is the
    /// directory of that name.
    Sorting(Box<Sorting>),
    /// The first so many names have been looked at.
    Looking(Known, usize),
}

/// Names that a list has found.
#[derive(Debug)]
enum Known {
    /// This list has read them: they count as its memory.
    Own(Arc<Names>),
    /// Another list has read them. If the store and the other list have forgotten them between two turns, this list reads
    /// the directory itself: names that count as nobody's memory are held by nobody.
    Shared(Weak<Names>),
}

impl Known {
    fn get(&self) -> Option<Arc<Names>> {
        match self {
            Self::Own(names) => Some(Arc::clone(names)),
            Self::Shared(names) => names.upgrade(),
        }
    }
}

/// The state of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    /// It goes on in another turn.
    NotYet,
    /// It is over, and there is more to ask for or not.
    Over {
        /// There is.
        more: bool,
        /// Entries of the part that is over that no name can say.
        left_out: u64,
    },
}

impl Listing {
    /// A list of the entries of a directory (`None`: the root) after the name `after`.
    pub(crate) fn new(client: &ClientId, directory: Option<Name>, after: Option<&Name>) -> Self {
        let after = after.map_or(&b""[..], |name| name.split().1).into();
        Self {
            client: client.clone(),
            directory,
            after,
            state: State::Begun,
            any: false,
            left_out: 0,
        }
    }

    /// Whether it has a directory open.
    pub(crate) fn is_reading(&self) -> bool {
        matches!(self.state, State::Sorting(_))
    }

    /// Bytes of memory that it takes between two turns. The store keeps only the names of few lists: all other names are
    /// held by the list that has read them.
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.state {
            State::Sorting(sorting) => sorting.held_bytes(),
            State::Looking(Known::Own(names), _) => names.held_bytes(),
            State::Begun | State::Looking(Known::Shared(_), _) => 0,
        }
    }

    /// Gives the entries that follow, sorted by bytes, to `each`, until that says that it is enough or `is_over` that the
    /// turn is.
    pub(crate) fn advance(
        &mut self,
        store: &Store,
        parents: &Parents,
        is_over: &dyn Fn() -> bool,
        mut each: impl FnMut(&Entry) -> Enough,
    ) -> Result<Listed, StoreError> {
        let path = self.directory.as_ref().map_or(&b""[..], Name::as_bytes);
        if let (State::Begun, Some(directory)) = (&self.state, &self.directory) {
            store.check_spelling(parents, directory).map_err(missing)?;
        }
        let mut handle = parents.existing(path)?;
        let mut stat = rustix::fs::fstat(&handle).map_err(|errno| self.failed(errno))?;
        // A directory that was removed after an earlier request of this turn looks empty by its handle.
        if stat.st_nlink == 0 {
            parents.clear();
            handle = parents.existing(path)?;
            stat = rustix::fs::fstat(&handle).map_err(|errno| self.failed(errno))?;
        }
        let stamp = Stamp::of(&stat);
        loop {
            let read = (&*handle, stamp);
            let names = self.names(store, read, is_over);
            let Some((names, at)) = names.map_err(|errno| self.failed(errno))? else {
                return Ok(Listed::NotYet);
            };
            let Some(last) = names.get(at) else {
                // All of them may have gone since; a client could not ask on from nothing.
                if self.any || !names.has_more(at) {
                    return Ok(self.over(store, &names, at));
                }
                self.state = State::Begun;
                continue;
            };
            let at = at + 1;
            self.looked_at(at);
            let name = match &self.directory {
                Some(directory) => directory.join(last),
                None => Name::parse(last),
            };
            self.after = last.into();
            // The server's own directory has no name.
            let is_own = self.directory.is_none() && last == b".haul";
            self.left_out += u64::from(name.is_err() && !is_own);
            if let Ok(name) = name
                && let Some(Found { kind, mode, mtime }) = look(&store.rights, &handle, &name)?
            {
                self.any = true;
                if each(&Entry { name, kind, mode, mtime }) == Enough::Yes {
                    return Ok(self.over(store, &names, at));
                }
            }
            // In a directory that must be opened up for it, each is dear.
            if is_over() {
                return Ok(Listed::NotYet);
            }
        }
    }

    /// The names of the directory that is open, and how many of them have been looked at. `None`: they are not all read, and
    /// the turn is over.
    fn names(
        &mut self,
        store: &Store,
        (handle, stamp): (&OwnedFd, Stamp),
        is_over: &dyn Fn() -> bool,
    ) -> Result<Option<(Arc<Names>, usize)>, Errno> {
        loop {
            self.state = match std::mem::replace(&mut self.state, State::Begun) {
                State::Begun => match store.ahead.find(&self.client, stamp, &self.after) {
                    Some((names, at)) => State::Looking(Known::Shared(Arc::downgrade(&names)), at),
                    None => {
                        let begin = || Sorting::begin(handle, stamp, &self.after);
                        State::Sorting(Box::new(store.rights.in_directory(handle, begin)?))
                    }
                },
                // Another directory has this name by now.
                State::Sorting(sorting) if sorting.directory() != stamp.directory => State::Begun,
                State::Sorting(mut sorting) => {
                    if !sorting.advance(is_over)? {
                        self.state = State::Sorting(sorting);
                        return Ok(None);
                    }
                    let names = Arc::new(sorting.sorted());
                    store.ahead.keep(&self.client, &names, &self.after);
                    State::Looking(Known::Own(names), 0)
                }
                State::Looking(known, at) => match known.get() {
                    Some(names) => {
                        self.state = State::Looking(known, at);
                        return Ok(Some((names, at)));
                    }
                    None => State::Begun,
                },
            };
        }
    }

    fn failed(&self, errno: Errno) -> StoreError {
        let path = self.directory.as_ref().map_or(&b""[..], Name::as_bytes);
        StoreError::at("read directory", String::from_utf8_lossy(path).into_owned(), errno)
    }

    /// So many of the names have been looked at.
    fn looked_at(&mut self, count: usize) {
        if let State::Looking(_, at) = &mut self.state {
            *at = count;
        }
    }

    /// The answer has all entries that fit.
    fn over(&self, store: &Store, names: &Arc<Names>, at: usize) -> Listed {
        store.ahead.keep(&self.client, names, &self.after);
        Listed::Over { more: names.has_more(at), left_out: self.left_out }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustix::fs::Mode;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn turn_looks_at_the_clock_after_each_entry_of_a_list() {
        let place = TempDir::new().unwrap();
        let store = Store::open(place.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        for number in 0..20 {
            fs::write(place.path().join(number.to_string()), "").unwrap();
        }
        let mut listing = Listing::new(&ClientId::alone("client"), None, None);
        let (mut turns, entries) = (0, AtomicUsize::new(0));
        loop {
            let listed = listing.advance(&store, &store.parents(), &|| true, |_| {
                entries.fetch_add(1, Ordering::Relaxed);
                Enough::No
            });
            turns += 1;
            if listed.unwrap() != Listed::NotYet {
                break;
            }
        }
        assert_eq!(entries.into_inner(), 20);
        assert!(turns >= 20, "{turns} turns");
    }

    /// Entries of a directory, the first of which an earlier list was given.
    const ENTRIES: usize = 3 * GIVEN;
    const GIVEN: usize = 64;

    fn store(root: &TempDir) -> Store {
        for number in 0..ENTRIES {
            fs::write(root.path().join(format!("{number:0200}")), "").unwrap();
        }
        Store::open(root.path(), Mode::from_raw_mode(0o022), false, 0).unwrap()
    }

    /// One turn, whose time is over as soon as it looks at the clock; returns the entries that it has given.
    fn turn(listing: &mut Listing, store: &Store) -> (Listed, usize) {
        let mut given = 0;
        let each = |_: &Entry| {
            given += 1;
            Enough::No
        };
        let listed = listing.advance(store, &store.parents(), &|| true, each).unwrap();
        (listed, given)
    }

    /// Turns until the names are read and the first of them looked at.
    fn look(listing: &mut Listing, store: &Store) {
        while !matches!(listing.state, State::Looking(..)) {
            assert_eq!(turn(listing, store).0, Listed::NotYet);
        }
    }

    #[test]
    fn names_are_counted_by_the_list_that_has_read_them() {
        let root = TempDir::new().unwrap();
        let store = store(&root);
        let mut lists: Vec<_> = (0..10)
            .map(|number| Listing::new(&ClientId::alone(&format!("client {number}")), None, None))
            .collect();
        for (number, listing) in lists.iter_mut().enumerate() {
            // No list is given what another one has read.
            fs::write(root.path().join(format!("new {number}")), "").unwrap();
            look(listing, &store);
            assert!(listing.held_bytes() >= ENTRIES * 200, "{} bytes", listing.held_bytes());
        }
    }

    #[test]
    fn names_that_another_list_has_read_are_not_held_between_two_turns() {
        let root = TempDir::new().unwrap();
        let store = store(&root);
        let (mut first, mut given) = (Listing::new(&ClientId::alone("first"), None, None), 0);
        while let (Listed::NotYet, _) = turn(&mut first, &store) {}
        // It goes on where the first one was given all names up to here.
        let after = Name::parse(format!("{:0200}", GIVEN - 1).as_bytes()).unwrap();
        let State::Looking(known, _) = &first.state else { panic!("{first:?}") };
        store.ahead.keep(&ClientId::alone("second"), &known.get().unwrap(), after.as_bytes());
        let mut second = Listing::new(&ClientId::alone("second"), None, Some(&after));
        given += turn(&mut second, &store).1;
        assert!(matches!(second.state, State::Looking(Known::Shared(_), _)), "{second:?}");
        assert_eq!(second.held_bytes(), 0);
        // All others forget them; the list is whole nevertheless.
        drop(first);
        for number in 0..8 {
            fs::write(root.path().join(format!("new {number}")), "").unwrap();
            look(&mut Listing::new(&ClientId::alone("other"), None, None), &store);
        }
        let State::Looking(known, _) = &second.state else { panic!("{second:?}") };
        assert!(known.get().is_none());
        loop {
            let (listed, more) = turn(&mut second, &store);
            given += more;
            if listed != Listed::NotYet {
                break;
            }
        }
        assert_eq!(given, ENTRIES - GIVEN + 8);
        assert!(second.held_bytes() > 0);
    }
}
