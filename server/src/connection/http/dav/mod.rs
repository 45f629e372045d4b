//! Requests of WebDAV: properties told and set, copies, and locks as a formality.
//!
//! `told` tells properties; `tree` changes many entries for one request, which `walk` finds; `failed` are those that stay.

pub(in crate::connection) mod told;
pub(in crate::connection) mod tree;

use haul_protocol::{Code, EntryKind, LinkTarget, Name, Right, Rights};

use super::asked::{Asked, Refused};
use super::change::{Destination, learning, no_parent};
use super::directory::Directory;
use crate::connection::Connection;
use crate::connection::file_body::within;
use crate::connection::job::Job;
use crate::connection::turn::Turn;
use crate::http::dav::asked::{Edit, Plan, Wanted};
use crate::http::dav::condition::holds;
use crate::http::dav::lock::{self, Lock};
use crate::http::dav::properties;
use crate::http::head::{Field, Head};
use crate::http::method::Method;
use crate::http::response::{Length, Response};
use crate::http::status::{Status, Wrong};
use crate::http::target::address;
use crate::refusal::Refusal;
use crate::store::{Change, Replaces, meet};
use crate::uploads::random_token;
use told::{Told, head};
use tree::{Answer, Task, Tree};

/// How far below a directory a request reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Zero,
    One,
    Infinity,
}

fn depth(head: &Head) -> Result<Depth, Wrong> {
    match head.field(Field::Depth) {
        Some("0") => Ok(Depth::Zero),
        Some("1") => Ok(Depth::One),
        None => Ok(Depth::Infinity),
        Some(word) if word.eq_ignore_ascii_case("infinity") => Ok(Depth::Infinity),
        Some(_) => Err(Wrong::bad("Depth is 0, 1 or infinity")),
    }
}

impl Connection {
    /// Before the body of a request: whether its condition holds, and of one for the network drive whether there is a directory
    /// for the entry that it makes. All other addresses have missing directories made.
    pub(super) fn dav_allows(&self, asked: &Asked, turn: &Turn<'_>) -> Result<(), Refused> {
        let method = asked.head.method;
        if method.changes()
            && !matches!(method, Method::Lock | Method::Unlock)
            && let Some(field) = asked.head.field(Field::If)
        {
            holds(field)?;
        }
        let makes = matches!(method, Method::Put | Method::Mkcol);
        if let Some(name) = asked.target.name.as_ref()
            && makes
            && asked.target.is_drive
            && self.may_learn()
        {
            turn.services.store.refresh(&turn.base.parents);
            if !self.has_parent(name, turn)? {
                return Err(no_parent().into());
            }
        }
        Ok(())
    }

    /// Properties of an entry, or of a directory and all entries right in it.
    pub(super) fn dav_propfind(
        &mut self,
        asked: &Asked,
        body: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), Refused> {
        let wanted = Wanted::parse(body)?;
        let depth = depth(&asked.head)?;
        let name = asked.target.name.as_ref();
        let inward = turn.base.view.directory(name.cloned())?;
        let found = turn.services.store.properties(&turn.base.parents, inward.as_ref())?;
        let missing = Wrong::new(Status::NOT_FOUND, "no entry has that name");
        let found = found.ok_or(missing)?;
        if !found.is_directory && asked.target.is_directory {
            return Err(missing.into());
        }
        let is_directory = found.is_directory;
        if is_directory && depth == Depth::Infinity {
            let text = properties::error("propfind-finite-depth");
            self.answer_document(Status::FORBIDDEN, &text);
            return Ok(());
        }
        let room = if wanted.has_room() { self.room(turn) } else { None };
        let told = Told::begin(wanted, asked.target.is_drive, room, (name, found));
        if is_directory && depth == Depth::One {
            let client = self.http().map(|http| http.client.clone()).unwrap_or_default();
            let listing = Directory::of_properties(told, client, asked, &turn.base.view)?;
            self.job = Some(Job::Directory(Box::new(listing)));
        } else {
            let mut told = told;
            let text = told.take_begin() + properties::END;
            self.answer_document(Status::MULTI, &text);
        }
        Ok(())
    }

    /// Bytes that the client may still put, and those that are there: by its quota, or on the whole file system.
    fn room(&self, turn: &Turn<'_>) -> Option<(u64, u64)> {
        let store = &turn.services.store;
        let whole = store.free_and_used();
        let quota = self.login.as_ref().and_then(|login| {
            let usage = store.quotas.of(login.account.name.as_str())?;
            usage.told().0
        });
        match quota {
            Some(bytes) => {
                let left = bytes.quota.saturating_sub(bytes.used);
                Some((whole.map_or(left, |(free, _)| free.min(left)), bytes.used))
            }
            None => whole,
        }
    }

    /// Properties that only clients know, and the mtime.
    pub(super) fn dav_proppatch(
        &mut self,
        asked: &Asked,
        body: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), Refused> {
        let edits = Edit::parse(body)?;
        let plan = Plan::of(&edits);
        let name = turn.base.view.inward(asked.name()?)?;
        let stands = turn.services.store.kind(&turn.base.parents, &name)?;
        let missing = Wrong::new(Status::NOT_FOUND, "no entry has that name");
        let stands = stands.ok_or(missing)?;
        self.is_as_addressed(&asked.target, Some(&stands))?;
        let is_file = !matches!(stands, EntryKind::Directory);
        let address = address(asked.target.is_drive, asked.target.name.as_ref(), !is_file);
        if !plan.refused.is_empty() {
            let status = |at| {
                let refused = plan.refused.iter().find(|(refused, _)| *refused == at);
                refused.map_or(Status::FAILED_DEPENDENCY, |(_, status)| *status)
            };
            let tags = edits.iter().map(|edit| &edit.tag);
            self.answer_document(Status::MULTI, &properties::edited(&address, tags, status));
            return Ok(());
        }
        let Plan { modified, kept, .. } = plan;
        let replaces = Replaces::Anything;
        let change =
            Change::Properties { name: name.clone(), is_file, edits: kept, modified, replaces };
        let answer = Answer::Edited(address, edits.into_iter().map(|edit| edit.tag).collect());
        self.begin_tree(asked, vec![Task::Change(name, Box::new(change))], answer);
        Ok(())
    }

    /// A copy of a file, of a directory, or of a directory with all in it.
    pub(super) fn dav_copy(&mut self, asked: &Asked, turn: &mut Turn<'_>) -> Result<(), Refused> {
        let depth = depth(&asked.head)?;
        let Destination { name, moved, to, stands, .. } = self.destination(asked, turn)?;
        if depth == Depth::One {
            return Err(Wrong::bad("the Depth of COPY is 0 or infinity").into());
        }
        let is_directory = matches!(moved, EntryKind::Directory);
        if is_directory {
            self.may(learning())?;
        }
        if meet(&name, &to) && (is_directory || stands.is_some()) {
            return Err(Wrong::new(Status::FORBIDDEN, "one of the two is in the other").into());
        }
        let mut tasks = Vec::new();
        if matches!(stands, Some(EntryKind::Directory)) {
            self.may_remove_tree(asked)?;
            self.may_take_place(&moved, &to, turn)?;
            if let EntryKind::File { size, .. } = moved {
                within(size, turn.services.tuning().limits.max_file)?;
                // Its room and its place in the quota; what is begun here goes at once.
                drop(turn.services.store.begin_copy(&turn.base.parents, &name, &to)?);
            }
            tasks.push(Task::Remove(to.clone()));
        }
        let answer = Answer::Plain(self.success(stands.is_some()));
        tasks.push(Task::Copy { name, to, is_deep: depth == Depth::Infinity });
        self.begin_tree(asked, tasks, answer);
        Ok(())
    }

    /// A directory goes with all in it.
    pub(super) fn dav_delete(&mut self, asked: &Asked, name: Name) -> Result<(), Refused> {
        if depth(&asked.head)? != Depth::Infinity {
            return Err(Wrong::bad("a directory is deleted with all in it").into());
        }
        let answer = Answer::Plain(Status::NO_CONTENT);
        self.begin_tree(asked, vec![Task::Remove(name)], answer);
        Ok(())
    }

    /// An entry gets the name of a directory, or a directory that of another entry, which goes.
    pub(super) fn dav_move(
        &mut self,
        asked: &Asked,
        (name, moved, to): (&Name, &EntryKind, &Name),
        success: Status,
        change: Change,
        turn: &Turn<'_>,
    ) -> Result<(), Refused> {
        if meet(name, to) {
            return Err(Wrong::new(Status::FORBIDDEN, "one of the two is in the other").into());
        }
        self.may_remove_tree(asked)?;
        if !matches!(moved, EntryKind::File { .. } | EntryKind::Link { .. } | EntryKind::Directory)
        {
            return Err(odd().into());
        }
        let mut tasks = Vec::new();
        if self.must_look((name, to), moved, turn) {
            tasks.push(Task::Look { name: name.clone(), to: to.clone() });
        }
        tasks.extend([Task::Remove(to.clone()), Task::Change(name.clone(), Box::new(change))]);
        self.begin_tree(asked, tasks, Answer::Plain(success));
        Ok(())
    }

    /// A directory gets another name after a look at all symlinks in it.
    pub(super) fn dav_look_and_move(
        &mut self,
        asked: &Asked,
        (name, to): (&Name, &Name),
        success: Status,
        change: Change,
    ) {
        let look = Task::Look { name: name.clone(), to: to.clone() };
        let tasks = vec![look, Task::Change(name.clone(), Box::new(change))];
        self.begin_tree(asked, tasks, Answer::Plain(success));
    }

    /// Whether symlinks in a directory could lead out if it got this name.
    pub(super) fn must_look(
        &self,
        (name, to): (&Name, &Name),
        moved: &EntryKind,
        turn: &Turn<'_>,
    ) -> bool {
        let is_directory = matches!(moved, EntryKind::Directory);
        is_directory && !self.symlinks(turn).may_move_unseen(name, to)
    }

    /// Whether a copy of such an entry could take the place of a directory, which goes before the copy is made: a request that
    /// is refused removes nothing.
    fn may_take_place(
        &self,
        copied: &EntryKind,
        to: &Name,
        turn: &Turn<'_>,
    ) -> Result<(), Refused> {
        match copied {
            EntryKind::File { .. } | EntryKind::Directory => Ok(()),
            EntryKind::Link { target } => Ok(self.may_link(to, target, turn)?),
            _ => Err(odd().into()),
        }
    }

    /// Whether a symlink of this name may point there.
    pub(super) fn may_link(
        &self,
        name: &Name,
        target: &LinkTarget,
        turn: &Turn<'_>,
    ) -> Result<(), Refusal> {
        let seen = self.view.outward(name);
        self.symlinks(turn).check(seen.as_ref().unwrap_or(name), target).map_err(Refusal::from)
    }

    /// Whether a directory may make way with all in it.
    fn may_remove_tree(&self, asked: &Asked) -> Result<(), Refused> {
        if !asked.target.is_drive {
            return Err(Wrong::new(Status::CONFLICT, "a directory has the new name").into());
        }
        let rights: Rights = [Right::Delete, Right::Replace, Right::List].into_iter().collect();
        Ok(self.may(rights)?)
    }

    fn begin_tree(&mut self, asked: &Asked, tasks: Vec<Task>, answer: Answer) {
        let Some(http) = self.http() else { return };
        http.failed.clear();
        let client = http.client.clone();
        let tree = Tree::new((asked.id, asked.target.is_drive), client, tasks, answer);
        self.job = Some(Job::Tree(Box::new(tree)));
    }

    /// A lock that holds nobody up.
    pub(super) fn dav_lock(&mut self, asked: &Asked, body: &[u8]) -> Result<(), Refused> {
        let head = &asked.head;
        let is_deep = match depth(head)? {
            Depth::One => return Err(Wrong::bad("the Depth of LOCK is 0 or infinity").into()),
            depth => depth == Depth::Infinity,
        };
        let target = &asked.target;
        let address = address(target.is_drive, target.name.as_ref(), target.is_directory);
        let lock = Lock::parse(body)?;
        let token = match (&lock, head.field(Field::If)) {
            (Some(_), field) => {
                field.map(holds).transpose()?;
                uuid(&random_token()?.0)
            }
            (None, field) => {
                let known = field.map(holds).transpose()?.flatten();
                known.ok_or(Wrong::bad("a lock is named in the field If, or asked for"))?.to_owned()
            }
        };
        let timeout = head.field(Field::Timeout);
        let text = lock::told((&address, &token), lock.as_ref(), (is_deep, timeout));
        let response = told::head(Status::OK).with("Lock-Token", format!("<{token}>"));
        if let Some(half) = self.half.http() {
            half.answer(&response, text.as_bytes());
        }
        Ok(())
    }

    /// A lock goes that has held nobody up.
    pub(super) fn dav_unlock(&mut self, asked: &Asked) -> Result<(), Refused> {
        let token = asked.head.field(Field::LockToken).unwrap_or_default();
        if !(token.starts_with('<') && token.ends_with('>') && token.len() > 2) {
            return Err(Wrong::bad("no Lock-Token").into());
        }
        self.begin_answer(&Response::new(Status::NO_CONTENT), Length::Absent);
        Ok(())
    }

    fn answer_document(&mut self, status: Status, text: &str) {
        if let Some(half) = self.half.http() {
            half.answer(&head(status), text.as_bytes());
        }
    }
}

/// The name of a lock, from random bytes.
fn uuid(bytes: &[u8; 16]) -> String {
    let mut token = String::from("opaquelocktoken:");
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            token.push('-');
        }
        // The version and the variant of a random one (RFC 9562).
        let byte = match at {
            6 => byte & 0x0f | 0x40,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        token.push_str(&format!("{byte:02x}"));
    }
    token
}

fn odd() -> Refusal {
    Refusal::new(Code::Unsupported, "only files, directories and symlinks are copied and moved")
}
