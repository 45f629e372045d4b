//! A request that makes several entries of one body: a form, or rows of files. Each file is staged as its bytes come, and all are
//! made durable together with others; the answer comes when the last one is (`several`).

use haul_protocol::{Attributes, Code, EntryKind, Mtime, Name, RequestId, Right, Rights};

use super::entries::{Body, Entries, Present};
use super::several::{Answer, Found, Several};
use crate::commit::notify::ReplyTo;
use crate::connection::Connection;
use crate::connection::file_body::{Incoming, Sent};
use crate::connection::http::asked::{Asked, Refused};
use crate::connection::http::stated::Checked;
use crate::connection::sink::Sink;
use crate::connection::turn::Turn;
use crate::http::address::Own;
use crate::http::body::form::{self, Form};
use crate::http::body::rows::{self, Row, Rows};
use crate::http::head::{Field, Head};
use crate::http::status::{Status, Wrong};
use crate::http::target::{Target, encode};
use crate::refusal::Refusal;
use crate::store::{Change, DEEP, Replaces};

/// The media type of rows. No page of another server may send it without being asked first.
const ROWS: &str = "application/vnd.haul.rows";

/// Bytes of the longest value of a field of a form that is no file.
const MAX_VALUE: usize = 4096;

/// An entry that is to be made.
struct Wanted<'a> {
    name: &'a str,
    kind: Kind,
    replace: bool,
    mtime: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    /// A file; its size, if it was told.
    File(Option<u64>),
}

impl Connection {
    /// A form for a directory.
    pub(in crate::connection::http) fn http_form(&mut self, asked: Asked) {
        let begun = self.may_make(&asked.head).and_then(|()| {
            if !asked.target.is_directory {
                let why = "a form is sent to the address of a directory, which ends with a slash";
                return Err(Wrong::new(Status::METHOD, why).into());
            }
            let media = asked.head.field(Field::ContentType).unwrap_or_default();
            let why = "this address takes forms (multipart/form-data)";
            Ok(Form::of(media).ok_or(Wrong::new(Status::MEDIA, why))??)
        });
        let mut back = String::from("/");
        if let Some(name) = &asked.target.name {
            encode(name.as_bytes(), &mut back);
            back.push('/');
        }
        let directory = asked.target.name;
        self.begin_entries(asked.id, directory, begun.map(Body::Form), Answer::Page { back });
    }

    /// Rows of files, for the directory that the query names.
    pub(in crate::connection::http) fn http_rows(&mut self, asked: Asked<Own>) {
        let begun = self.may_make(&asked.head).and_then(|()| {
            let media = asked.head.field(Field::ContentType).unwrap_or_default();
            if !media.eq_ignore_ascii_case(ROWS) {
                let why = "this address takes application/vnd.haul.rows";
                return Err(Wrong::new(Status::MEDIA, why).into());
            }
            let to = asked.target.query.split('&').find_map(|part| part.strip_prefix("to="));
            let to = to.filter(|to| to.starts_with('/'));
            let to = to.ok_or(Wrong::bad("the query has no to=/DIRECTORY"))?;
            Ok(Target::parse(to)?.name)
        });
        let (directory, begun) = match begun {
            Ok(directory) => (directory, Ok(Body::Rows(Rows::default()))),
            Err(refused) => (None, Err(refused)),
        };
        self.begin_entries(asked.id, directory, begun, Answer::Json);
    }

    /// Whether anything may be made here by this request.
    fn may_make(&self, head: &Head) -> Result<(), Refused> {
        self.may_begin([Right::Put].into_iter().collect(), true)?;
        if head.field(Field::ContentLength).is_none() {
            let why = "several files come with the length of them all";
            return Err(Wrong::new(Status::LENGTH_REQUIRED, why).into());
        }
        Ok(())
    }

    fn begin_entries(
        &mut self,
        id: RequestId,
        directory: Option<Name>,
        body: Result<Body, Refused>,
        answer: Answer,
    ) {
        let body = match body {
            Ok(body) => body,
            Err(refused) => return self.refuse_http(id, refused),
        };
        if let Some(http) = self.http() {
            http.several = Some(Box::new(Several::begin(id, answer)));
        }
        let (replaces, present) = (false, Present::Nothing);
        let entries = Entries { id, directory, body, replaces, present, kept: Vec::new() };
        self.sink = Sink::Entries(Box::new(entries));
        if let Some(half) = self.half.http() {
            half.go_on();
        }
    }

    /// The next bytes of such a body.
    pub(in crate::connection) fn entries_go_on(
        &mut self,
        mut entries: Box<Entries>,
        mut bytes: &[u8],
        turn: &mut Turn<'_>,
    ) {
        let gone_on = match &mut entries.body {
            Body::Form(_) => self.form_goes_on(&mut entries, &mut bytes, turn),
            Body::Rows(_) => self.rows_go_on(&mut entries, &mut bytes, turn),
        };
        match gone_on {
            Ok(()) => {
                entries.kept = bytes.to_vec();
                self.sink = Sink::Entries(entries);
            }
            Err(wrong) => self.entries_are_wrong(entries.id, wrong),
        }
    }

    /// The body has ended.
    pub(in crate::connection) fn entries_end(&mut self, entries: &Entries) {
        let is_complete = match &entries.body {
            Body::Form(form) => form.is_complete(),
            Body::Rows(rows) => rows.is_between(),
        };
        match is_complete {
            true => self.all_have_come(),
            false => self.entries_are_wrong(entries.id, Wrong::bad("the body ends in its midst")),
        }
    }

    /// Nothing more is understood of the body. Entries before may be there, and no answer says which.
    fn entries_are_wrong(&mut self, id: RequestId, wrong: Wrong) {
        if let Some(http) = self.http() {
            http.several = None;
        }
        self.refuse_http(id, wrong.into());
    }

    fn rows_go_on(
        &mut self,
        entries: &mut Entries,
        bytes: &mut &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), Wrong> {
        while !self.is_asking() {
            let Body::Rows(rows) = &mut entries.body else { return Ok(()) };
            match rows.receive(bytes)? {
                None => return Ok(()),
                Some(rows::Event::Row(Row { name, size, mtime, replace })) => {
                    let kind = size.map_or(Kind::Directory, |size| Kind::File(Some(size)));
                    let wanted = Wanted { name: &name, kind, replace, mtime };
                    entries.present = self.begin_one(entries, wanted, turn);
                }
                Some(rows::Event::Bytes(bytes)) => {
                    self.one_goes_on(entries.id, &mut entries.present, bytes, turn);
                }
                Some(rows::Event::RowEnd) => self.one_ends(entries, turn),
            }
        }
        Ok(())
    }

    fn form_goes_on(
        &mut self,
        entries: &mut Entries,
        bytes: &mut &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), Wrong> {
        let id = entries.id;
        while !self.is_asking() {
            let Entries { body: Body::Form(form), present, .. } = entries else { return Ok(()) };
            match form.receive(bytes)? {
                None => return Ok(()),
                // Bytes behind the end are none of a form.
                Some(form::Event::End) => {}
                Some(form::Event::Part(part)) => {
                    let value = |is_folder| Present::Value { is_folder, bytes: Vec::new() };
                    entries.present = match (&*part.field, part.file) {
                        // No file was chosen.
                        (_, Some(name)) if name.is_empty() => Present::Nothing,
                        (_, Some(name)) => {
                            let (kind, replace) = (Kind::File(None), entries.replaces);
                            let wanted = Wanted { name: &name, kind, replace, mtime: None };
                            self.begin_one(entries, wanted, turn)
                        }
                        ("folder", None) => value(true),
                        ("replace", None) => value(false),
                        (_, None) => Present::Nothing,
                    };
                }
                Some(form::Event::Bytes(bytes)) => match present {
                    Present::Value { bytes: all, .. } => {
                        if all.len() + bytes.len() > MAX_VALUE {
                            return Err(Wrong::new(Status::TOO_LARGE, "a field of the form"));
                        }
                        all.extend_from_slice(bytes);
                    }
                    present => self.one_goes_on(id, present, bytes, turn),
                },
                Some(form::Event::PartEnd) => match std::mem::replace(present, Present::Nothing) {
                    Present::Value { is_folder: false, bytes } => {
                        entries.replaces = bytes == b"yes"
                    }
                    Present::Value { is_folder: true, bytes } => {
                        let name = std::str::from_utf8(&bytes);
                        let name = name.map_err(|_| Wrong::bad("a folder's name is not UTF-8"))?;
                        let (kind, replace) = (Kind::Directory, false);
                        let wanted = Wanted { name, kind, replace, mtime: None };
                        entries.present = self.begin_one(entries, wanted, turn);
                    }
                    file => {
                        entries.present = file;
                        self.one_ends(entries, turn);
                    }
                },
            }
        }
        Ok(())
    }

    /// An entry begins. If it may not come, that is its outcome, and its bytes are of no use.
    fn begin_one(&mut self, entries: &Entries, wanted: Wanted<'_>, turn: &mut Turn<'_>) -> Present {
        let id = entries.id;
        let several = self.http().and_then(|http| http.several.as_mut());
        let Some(index) = several.map(|several| several.add(wanted.name)) else {
            return Present::Nothing;
        };
        let mut found = None;
        match self.admit_one(entries, (index, wanted), &mut found, turn) {
            Ok(present) => present,
            Err(refusal) => {
                self.one_over(id, index, Err(refusal), found);
                Present::Nothing
            }
        }
    }

    fn admit_one(
        &mut self,
        entries: &Entries,
        (index, wanted): (u32, Wanted<'_>),
        found: &mut Option<Found>,
        turn: &mut Turn<'_>,
    ) -> Result<Present, Refusal> {
        let Wanted { name, kind, replace, mtime } = wanted;
        let id = entries.id;
        let name = match &entries.directory {
            Some(directory) => directory.join(name.as_bytes()),
            None => Name::parse(name.as_bytes()),
        };
        let name = name.map_err(|error| Refusal::new(Code::BadName, error))?;
        let name = turn.base.view.inward(name)?;
        if name.depth() > DEEP {
            let why = "the name is too deep for a request of several files: put it alone";
            return Err(Refusal::new(Code::Unsupported, why));
        }
        let (services, parents) = (turn.services, &turn.base.parents);
        let stands = services.store.kind_and_mtime(parents, &name)?;
        let learns: Rights = [Right::List].into_iter().collect();
        let may_learn = self.may(learns).is_ok();
        if kind == Kind::Directory {
            let is_there = matches!(stands, Some((EntryKind::Directory, _)));
            self.one_will_be(stands.is_some() && may_learn);
            if is_there {
                self.one_over(id, index, Ok(()), None);
            } else {
                let (mode, replace, replaces) = (None, false, Replaces::Nothing);
                let change = Change::Directory { name, mode, replace, replaces };
                self.submit(ReplyTo::One(id, index), change, None, turn);
            }
            return Ok(Present::Nothing);
        }
        if matches!(stands, Some((EntryKind::Directory, _))) {
            return Err(Refusal::new(Code::Exists, "a directory has that name"));
        }
        let keeps = self.replaces() == Replaces::Nothing;
        // An account that may not learn what is there gets no answer that tells it before the change is tried. In a drop box it
        // replaces only files of its own.
        let only_new = match may_learn {
            true => !replace || keeps,
            false => !replace && !self.is_in_drop_box(),
        };
        if let Some((kind, mtime)) = stands.as_ref().filter(|_| only_new && may_learn) {
            if let EntryKind::File { size, .. } = kind {
                *found = Some(Found { size: *size, mtime: mtime.map(|mtime| mtime.s) });
            }
            return Err(Refusal::new(Code::Exists, "an entry has that name"));
        }
        let Kind::File(size) = kind else { return Ok(Present::Nothing) };
        let mtime = mtime.map(|s| Mtime { s, ns: 0 });
        let attributes = Attributes { mtime, ..Attributes::default() };
        let what = (Some(id), name, size.unwrap_or(0));
        let file = Incoming::admit((services, parents), what, None, attributes)?;
        self.one_will_be(stands.is_some() && may_learn);
        let checked = Checked::begin(Vec::new());
        let sent = Sent { checked, only_new, grows: size.is_none(), index: Some(index) };
        let file = file.of_http(sent);
        self.ask_about(&file, turn)?;
        Ok(Present::File(index, Box::new(file)))
    }

    /// The hook does not want the entry whose bytes would come next.
    pub(in crate::connection) fn refuse_entry(&mut self, entries: &mut Entries, refusal: Refusal) {
        if let Present::File(index, _) = entries.present {
            entries.present = Present::Nothing;
            self.one_over(entries.id, index, Err(refusal), None);
        }
    }

    fn one_will_be(&mut self, stands: bool) {
        let status = if stands { Status::NO_CONTENT } else { Status::CREATED };
        if let Some(several) = self.http().and_then(|http| http.several.as_mut()) {
            several.will_be(status);
        }
    }

    /// The next bytes of the present file.
    fn one_goes_on(
        &mut self,
        id: RequestId,
        present: &mut Present,
        bytes: &[u8],
        turn: &mut Turn<'_>,
    ) {
        let Present::File(index, file) = present else { return };
        let is_whole = file.stream.is_none() && !file.grows() && file.size == bytes.len() as u64;
        if is_whole {
            if let Present::File(_, file) = std::mem::replace(present, Present::Nothing) {
                self.whole_file(*file, bytes, turn);
            }
        } else if let Err(refusal) = file.append(bytes, turn) {
            let index = *index;
            *present = Present::Nothing;
            self.one_over(id, index, Err(refusal), None);
        }
    }

    /// The present file is complete.
    fn one_ends(&mut self, entries: &mut Entries, turn: &mut Turn<'_>) {
        let Present::File(_, mut file) = std::mem::replace(&mut entries.present, Present::Nothing)
        else {
            return;
        };
        match file.stream.take() {
            None => self.whole_file(*file, &[], turn),
            Some(stream) => {
                let staged = file.staged(*stream);
                self.file_staged(*file, staged, turn);
            }
        }
    }
}
