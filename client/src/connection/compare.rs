//! Asking what the server has: entries go out, a verdict comes back for each.
//!
//! Where bytes count, only files that the server has in the same size are read here, in a second round: what
//! is new or of another size is sent anyway.

use std::path::PathBuf;

use haul_protocol::{Attributes, Entry, EntryKind, Name, Op, Verdict, encode_entry};

use super::{Connection, Pending, foreseen_directory};
use crate::error::{ConnectionError, FileError};
use crate::plan::policy::Policy;
use crate::source::dir_cache::Nearby;
use crate::source::hashing::Hashing;
use crate::source::{Link, Source, attributes};
use crate::work::context::Run;
use crate::work::decide::{self, Action, Compared};
use crate::work::foreseen::Fate;
use crate::work::known::Known;
use crate::work::{Item, Kind, Stated};

/// Bytes of entries at which a request ends; one more always fits a body.
const FULL: usize = 1024 * 1024;

/// Items that the server may be asked about at once: some MiB here. More would not make a long line faster.
pub(super) const MOST: usize = 8192;

/// Bytes that are hashed before the connection is looked after.
const SLICE: u64 = 8 * 1024 * 1024;

/// Entries that are gathered for the next request.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    items: Vec<Item>,
    lines: Vec<u8>,
    /// Bytes of files that the server has to read for its answer.
    bytes: u64,
    hashing: Option<Unfinished>,
}

/// A file that is read to be compared.
#[derive(Debug)]
struct Unfinished {
    item: Item,
    source: Source,
    hashing: Hashing,
}

impl Gathered {
    /// Whether a file is half hashed; otherwise nothing is gathered.
    pub(super) fn is_unfinished(&self) -> bool {
        self.hashing.is_some()
    }

    /// All items, for others to compare.
    pub(super) fn leave(&mut self) -> Vec<Item> {
        let Self { mut items, hashing, .. } = std::mem::take(self);
        items.extend(hashing.map(|hashing| hashing.item));
        items
    }

    fn add(&mut self, item: Item, entry: &Entry) -> Result<(), ConnectionError> {
        encode_entry(entry, &mut self.lines)?;
        self.items.push(item);
        Ok(())
    }
}

impl Connection<'_> {
    /// Whether the first of this connection's items must be compared before it is sent.
    pub(super) fn must_check(&self) -> bool {
        self.gathered.is_unfinished()
            || self.batch.front().is_some_and(|item| self.is_compared(item))
    }

    /// Whether an item is a question about a directory above the others that may be asked.
    pub(super) fn asks_above(&self, item: &Item) -> bool {
        item.above && self.may_list
    }

    /// Whether the server is still to be asked what it has of an item.
    pub(super) fn is_compared(&self, item: &Item) -> bool {
        (self.asks_above(item) || self.run.policy.compares()) && item.is_unchecked()
    }

    /// Whether the next item goes into a request of its own: one that is blamed for the loss of a connection is asked about
    /// alone.
    fn is_alone(&self) -> bool {
        let Gathered { items, hashing, .. } = &self.gathered;
        let is_blamed = |item: &Item| item.tries.losses > 0;
        let is_next_blamed = self.batch.front().is_some_and(is_blamed);
        hashing.is_none() && items.last().is_some_and(|last| is_blamed(last) || is_next_blamed)
    }

    /// Asks for the first of this connection's items, as many as fit one request; or reads a little of what
    /// has to be read before.
    pub(super) fn check(&mut self) -> Result<(), ConnectionError> {
        let mut left = SLICE;
        while self.gathered.lines.len() < FULL && self.must_check() && !self.is_alone() {
            if let Some(mut file) = self.gathered.hashing.take() {
                match self.hash(&mut file, &mut left) {
                    Ok(true) => self.hashed(file)?,
                    Ok(false) => {
                        self.gathered.hashing = Some(file);
                        return self.say_still_there();
                    }
                    Err(error) => self.give_up(file.item, &error),
                }
                continue;
            }
            let Some(mut item) = self.batch.pop_front() else { break };
            if let (Known::Adjusted, Some(stated)) = (item.compared.known, item.compared.stated) {
                self.gather_stated(item, stated)?;
                continue;
            }
            // The server takes over at once whatever is the same, so bytes have to be known by then.
            let policy = self.run.policy;
            item.compared.by_digest |=
                policy.by_digest && policy.is_publish() && matches!(item.kind, Kind::File);
            // Without an mtime a stream of the same size would count as the same.
            item.compared.by_digest |= item.opened.as_ref().is_some_and(|opened| opened.is_bare());
            if item.compared.by_digest {
                match self.open(&item) {
                    Ok(source) => {
                        let hashing = Hashing::begin(&source, item.untrue, &self.run.hash_threads);
                        self.gathered.hashing = Some(Unfinished { item, source, hashing });
                    }
                    Err(error) => self.give_up(item, &error),
                }
                continue;
            }
            match entry(&mut item, &mut self.nearby, self.run) {
                Ok(entry) => self.gathered.add(item, &entry)?,
                Err(error) => self.give_up(item, &error),
            }
        }
        let Gathered { items, lines, bytes, .. } = std::mem::take(&mut self.gathered);
        if items.is_empty() {
            return Ok(());
        }
        self.asked += items.len();
        let op = match self.run.policy.is_publish() {
            true => Op::Adopt,
            false => Op::Check { reread: self.run.policy.rereads },
        };
        self.send_bundle()?;
        self.wire.request(Pending::Check(items), &op, &lines)?;
        self.wire.reads(bytes);
        Ok(())
    }

    /// Reads on, some `left` bytes; returns whether the file is over.
    fn hash(&mut self, file: &mut Unfinished, left: &mut u64) -> Result<bool, FileError> {
        let Unfinished { item, source, hashing } = file;
        while *left > 0 {
            let len = hashing.advance(source, item.untrue, &self.run.hash_threads)?;
            if len == 0 {
                source.check_unchanged()?;
                return Ok(true);
            }
            *left = left.saturating_sub(len);
            self.run.progress.hashed(len);
        }
        Ok(false)
    }

    /// Asks for a file by the facts that are stated about it.
    fn gather_stated(&mut self, item: Item, stated: Stated) -> Result<(), ConnectionError> {
        let Stated { attributes, size, digest } = stated;
        let Attributes { mode, mtime } = compared(attributes, self.run.policy);
        let (name, kind) = (item.name.clone(), EntryKind::File { size, digest });
        if digest.is_some() {
            self.gathered.bytes = self.gathered.bytes.saturating_add(size);
        }
        self.gathered.add(item, &Entry { name, kind, mode, mtime })
    }

    /// A file is hashed: it is asked for with its digest.
    fn hashed(&mut self, file: Unfinished) -> Result<(), ConnectionError> {
        let Unfinished { mut item, source, hashing } = file;
        let (digest, size) = match hashing.finish() {
            Ok((digest, size)) => (Some(digest), size),
            Err(error) => {
                self.give_up(item, &error);
                return Ok(());
            }
        };
        let stated = Stated { attributes: source.attributes, size, digest };
        item.compared.stated = Some(stated);
        self.gather_stated(item, stated)
    }

    /// Hashing may take longer than a server waits for a word.
    fn say_still_there(&mut self) -> Result<(), ConnectionError> {
        if self.wire.unanswered() == 0 {
            self.wire.expire()?;
        }
        Ok(())
    }

    /// The server's verdicts: exactly one letter for each item.
    pub(super) fn checked(&mut self, items: Vec<Item>, letters: &[u8]) {
        self.asked -= items.len();
        let (mut settled, mut opened) = (0, None);
        for (item, letter) in items.into_iter().zip(letters) {
            settled += self.judged(item, Verdict::from_letter(*letter), &mut opened);
        }
        if settled > 0 {
            self.run.work.settle(settled);
        }
    }

    /// One item with its verdict. Returns how many items are settled by it; the others go on. `opened`: the directory that was
    /// opened up last.
    fn judged(
        &mut self,
        mut item: Item,
        verdict: Option<Verdict>,
        opened: &mut Option<PathBuf>,
    ) -> usize {
        let (policy, course) = (self.run.policy, self.run.course);
        if matches!(item.kind, Kind::Remove(_)) {
            return self.looked_at_again(item, verdict);
        }
        if item.above {
            match verdict {
                Some(Verdict::Kind) => course.foreseen().tell(&item.name, Fate::Blocks),
                Some(Verdict::Missing) => course.found_missing(&item.name),
                _ => {}
            }
            return 1;
        }
        if item.compared.known == Known::Adjusted {
            return self.adjusted(item, verdict);
        }
        let mut compared = decide::compared(&item, verdict, false, policy);
        if compared == Compared::Doubtful {
            if self.is_untrue(&item) {
                item.untrue = true;
                self.batch.push_back(item);
                return 0;
            }
            compared = decide::compared(&item, verdict, true, policy);
        }
        match compared {
            Compared::Undecided => item.compared.by_digest = true,
            Compared::Settled => {
                self.settled(&item, verdict);
                return 1;
            }
            Compared::Doubtful | Compared::Differs => self.differs(&mut item, verdict, opened),
        }
        self.batch.push_back(item);
        0
    }

    /// The server has an item as it is here.
    fn settled(&self, item: &Item, verdict: Option<Verdict>) {
        let Run { policy, course, progress, committed, .. } = self.run;
        let is_directory = matches!(item.kind, Kind::Directory(_));
        if is_directory {
            course.unmade().settled(&item.name);
        }
        if policy.dry_run && is_directory && verdict == Some(Verdict::Kind) {
            course.foreseen().tell(&item.name, Fate::Blocks);
        }
        if policy.dry_run && matches!(item.kind, Kind::Attributes(_)) {
            foreseen_directory::settled(item, verdict, self.run);
        }
        // It got another mode, and then this one.
        if matches!(item.kind, Kind::Attributes(_))
            && !policy.is_publish()
            && course.has_changed_mode(&item.name)
        {
            progress.directory_done(&item.name);
        }
        let is_again = course.is_again();
        if matches!(item.kind, Kind::File | Kind::Link)
            && (!is_again || course.has_waited(&item.path))
        {
            progress.unchanged(item.compared.stated.map_or(0, |stated| stated.size));
        }
        if (!is_again || policy.is_publish())
            && let Some(Stated { digest: Some(digest), .. }) = item.compared.stated
        {
            committed.verified(&item.path, &item.name, digest, progress);
        }
    }

    /// The server has another item than here, or none.
    fn differs(&mut self, item: &mut Item, verdict: Option<Verdict>, opened: &mut Option<PathBuf>) {
        let Run { policy, course, progress, .. } = self.run;
        item.compared.known = verdict.into();
        let is_put = matches!(item.kind, Kind::File | Kind::Link);
        if course.is_again() && is_put {
            progress.found(item.compared.stated.map_or(0, |stated| stated.size));
        }
        // Mode and mtime of a file can be set in any directory.
        let is_put = is_put && !matches!(decide::decide(item, policy), Action::Adjust(_));
        if item.inside && is_put && !policy.dry_run {
            self.open_up(item, opened);
        }
    }

    /// Whether a file has another size than it says. What can't be read is told when it is sent.
    fn is_untrue(&mut self, item: &Item) -> bool {
        let checked = self.open(item).and_then(|source| source.check_end());
        matches!(checked, Err(FileError::Size))
    }

    /// A directory that its owner may not write to is opened up before something is put into it; its
    /// attributes come in the end, as always.
    pub(super) fn open_up(&mut self, item: &Item, opened: &mut Option<PathBuf>) {
        let (Some(parent), Ok(name)) = (item.path.parent(), Name::parse(item.name.split().0))
        else {
            return;
        };
        if opened.as_deref() == Some(parent) {
            return;
        }
        *opened = Some(parent.to_owned());
        let mode =
            self.run.policy.links.look(parent).ok().and_then(|found| attributes(&found).mode);
        if let Some(mode) = mode.filter(|mode| mode & 0o700 != 0o700) {
            let kind = Kind::Directory(Some(mode | 0o700));
            let mut directory = Item::new(parent.to_owned(), name, kind);
            directory.compared.known = Known::Is(Verdict::Mode);
            self.run.work.found(1);
            self.batch.push_back(directory);
        }
    }
}

/// Size and attributes of a file that is read to its end for that.
pub(super) fn measured(
    item: &Item,
    nearby: &mut Nearby<'_>,
    run: &Run<'_>,
) -> Result<(u64, Attributes), FileError> {
    let source = Source::of(nearby.open(&item.path, run.policy.links)?)?;
    let size = source.measure(&|| run.work.is_stopped())?;
    Ok((size, source.attributes))
}

/// The part of mode and mtime that is compared.
fn compared(attributes: Attributes, policy: &Policy) -> Attributes {
    if policy.verifies() { Attributes::default() } else { attributes }
}

/// An item as it is now.
fn entry(item: &mut Item, nearby: &mut Nearby<'_>, run: &Run<'_>) -> Result<Entry, FileError> {
    let policy = run.policy;
    let look = FileError::local("look at");
    let (kind, of) = match &item.kind {
        Kind::Link => {
            let Link { target, mtime, .. } = nearby.link(&item.path, policy.links)?;
            (EntryKind::Link { target }, Attributes { mode: None, mtime })
        }
        Kind::Directory(_) if item.above => (EntryKind::Directory, Attributes::default()),
        Kind::Directory(_) => {
            // One that is not writable becomes so only if something is put into it.
            let mode = attributes(&policy.links.look(&item.path).map_err(look)?).mode;
            let mode = mode.filter(|mode| mode & 0o700 == 0o700);
            (EntryKind::Directory, Attributes { mode, mtime: None })
        }
        Kind::Attributes(attributes) => (EntryKind::Directory, *attributes),
        _ => {
            let (size, attributes) = match &item.opened {
                Some(opened) => {
                    let source = opened.source()?;
                    (source.size, source.attributes)
                }
                None if item.untrue => measured(item, nearby, run)?,
                None => {
                    let found = nearby.look(&item.path, policy.links)?;
                    found.ok_or(FileError::Changed)?
                }
            };
            item.compared.stated = Some(Stated { attributes, size, digest: None });
            (EntryKind::File { size, digest: None }, attributes)
        }
    };
    let Attributes { mode, mtime } = compared(of, policy);
    Ok(Entry { name: item.name.clone(), kind, mode, mtime })
}
