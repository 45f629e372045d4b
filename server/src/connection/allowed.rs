//! A connection asks the hook `before-put` before it takes the bytes of a file.
//!
//! Every file comes by one of four doors: a body of its own or an entry of a form ([`Incoming`] was admitted, and its bytes wait), a
//! bundle, which is here as a whole, the `open` of a large file, and the creation of a resumable upload of HTTP. At each the connection
//! waits for the answer, as for any other request that takes more than one turn; a worker never does.

use std::sync::Arc;

use haul_protocol::{Digest, Name, Op, Request};

use super::Connection;
use super::asking::Asking;
use super::audited::TUS;
use super::bundle::Bundle;
use super::file_body::Incoming;
use super::http::asked::Asked as HttpAsked;
use super::http::page::entries::Entries;
use super::job::Job;
use super::sink::Sink;
use super::turn::Turn;
use crate::commit::notify::{Done, waker};
use crate::hooks::question::{Answer, Asked, Question};
use crate::http::address::Own;
use crate::refusal::Refusal;

/// A file that is asked about: its name below the client's base, its size and digest as far as they are told.
type File<'a> = (&'a Name, Option<u64>, Option<Digest>);

impl Connection {
    /// Whether the hook is being asked about the present request.
    pub(super) fn is_asking(&self) -> bool {
        matches!(self.job, Some(Job::Asked(..)))
    }

    /// Asks the hook about files; `None`: there is no hook.
    fn ask(&self, files: &[File<'_>], turn: &Turn<'_>) -> Option<Arc<Question>> {
        self.ask_in(self.speaks(), files, turn)
    }

    /// The same about files that come in this dialect.
    fn ask_in(
        &self,
        dialect: &'static str,
        files: &[File<'_>],
        turn: &Turn<'_>,
    ) -> Option<Arc<Question>> {
        let hook = turn.services.before_put.as_ref()?;
        let who = Arc::clone(&self.teller.as_ref()?.who);
        let version = self.version();
        let whole = |name: &Name| match version {
            Some(version) => version.name.join(name.as_bytes()).unwrap_or_else(|_| name.clone()),
            None => name.clone(),
        };
        let names: Vec<Name> = files.iter().map(|(name, ..)| whole(name)).collect();
        let asked: Vec<Asked<'_>> = files
            .iter()
            .zip(&names)
            .map(|((_, size, digest), name)| Asked { name, size: *size, digest: *digest })
            .collect();
        let waker = waker(turn.notify, self.id);
        Some(hook.ask(&asked, (&*who, dialect), waker))
    }

    /// Asks about a file that was admitted, and whose body comes next. Returns whether there is an answer to wait for.
    pub(super) fn ask_about(&mut self, file: &Incoming, turn: &Turn<'_>) -> bool {
        let size = (!file.grows()).then_some(file.size);
        let question = self.ask(&[(&file.name, size, file.digest)], turn);
        self.wait_for(Asking::Body, question)
    }

    /// The same about the file that the sink is for.
    pub(super) fn ask_about_sink(&mut self, turn: &Turn<'_>) -> bool {
        if turn.services.before_put.is_none() {
            return false;
        }
        match std::mem::replace(&mut self.sink, Sink::Nothing) {
            Sink::File(file) => {
                let is_asking = self.ask_about(&file, turn);
                self.sink = Sink::File(file);
                is_asking
            }
            sink => {
                self.sink = sink;
                false
            }
        }
    }

    /// Asks about the large file that a request opens. Returns the request if there is nothing to wait for.
    pub(super) fn ask_about_open(&mut self, request: Request, turn: &Turn<'_>) -> Option<Request> {
        let Ok(Op::Open(wanted)) = &request.op else { return Some(request) };
        match self.ask(&[(&wanted.name, Some(wanted.size), None)], turn) {
            None => Some(request),
            question => {
                self.wait_for(Asking::Request(Box::new(request)), question);
                None
            }
        }
    }

    /// Asks about the file of an upload of HTTP that is to begin; `None`: there is no hook.
    pub(super) fn ask_about_upload(
        &self,
        name: &Name,
        size: Option<u64>,
        turn: &Turn<'_>,
    ) -> Option<Arc<Question>> {
        self.ask_in(TUS, &[(name, size, None)], turn)
    }

    /// A request that begins an upload waits for the answer.
    pub(super) fn upload_waits(&mut self, asked: HttpAsked<Own>, question: Arc<Question>) {
        self.wait_for(Asking::Upload(Box::new(asked)), Some(question));
    }

    /// Asks about the files of a bundle. Returns the bundle if there is nothing to wait for.
    pub(super) fn ask_about_bundle(
        &mut self,
        bundle: Bundle,
        body: &[u8],
        turn: &Turn<'_>,
    ) -> Option<Bundle> {
        if turn.services.before_put.is_none() {
            return Some(bundle);
        }
        let Ok(files) = bundle.files(body) else { return Some(bundle) };
        let inward =
            |name: &Name| turn.base.view.inward(name.clone()).unwrap_or_else(|_| name.clone());
        let names: Vec<Name> = files.iter().map(|file| inward(&file.name)).collect();
        let asked: Vec<File<'_>> = files
            .iter()
            .zip(&names)
            .map(|(file, name)| (name, Some(file.bytes.len() as u64), file.digest))
            .collect();
        let question = self.ask(&asked, turn);
        if question.is_none() {
            return Some(bundle);
        }
        self.wait_for(Asking::Bundle(Box::new(bundle), body.to_vec()), question);
        None
    }

    fn wait_for(&mut self, asking: Asking, question: Option<Arc<Question>>) -> bool {
        let Some(question) = question else { return false };
        self.job = Some(Job::Asked(Box::new(asking), question));
        true
    }

    /// The hook has answered.
    pub(super) fn was_answered(
        &mut self,
        asking: Asking,
        question: &Question,
        turn: &mut Turn<'_>,
    ) {
        let answers = question.answers();
        let first = answers.first().map_or(Ok(()), Answer::allows);
        match asking {
            Asking::Body => self.body_was_answered(first, turn),
            Asking::Bundle(mut bundle, body) => {
                bundle.answers = answers;
                self.bundle(*bundle, &body, turn);
            }
            Asking::Request(request) => match first {
                Ok(()) => self.make_way_behind(*request, turn),
                Err(refusal) => self.refuse(request.id, refusal),
            },
            Asking::Upload(asked) => match first {
                Ok(()) => self.upload_is_allowed(*asked, turn),
                Err(refusal) => self.refuse(asked.id, refusal),
            },
        }
    }

    fn body_was_answered(&mut self, answer: Result<(), Refusal>, turn: &mut Turn<'_>) {
        match (std::mem::replace(&mut self.sink, Sink::Nothing), answer) {
            (Sink::Entries(entries), answer) => self.entry_was_answered(entries, answer, turn),
            (Sink::File(file), Err(refusal)) => {
                let done = Done { reply_to: file.reply_to(), result: Err(refusal) };
                self.complete(done);
            }
            (sink, _) => {
                self.sink = sink;
                if let Some(half) = self.half.http() {
                    half.go_on();
                }
            }
        }
    }

    fn entry_was_answered(
        &mut self,
        mut entries: Box<Entries>,
        answer: Result<(), Refusal>,
        turn: &mut Turn<'_>,
    ) {
        if let Err(refusal) = answer {
            self.refuse_entry(&mut entries, refusal);
        }
        let kept = std::mem::take(&mut entries.kept);
        self.entries_go_on(entries, &kept, turn);
    }
}
