//! One connection: takes work, reads and hashes sources, sends requests, and reads answers while it
//! writes.
//!
//! One thread and one poller do both directions: a peer that is blocked in a write with answers
//! unread is a deadlock.

mod answers;
mod link;

use std::collections::VecDeque;
use std::sync::Arc;

use haul_protocol::{
    Cv, Digest, EncodeError, Op, Requester, Token, Wanted, encode,
    limits::{MAX_BODY_LEN, MIN_PART_LEN},
};

use crate::error::{ConnectionError, FileError, Retry};
use crate::source::{self, Source};
use crate::transfer::{Large, Run};
use crate::work::{Item, Kind, Taken, Task};
use link::Link;

/// Bytes of requests that are gathered before they are sent in one write.
const GATHER: usize = 256 * 1024;

/// Bodies up to this are copied behind their header; larger ones are sent from where they are.
const COPIED: usize = 64 * 1024;

/// What a request was about.
#[derive(Debug)]
enum Pending {
    /// A file, link, directory or attributes; and the size of a file.
    Item(Item, u64),
    /// An announced large file.
    Open(Item, Source),
    Part(Arc<Large>, usize, Cv),
    Commit(Arc<Large>),
    /// Nobody waits for the answer.
    Other,
}

/// One connection of a run.
#[derive(Debug)]
struct Connection<'a> {
    run: &'a Run<'a>,
    link: Link,
    book: Requester<Pending>,
    max_file: u64,
    /// Items that are this connection's to send.
    batch: VecDeque<Item>,
    /// The body that is being read.
    body: Vec<u8>,
    /// The body of the answer that is being read.
    answer: Option<answers::Unfinished>,
}

/// Connects and works until there is nothing left to do.
///
/// # Errors
/// If the connection can't be made or breaks, or the run is stopped.
pub fn run(run: &Run<'_>, slot: usize) -> Result<(), ConnectionError> {
    let mut link = Link::connect(run.server)?;
    let number = run.work.register(link.waker());
    let hello = match link.hello(run, slot) {
        Ok(Some(hello)) => hello,
        // The others have done everything meanwhile.
        Ok(None) => return Ok(()),
        // A server with no room for one more connection still serves the first.
        Err(error) if run.durability.get().is_some() && !run.work.is_stopped() => {
            run.progress.message(&format_args!("haul: one connection less: {error}"));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let _ = run.durability.set(hello.durability);
    let mut connection = Connection {
        run,
        link,
        book: Requester::new(&hello.limits),
        max_file: hello.limits.max_file,
        batch: VecDeque::new(),
        body: Vec::new(),
        answer: None,
    };
    connection.work(number)
}

impl Connection<'_> {
    fn work(&mut self, number: usize) -> Result<(), ConnectionError> {
        loop {
            if self.run.work.is_stopped() {
                return Err(ConnectionError::Stopped);
            }
            let mut waiting_for_work = false;
            while self.link.gathered() < GATHER && self.book.has_room(MAX_BODY_LEN) {
                match self.next(number) {
                    Some(task) => self.send(task)?,
                    None => {
                        waiting_for_work = true;
                        break;
                    }
                }
            }
            let wrote = match self.link.write() {
                Ok(wrote) => wrote,
                // The server may have said why before it closed.
                Err(error) => {
                    self.read()?;
                    return Err(error);
                }
            };
            let read = self.read()?;
            if waiting_for_work && self.book.unanswered() == 0 && self.run.work.is_finished() {
                return Ok(());
            }
            if !wrote && !read && (waiting_for_work || self.link.is_blocked() || !self.has_room()) {
                let idle = self.book.unanswered() == 0;
                if self.link.wait(idle, self.run.work.due_in())? {
                    self.request(Pending::Other, &Op::Ping)?;
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        self.book.has_room(MAX_BODY_LEN)
    }

    fn next(&mut self, number: usize) -> Option<Task> {
        let has_items = !self.batch.is_empty();
        if !has_items || self.run.work.has_urgent() {
            match self.run.work.take(number, has_items) {
                Some(Taken::Task(task)) => return Some(task),
                Some(Taken::Batch(batch)) => self.batch = batch.into(),
                None => {}
            }
        }
        self.batch.pop_front().map(Task::Item)
    }

    fn send(&mut self, task: Task) -> Result<(), ConnectionError> {
        match task {
            Task::Item(item) => match self.send_item(&item) {
                Ok(()) => Ok(()),
                Err(Failure::File(error)) => {
                    self.give_up(item, &error);
                    Ok(())
                }
                Err(Failure::Connection(error)) => Err(error),
            },
            Task::Part(large, index) => match self.read_part(&large, index) {
                Ok(cv) => {
                    let op = Op::Part {
                        upload: large.upload,
                        offset: large.geometry.range(index).map_or(0, |range| range.start),
                        cv,
                    };
                    self.request_with_body(Pending::Part(large, index, cv), &op)
                }
                Err(error) => {
                    self.end_large(&large, &error);
                    Ok(())
                }
            },
            Task::Commit(large) => match large.digest() {
                Some(digest) => {
                    let op = Op::Commit { upload: large.upload, digest };
                    self.request(Pending::Commit(large), &op)
                }
                None => Ok(()),
            },
            Task::Abort(upload) => self.request(Pending::Other, &Op::Abort { upload }),
        }
    }

    fn send_item(&mut self, item: &Item) -> Result<(), Failure> {
        let name = item.name.clone();
        let op = match item.kind {
            Kind::File => return self.send_file(item),
            Kind::Directory(mode) => Op::Mkdir { name, mode },
            Kind::Attributes(attributes) => Op::Setattr { name, attributes },
            Kind::Link => {
                let (target, mtime) = source::link(&item.path)?;
                Op::Symlink { name, target, mtime }
            }
        };
        Ok(self.request(Pending::Item(item.clone(), 0), &op)?)
    }

    fn send_file(&mut self, item: &Item) -> Result<(), Failure> {
        let source = Source::open(&item.path)?;
        let size = source.size;
        if size > self.max_file {
            return Err(FileError::TooLarge { size, max: self.max_file }.into());
        }
        let name = item.name.clone();
        if source.special_bits && item.attempts == 0 {
            self.run.progress.special_bits_dropped();
        }
        if size > MIN_PART_LEN {
            if !self.run.work.begin_large(item) {
                return Ok(());
            }
            let wanted = Wanted {
                name,
                size,
                attributes: source.attributes,
                fingerprint: source.fingerprint(),
            };
            let op = Op::Open(Box::new(wanted));
            return Ok(self.request(Pending::Open(item.clone(), source), &op)?);
        }
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        source.read(0, len, &mut self.body)?;
        source.check_unchanged()?;
        let digest = Digest::of(&self.body);
        let op = Op::Put { name, size, digest, attributes: source.attributes };
        Ok(self.request_with_body(Pending::Item(item.clone(), size), &op)?)
    }

    /// Reads a part into the body and hashes it.
    fn read_part(&mut self, large: &Large, index: usize) -> Result<Cv, FileError> {
        let range = large.geometry.range(index).ok_or(FileError::Changed)?;
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        large.source.read(range.start, len, &mut self.body)?;
        let mut hasher = large.geometry.hasher(index).ok_or(FileError::Changed)?;
        if !hasher.update(&self.body) {
            return Err(FileError::Changed);
        }
        hasher.finish().ok_or(FileError::Changed)
    }

    fn request(&mut self, pending: Pending, op: &Op) -> Result<(), ConnectionError> {
        encode::request(self.book.next_id(), 0, op, self.link.out()).map_err(encoding)?;
        self.book.sent(pending, op.is_change(), 0);
        Ok(())
    }

    /// Sends a request whose body is `self.body`.
    fn request_with_body(&mut self, pending: Pending, op: &Op) -> Result<(), ConnectionError> {
        let len = self.body.len() as u64;
        encode::request(self.book.next_id(), len, op, self.link.out()).map_err(encoding)?;
        self.book.sent(pending, op.is_change(), len);
        self.run.progress.sent(len);
        if self.body.len() <= COPIED {
            self.link.out().extend_from_slice(&self.body);
        } else {
            self.link.follow(&mut self.body);
        }
        Ok(())
    }

    /// An item did not arrive: again, if that can help.
    fn give_up(&self, mut item: Item, error: &FileError) {
        let (work, progress) = (self.run.work, self.run.progress);
        item.attempts += 1;
        match error.retry(matches!(item.kind, Kind::Directory(_))) {
            Retry::Now(times) if item.attempts <= times => work.add_urgent(Task::Item(item)),
            Retry::Later(times, pause) if item.attempts <= times => work.add_delayed(item, pause),
            Retry::Last(times) if item.attempts <= times => work.add_last(item),
            _ => {
                progress.failed(&item.path, error);
                work.settle(1);
            }
        }
    }

    /// A large file did not arrive: from the beginning, if that can help.
    fn end_large(&self, large: &Large, error: &FileError) {
        if large.end() {
            self.abort(large.upload);
            self.run.work.end_large();
            self.give_up(large.item.clone(), error);
        }
    }

    fn abort(&self, upload: Token) {
        self.run.work.add_urgent(Task::Abort(upload));
    }
}

/// What ends the sending of one item.
enum Failure {
    File(FileError),
    Connection(ConnectionError),
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(error)
    }
}

/// Everything that is sent was checked before, so this is a bug of ours; it must not pass silently.
fn encoding(error: EncodeError) -> ConnectionError {
    ConnectionError::Lost(std::io::Error::other(error))
}
