//! A connection asks the hook `before-put` before it takes the bytes of a file.
//!
//! Every file comes by one of four doors: a body of its own or an entry of a form ([`Incoming`] was admitted, and its bytes wait), a
//! bundle, which is here as a whole, the `open` of a large file, and the creation of a resumable upload of HTTP. At each the connection
//! waits for the answer, as for any other request that takes more than one turn; a worker never does.

use std::sync::Arc;

use haul_protocol::{Code, Digest, Name, Op, Request};

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

    /// Asks the hook about a file; `None`: there is no hook.
    ///
    /// # Errors
    /// If no client could name the file: the hook would be asked about another one.
    fn ask(
        &self,
        (name, size, digest): File<'_>,
        dialect: &'static str,
        turn: &Turn<'_>,
    ) -> Result<Option<Arc<Question>>, Refusal> {
        if turn.services.before_put.is_none() {
            return Ok(None);
        }
        let name = self.whole_name(name)?;
        Ok(self.ask_about_all(&[Asked { name: &name, size, digest }], dialect, turn))
    }

    /// Asks the hook about files with their whole names.
    fn ask_about_all(
        &self,
        files: &[Asked<'_>],
        dialect: &'static str,
        turn: &Turn<'_>,
    ) -> Option<Arc<Question>> {
        let hook = turn.services.before_put.as_ref()?;
        let who = Arc::clone(&self.teller.as_ref()?.who);
        Some(hook.ask(files, (&*who, dialect), waker(turn.notify, self.id)))
    }

    /// The name in the root of an entry with this name: on a connection about a directory, the entry is in the draft.
    pub(super) fn whole_name(&self, name: &Name) -> Result<Name, Refusal> {
        let Some(version) = self.version() else { return Ok(name.clone()) };
        let too_long = |_| Refusal::new(Code::BadName, "the name is too long on this server");
        version.name.join(name.as_bytes()).map_err(too_long)
    }

    /// Asks about a file that was admitted, and whose body comes next. Returns whether there is an answer to wait for.
    ///
    /// # Errors
    /// If the file is refused at once.
    pub(super) fn ask_about(&mut self, file: &Incoming, turn: &Turn<'_>) -> Result<bool, Refusal> {
        let size = (!file.grows()).then_some(file.size);
        let question = self.ask((&file.name, size, file.digest), self.speaks(), turn)?;
        Ok(self.wait_for(Asking::Body, question))
    }

    /// The same about the file that the sink is for.
    pub(super) fn ask_about_sink(&mut self, turn: &Turn<'_>) -> bool {
        if turn.services.before_put.is_none() {
            return false;
        }
        match std::mem::replace(&mut self.sink, Sink::Nothing) {
            Sink::File(file) => match self.ask_about(&file, turn) {
                Ok(is_asking) => {
                    self.sink = Sink::File(file);
                    is_asking
                }
                Err(refusal) => {
                    self.complete(Done { reply_to: file.reply_to(), result: Err(refusal) });
                    false
                }
            },
            sink => {
                self.sink = sink;
                false
            }
        }
    }

    /// Asks about the large file that a request opens. Returns the request if there is nothing to wait for.
    pub(super) fn ask_about_open(&mut self, request: Request, turn: &Turn<'_>) -> Option<Request> {
        let Ok(Op::Open(wanted)) = &request.op else { return Some(request) };
        match self.ask((&wanted.name, Some(wanted.size), None), self.speaks(), turn) {
            Err(refusal) => {
                self.refuse(request.id, refusal);
                None
            }
            Ok(None) => Some(request),
            Ok(question) => {
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
    ) -> Result<Option<Arc<Question>>, Refusal> {
        self.ask((name, size, None), TUS, turn)
    }

    /// A request that begins an upload waits for the answer.
    pub(super) fn upload_waits(&mut self, asked: HttpAsked<Own>, question: Arc<Question>) {
        self.wait_for(Asking::Upload(Box::new(asked)), Some(question));
    }

    /// Asks about the files of a bundle. Returns the bundle if there is nothing to wait for.
    pub(super) fn ask_about_bundle(
        &mut self,
        mut bundle: Bundle,
        body: &[u8],
        turn: &Turn<'_>,
    ) -> Option<Bundle> {
        if turn.services.before_put.is_none() {
            return Some(bundle);
        }
        let Ok(files) = bundle.files(body) else { return Some(bundle) };
        let whole = |name: &Name| {
            let name = turn.base.view.inward(name.clone())?;
            self.whole_name(&name)
        };
        let names: Vec<Result<Name, Refusal>> =
            files.iter().map(|file| whole(&file.name)).collect();
        let named = files.iter().zip(&names).filter_map(|(file, name)| {
            let (size, digest) = (Some(file.bytes.len() as u64), file.digest);
            Some(Asked { name: name.as_ref().ok()?, size, digest })
        });
        let asked: Vec<Asked<'_>> = named.collect();
        let question = match asked.is_empty() {
            true => None,
            false => self.ask_about_all(&asked, self.speaks(), turn),
        };
        bundle.answers = names.into_iter().map(before_asking).collect();
        let Some(question) = question else { return Some(bundle) };
        self.wait_for(Asking::Bundle(Box::new(bundle), body.to_vec()), Some(question));
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
                let mut told = answers.into_iter();
                for answer in bundle.answers.iter_mut().filter(|answer| answer.is_of_hook()) {
                    *answer = told.next().unwrap_or_else(Answer::missing);
                }
                self.bundle(*bundle, &body, turn);
            }
            Asking::Request(request) => match first {
                Ok(()) => self.make_parents_first(*request, turn),
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

/// The answer about a file before the hook is asked, which it is only if the file may have its name.
fn before_asking(name: Result<Name, Refusal>) -> Answer {
    name.map_or_else(Answer::NotAsked, |_| Answer::missing())
}
