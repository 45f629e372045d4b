//! Requests of HTTP that change something: the same changes as those of the haul dialect, by the same way.

use haul_protocol::{Attributes, EntryKind, Name, RequestId, Right, Rights};

use super::asked::{Asked, Refused};
use super::stated::Checked;
use crate::commit::notify::ReplyTo;
use crate::connection::Connection;
use crate::connection::file_body::{Incoming, Sent};
use crate::connection::job::Deep;
use crate::connection::sink::Sink;
use crate::connection::turn::Turn;
use crate::http::digests;
use crate::http::head::{Field, Framing, Head};
use crate::http::method::Method;
use crate::http::mtime;
use crate::http::status::{Status, Wrong};
use crate::http::target::Target;
use crate::store::{Change, DEEP, Replaces};

impl Connection {
    /// A file begins. If it may not come, that is told before its first byte.
    pub(super) fn http_put(&mut self, asked: Box<Asked>, turn: &mut Turn<'_>) {
        let id = asked.id;
        let named = named(&asked).and_then(|name| Ok(turn.base.view.inward(name)?));
        match named {
            Ok(name) if name.depth() > DEEP => self.prepare(Deep::Http(asked), name, turn),
            Ok(name) => self.http_carry_out(asked, name, turn),
            Err(refused) => self.refuse_http(id, refused),
        }
    }

    /// The directories above the name of a `PUT` or `MKCOL` are there, if it is deep.
    pub(in crate::connection) fn http_carry_out(
        &mut self,
        asked: Box<Asked>,
        name: Name,
        turn: &mut Turn<'_>,
    ) {
        let id = asked.id;
        turn.services.store.refresh(&turn.base.parents);
        let done = match asked.head.framing {
            _ if asked.head.method == Method::Mkcol => self.http_make_directory(id, name, turn),
            framing => self.http_file(&asked, name, framing, turn),
        };
        if let Err(refused) = done {
            self.refuse_http(id, refused);
        }
    }

    fn http_file(
        &mut self,
        asked: &Asked,
        name: Name,
        framing: Framing,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refused> {
        let (services, parents) = (turn.services, &turn.base.parents);
        let stands = services.store.kind(parents, &name)?;
        if matches!(stands, Some(EntryKind::Directory)) {
            return Err(Wrong::new(Status::CONFLICT, "a directory has that name").into());
        }
        let only_new = only_new(&asked.head)?;
        if only_new {
            self.may(learning())?;
        }
        if only_new && stands.is_some() {
            return Err(Wrong::new(Status::PRECONDITION, "an entry has that name").into());
        }
        let checked = Checked::begin(digests::stated(&asked.head)?);
        let size = if let Framing::Length(len) = framing { len } else { 0 };
        let what = (Some(asked.id), name, size);
        // So rclone and the sync clients of ownCloud tell it.
        let told = asked.head.field(Field::OcMtime).map(|text| mtime::parsed(text.as_bytes()));
        let mtime = told.transpose()?;
        let attributes = Attributes { mtime, ..Attributes::default() };
        let file = Incoming::admit((services, parents), what, None, attributes)?;
        let success = self.success(stands.is_some());
        self.sink = Sink::File(file.of_http(Sent {
            checked,
            only_new,
            grows: framing == Framing::Chunked,
            index: None,
        }));
        let is_asking = self.ask_about_sink(turn);
        if let Some(half) = self.half.http() {
            half.will_be(success);
            if !is_asking {
                half.go_on();
            }
        }
        Ok(())
    }

    /// An entry goes: a file, a symlink, or a directory with nothing in it; of the network drive a directory with all in it.
    pub(super) fn http_delete(&mut self, asked: &Asked, turn: &Turn<'_>) -> Result<(), Refused> {
        unconditional(&asked.head)?;
        let name = turn.base.view.inward(asked.name()?)?;
        let stands = turn.services.store.kind(&turn.base.parents, &name)?;
        self.is_as_addressed(&asked.target, stands.as_ref())?;
        // An account removes no entries that it may not learn of.
        let is_tree = matches!(stands, Some(EntryKind::Directory)) && self.may_learn();
        if asked.target.is_drive && is_tree {
            return self.dav_delete(asked, name);
        }
        if stands.is_none() && self.may_learn() {
            return Err(Wrong::new(Status::NOT_FOUND, "no entry has that name").into());
        }
        self.http_submit(asked.id, Status::NO_CONTENT, Change::Remove { name }, turn);
        Ok(())
    }

    /// A directory, and those above it that are missing: as of every request that makes an entry.
    pub(super) fn http_mkcol(&mut self, asked: Asked, turn: &mut Turn<'_>) -> Result<(), Refused> {
        if asked.head.framing != Framing::Length(0) {
            return Err(Wrong::new(Status::MEDIA, "a directory is made without a body").into());
        }
        let name = turn.base.view.inward(asked.name()?)?;
        if name.depth() > DEEP {
            self.prepare(Deep::Http(Box::new(asked)), name, turn);
            return Ok(());
        }
        self.http_make_directory(asked.id, name, turn)
    }

    fn http_make_directory(
        &mut self,
        id: RequestId,
        name: Name,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refused> {
        let stands = turn.services.store.kind(&turn.base.parents, &name)?.is_some();
        if stands && self.may_learn() {
            return Err(Wrong::new(Status::METHOD, "an entry has that name").into());
        }
        let (mode, replace, replaces) = (None, false, Replaces::Nothing);
        let change = Change::Directory { name, mode, replace, replaces };
        self.http_submit(id, Status::CREATED, change, turn);
        Ok(())
    }

    /// An entry gets another name.
    pub(super) fn http_move(&mut self, asked: Asked, turn: &mut Turn<'_>) -> Result<(), Refused> {
        let Destination { name, moved, to, stands, replace } = self.destination(&asked, turn)?;
        let is_directory = |kind: &EntryKind| matches!(kind, EntryKind::Directory);
        let meets = stands.as_ref().is_some_and(|kind| is_directory(kind) || is_directory(&moved));
        let success = self.success(stands.is_some());
        let replaces = Replaces::Anything;
        let change = Change::Rename { name: name.clone(), to: to.clone(), replace, replaces };
        if let EntryKind::Link { target } = &moved {
            self.may_move_link((&name, &to), target, turn)?;
        }
        if asked.target.is_drive && meets {
            return self.dav_move(&asked, (&name, &moved, &to), success, change, turn);
        }
        if self.must_look((&name, &to), &moved, turn) {
            self.dav_look_and_move(&asked, (&name, &to), success, change);
            return Ok(());
        }
        self.http_submit(asked.id, success, change, turn);
        Ok(())
    }

    /// The entry that is moved or copied, and the name that it or its copy gets.
    pub(super) fn destination(
        &self,
        asked: &Asked,
        turn: &Turn<'_>,
    ) -> Result<Destination, Refused> {
        unconditional(&asked.head)?;
        let destination = asked.head.field(Field::Destination);
        let destination = destination.ok_or(Wrong::bad("no Destination"))?;
        let target = Target::parse(destination)?;
        target.has_no_query()?;
        let host = asked.head.field(Field::Host).unwrap_or_default();
        if target.authority.as_ref().is_some_and(|there| !there.eq_ignore_ascii_case(host)) {
            return Err(Wrong::bad("the Destination is another server").into());
        }
        let replace = match asked.head.field(Field::Overwrite) {
            None => true,
            Some(word) if word.eq_ignore_ascii_case("T") => true,
            Some(word) if word.eq_ignore_ascii_case("F") => false,
            Some(_) => return Err(Wrong::bad("Overwrite is T or F").into()),
        };
        let to = target.name.ok_or(Wrong::new(Status::FORBIDDEN, "the root itself stays"))?;
        let name = turn.base.view.inward(asked.name()?)?;
        let above = self.has_parent(&to, turn)?;
        let to = turn.base.view.inward(to)?;
        if to.depth() > DEEP {
            return Err(Wrong::bad("the Destination is too deep for HTTP").into());
        }
        let (store, parents) = (&turn.services.store, &turn.base.parents);
        let moved = store.kind(parents, &name)?;
        let missing = Wrong::new(Status::NOT_FOUND, "no entry has that name");
        let moved = moved.ok_or(missing)?;
        self.is_as_addressed(&asked.target, Some(&moved))?;
        if name == to {
            return Err(Wrong::new(Status::FORBIDDEN, "both names are the same").into());
        }
        if asked.target.is_drive && !above {
            return Err(no_parent().into());
        }
        let stands = store.kind(parents, &to)?;
        if stands.is_some() && !replace {
            return Err(Wrong::new(Status::PRECONDITION, "an entry has the new name").into());
        }
        Ok(Destination { name, moved, to, stands, replace })
    }

    /// Whether there is a directory for an entry of this name, as the client sees it.
    pub(super) fn has_parent(&self, name: &Name, turn: &Turn<'_>) -> Result<bool, Refused> {
        let Ok(above) = Name::parse(name.split().0) else { return Ok(true) };
        let above = turn.base.view.inward(above)?;
        let stands = turn.services.store.kind(&turn.base.parents, &above)?;
        Ok(matches!(stands, Some(EntryKind::Directory)))
    }

    /// An address with a slash at its end is that of a directory, and of no file with this name.
    pub(super) fn is_as_addressed(
        &self,
        target: &Target,
        stands: Option<&EntryKind>,
    ) -> Result<(), Refused> {
        let is_other = stands.is_some_and(|kind| !matches!(kind, EntryKind::Directory));
        // An account that may not learn which entries stand there gets one answer in all cases.
        let is_other = is_other || !self.may_learn();
        match target.is_directory && is_other {
            true => Err(Wrong::new(Status::CONFLICT, "no directory has that name").into()),
            false => Ok(()),
        }
    }

    /// The status of a change that makes an entry where one stands, or not.
    pub(super) fn success(&self, stands: bool) -> Status {
        if stands && self.may_learn() { Status::NO_CONTENT } else { Status::CREATED }
    }

    /// Whether the account may learn which entries are there. Otherwise an answer tells nothing of it that the answers of the
    /// haul dialect don't tell.
    pub(super) fn may_learn(&self) -> bool {
        self.may(learning()).is_ok()
    }

    fn http_submit(&mut self, id: RequestId, success: Status, change: Change, turn: &Turn<'_>) {
        if let Some(half) = self.half.http() {
            half.will_be(success);
        }
        self.submit(ReplyTo::Ack(id), change, None, turn);
    }
}

/// An entry that is moved or copied. The names are those of the store.
pub(super) struct Destination {
    pub(super) name: Name,
    pub(super) moved: EntryKind,
    pub(super) to: Name,
    /// The entry that has the new name by now.
    pub(super) stands: Option<EntryKind>,
    pub(super) replace: bool,
}

/// The refusal of an entry for which there is no directory.
pub(super) fn no_parent() -> Wrong {
    Wrong::new(Status::CONFLICT, "there is no directory for it")
}

/// The refusal of a file whose bytes have to be decoded.
pub(super) fn encoded() -> Wrong {
    Wrong::new(Status::MEDIA, "files are stored as they come, not decoded")
}

/// The right to learn which entries are there.
pub(super) fn learning() -> Rights {
    [Right::List].into_iter().collect()
}

/// The name of a file that is to come.
fn named(asked: &Asked) -> Result<Name, Refused> {
    if asked.target.is_directory {
        let why = "a file's address ends without a slash; MKCOL makes a directory";
        return Err(Wrong::new(Status::CONFLICT, why).into());
    }
    let head = &asked.head;
    let coding = head.field(Field::ContentEncoding);
    if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(encoded().into());
    }
    // A body up to the end of the connection would be empty here, and replace the file by nothing.
    if head.framing == Framing::Length(0) && head.field(Field::ContentLength).is_none() {
        return Err(Wrong::new(
            Status::LENGTH_REQUIRED,
            "a file comes with its length or in chunks",
        )
        .into());
    }
    if head.field(Field::ContentRange).is_some() {
        return Err(Wrong::bad("a part of a file can't be put").into());
    }
    Ok(asked.name()?)
}

/// Whether a file is only to come where no entry is.
fn only_new(head: &Head) -> Result<bool, Wrong> {
    match head.field(Field::IfNoneMatch) {
        Some("*") => {
            unconditional_but(head, Field::IfNoneMatch)?;
            Ok(true)
        }
        _ => unconditional(head).map(|()| false),
    }
}

/// A change on a condition that the store can't keep while others change the same entry is not carried out at all.
fn unconditional(head: &Head) -> Result<(), Wrong> {
    unconditional_but(head, Field::Range)
}

fn unconditional_but(head: &Head, kept: Field) -> Result<(), Wrong> {
    let conditions = [Field::IfMatch, Field::IfNoneMatch, Field::IfUnmodifiedSince];
    match conditions.iter().any(|field| *field != kept && head.field(*field).is_some()) {
        true => Err(Wrong::new(
            Status::NOT_IMPLEMENTED,
            "of conditions of a change, only If-None-Match: * of PUT is served",
        )),
        false => Ok(()),
    }
}
