//! From the header of each request to the store, or to the sink of its body.

use std::sync::Arc;

use haul_protocol::{Attributes, Code, LinkTarget, Name, NameError, Op, Reply, Request, RequestId};

use super::bundle::Bundle;
use super::compare::Check;
use super::fetch::Wants;
use super::file_body::Incoming;
use super::get::{Get, Wanted};
use super::job::{Deep, Job};
use super::rights::not_served;
use super::sink::Sink;
use super::turn::Turn;
use super::{Connection, Dialect};
use crate::commit::notify::ReplyTo;
use crate::refusal::Refusal;
use crate::store::{Believe, Change, DEEP, Replaces, Rollback, Swap, Version};
use crate::uploads::random_token;

impl Connection {
    /// A later frame of the haul dialect.
    pub(super) fn request(&mut self, Request { id, length, op }: Request, turn: &mut Turn<'_>) {
        let version = self.version();
        if let Some(version) = version.filter(|_| !matches!(op, Ok(Op::Ping))) {
            version.touch();
        }
        if let Ok(op) = &op {
            self.metrics().asked(op);
            self.seen().asks(op.command());
        }
        // A bundle is refused for each of its files, also before anything is known of them.
        let ids = op.as_ref().map_or(1, Op::ids);
        let op = match op.and_then(|op| self.let_in(op, &turn.base.view)) {
            Ok(op) => op,
            Err(refusal) => return self.refuse_all(id.row(ids), refusal.into()),
        };
        let request = Request { id, length, op: Ok(op) };
        // A question comes after earlier changes of its connection (PROTOCOL.md, section 5.4).
        let is_question = matches!(
            request.op,
            Ok(Op::List { .. } | Op::Get { .. } | Op::Fetch | Op::Check { .. } | Op::Adopt)
        );
        if is_question || request.op.as_ref().is_ok_and(|op| self.looks_first(op, turn)) {
            self.publish_fresh(turn);
            if self.pending > 0 {
                self.job = Some(Job::Question(Box::new(request)));
                return;
            }
        }
        self.ask_hook_first(request, turn);
    }

    /// Carries a request out, after the hook was asked about a large file.
    pub(super) fn ask_hook_first(&mut self, request: Request, turn: &mut Turn<'_>) {
        if let Some(request) = self.ask_about_open(request, turn) {
            self.make_parents_first(request, turn);
        }
    }

    /// Carries a request out, after the directories above a deep name are made.
    pub(super) fn make_parents_first(&mut self, request: Request, turn: &mut Turn<'_>) {
        let version = self.version();
        let deep = match &request.op {
            Ok(Op::Put { name, .. } | Op::Mkdir { name, .. } | Op::Symlink { name, .. }) => {
                Some(name)
            }
            Ok(Op::Rename { to, .. }) => Some(to),
            Ok(Op::Open(wanted)) => Some(&wanted.name),
            Ok(Op::Publish { .. }) => {
                version.filter(|version| !version.is_done()).map(|version| &version.name)
            }
            _ => None,
        };
        match deep.filter(|name| name.depth() > DEEP).cloned() {
            Some(name) => self.prepare(Deep::Request(request), name, turn),
            None => self.carry_out(request, turn),
        }
    }

    /// Carries a request out, or says where its body goes.
    pub(super) fn carry_out(&mut self, request: Request, turn: &mut Turn<'_>) {
        // A question shows what was acknowledged to others before.
        turn.services.store.refresh(&turn.base.parents);
        let Request { id, length, op } = request;
        let ids = op.as_ref().map_or(1, Op::ids);
        match op.map_err(Refusal::from).and_then(|op| self.begin(id, length, op, turn)) {
            Ok(sink) => {
                self.sink = sink;
                self.ask_about_sink(turn);
            }
            Err(refusal) => self.refuse_all(id.row(ids), refusal),
        }
    }

    /// Does what needs no body, and says where a body goes.
    fn begin(
        &mut self,
        id: RequestId,
        length: u64,
        op: Op,
        turn: &mut Turn<'_>,
    ) -> Result<Sink, Refusal> {
        if !is_apart(&op, turn) {
            self.publish_fresh(turn);
        }
        let version = self.version().cloned();
        if version.as_ref().is_some_and(|version| version.is_done())
            && !matches!(op, Op::Publish { .. } | Op::Ping)
        {
            return Err(Refusal::new(Code::BadRequest, "this version has been published"));
        }
        match op {
            Op::Put { name, size, digest, attributes } => {
                let whence = (turn.services, &turn.base.parents);
                let what = (Some(id), name, size);
                return Ok(Sink::File(Incoming::admit(whence, what, Some(digest), attributes)?));
            }
            Op::Bundle { count, digest } => {
                return Ok(Sink::Bundle(Box::new(Bundle::begin(id, count, digest, length)?)));
            }
            Op::Part { upload, offset, cv } => {
                return self.part(id, length, (&upload, offset, cv), turn);
            }
            Op::Check { reread } => {
                let believe = if reread { Believe::Bytes } else { Believe::Kept };
                return Ok(Sink::Check(Box::new(Check::new(id, false, believe))));
            }
            Op::Adopt if version.is_some() => {
                return Ok(Sink::Check(Box::new(Check::new(id, true, Believe::Bytes))));
            }
            Op::Get { .. } | Op::Fetch if version.is_some() => {
                let message = "files are not read over a connection that publishes a directory";
                return Err(Refusal::new(Code::BadRequest, message));
            }
            Op::Fetch => return Ok(Sink::Fetch(Box::new(Wants::begin(id, length)?))),
            Op::Get { name, offset, part_size, state, whole } => {
                let wanted = Wanted { id, name, offset, part_size, state, whole };
                self.job = Some(Job::Get(Box::new(Get::new(wanted, turn.services.now()))));
            }
            Op::List { name, after } => self.list(id, name, after.as_ref(), turn),
            Op::Publish { attributes, files } if version.is_some() => {
                self.publish(id, version.filter(|it| !it.is_done()), attributes, files, turn);
            }
            Op::Rollback { name, again, token, repeated } if version.is_none() => {
                let token = token.map_or_else(random_token, Ok)?;
                let (replaces, facts) = (Replaces::Anything, Arc::default());
                let wanted = Rollback { name, again, token, repeated, replaces, facts };
                self.begin_rollback(id, Box::new(wanted), turn)?;
            }
            Op::Adopt | Op::Publish { .. } | Op::Rollback { .. } => {
                let message = "this request belongs to a connection of the other kind";
                return Err(Refusal::new(Code::BadRequest, message));
            }
            Op::Mkdir { name, mode, replace: false } => {
                self.make_directory(id, name, mode, turn);
            }
            Op::Mkdir { name, mode, replace } => {
                self.publish_fresh(turn);
                let replaces = Replaces::Anything;
                let change = Change::Directory { name, mode, replace, replaces };
                self.submit(ReplyTo::Ack(id), change, None, turn);
            }
            Op::Remove { name } => {
                self.submit(ReplyTo::Ack(id), Change::Remove { name }, None, turn);
            }
            Op::Rename { name, to, replace } => self.rename(id, (name, to, replace), turn)?,
            Op::Symlink { name, target, mtime } => {
                self.may_lead(&name, &target, turn)?;
                self.make_link(id, name, target, mtime, turn);
            }
            Op::Setattr { name, is_file, attributes } => {
                let replaces = Replaces::Anything;
                let change = Change::Attributes { name, is_file, attributes, replaces };
                self.submit(ReplyTo::Ack(id), change, None, turn);
            }
            Op::Open(wanted) => self.open(id, *wanted, version.as_ref(), turn)?,
            Op::Commit { upload, digest } => self.commit(id, &upload, digest, turn)?,
            Op::Abort { upload } => self.abort(id, &upload, turn)?,
            Op::Ping => {
                if let (Some(version), Dialect::Haul(haul)) = (&version, &self.dialect) {
                    let publications = &turn.services.publications;
                    publications.yield_to_others(&**turn.notify, version, &haul.client);
                }
                self.answer(id, Reply::Done, &[]);
            }
            // A request of a later version of the protocol, which was not let in.
            op => return Err(not_served(&op).into()),
        }
        Ok(Sink::Nothing)
    }

    /// Publishes a version; `None`: it is published already.
    fn publish(
        &mut self,
        id: RequestId,
        version: Option<Arc<Version>>,
        attributes: Attributes,
        files: Option<u64>,
        turn: &mut Turn<'_>,
    ) {
        let Some(version) = version else { return self.answer(id, Reply::Done, &[]) };
        let change = Change::Version(Box::new(Swap::new(version, attributes, files)));
        self.submit(ReplyTo::Published(id), change, None, turn);
    }

    /// Whether a symbolic link may lead there from where it will be: a version is published under the name of its directory.
    fn may_lead(&self, name: &Name, target: &LinkTarget, turn: &Turn<'_>) -> Result<(), Refusal> {
        let whole = self.whole_name(name)?;
        let seen = self.view.outward(&whole);
        Ok(self.symlinks(turn).check(seen.as_ref().unwrap_or(&whole), target)?)
    }

    /// A file in the classic dialect begins.
    pub(super) fn begin_classic(
        &mut self,
        name: Result<Name, NameError>,
        size: u64,
        turn: &mut Turn<'_>,
    ) {
        match name {
            Ok(name) if name.depth() > DEEP => self.prepare(Deep::Classic(size), name, turn),
            Ok(name) => self.classic_put(name, size, turn),
            Err(error) => {
                self.tell_refusal(&Refusal::new(Code::BadName, &error));
                if self.may_log() {
                    tracing::warn!(peer = self.peer, %error, "refused a classic put");
                }
                self.sink = Sink::Nothing;
            }
        }
    }

    /// A file in the classic dialect: streamed, committed when its whole body is there, and never
    /// answered.
    pub(super) fn classic_put(&mut self, name: Name, size: u64, turn: &Turn<'_>) {
        let (whence, what) = ((turn.services, &turn.base.parents), (None, name, size));
        let file = Incoming::admit(whence, what, None, Attributes::default());
        self.sink = match file {
            Ok(file) => Sink::File(file),
            Err(refusal) => {
                self.tell_refusal(&refusal);
                if self.may_log() {
                    tracing::warn!(peer = self.peer, %refusal, "refused a classic put");
                }
                Sink::Nothing
            }
        };
        self.ask_about_sink(turn);
    }
}

/// Whether a request is about no entry of the staged tree. Requests that are not named here may be.
fn is_apart(op: &Op, turn: &Turn<'_>) -> bool {
    match op {
        Op::Put { .. } | Op::Bundle { .. } | Op::Part { .. } => true,
        Op::Mkdir { .. } | Op::Symlink { .. } | Op::Commit { .. } => true,
        // Nothing is seen of it before its commit.
        Op::Open(wanted) => !turn.fresh.concerns(&wanted.name) || turn.fresh.is_free(&wanted.name),
        _ => false,
    }
}
