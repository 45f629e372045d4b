//! The hook `before-put`: one program that is kept running, and is asked before the bytes of a file are taken.
//!
//! A connection puts its question into a queue and waits for its turn; no worker waits. One thread writes the questions of all
//! connections to the program, a few at a time ([`Questions`]), a line for each file, and reads a line for each answer, in any
//! order. If the program does not answer in time, ends, or says what is no answer, all open questions have failed, the program is
//! killed, and is started again.

use std::io;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;

use super::last::Last;
use super::output::Output;
use super::program::{Ended, Running};
use super::question::{Answer, Asked, Question, line, parse};
use super::questions::Questions;
use super::{BEFORE_PUT, Failure, Program};
use crate::audit::Who;
use crate::locks::{Mutex, Rank};
use crate::metrics::Metrics;

/// Pauses before the program is started again, each twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Bytes of the longest line of the program.
const LONGEST: usize = 64 * 1024;

/// The hook.
#[derive(Debug)]
pub(crate) struct BeforePut {
    queue: Mutex<Queue>,
    /// Rung when there are questions, or the server stops.
    bell: OwnedFd,
    program: Program,
    last: Last,
}

#[derive(Debug, Default)]
struct Queue {
    questions: Questions,
    stops: bool,
}

/// The program, and what goes to and fro.
#[derive(Debug)]
struct Talk {
    running: Running,
    out: Vec<u8>,
    /// The begin of a line that has not come whole.
    line: Vec<u8>,
}

impl BeforePut {
    /// Has asked nothing yet.
    ///
    /// # Errors
    /// If a resource can't be had.
    pub(crate) fn new(program: Program) -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let queue = Mutex::new(Rank::HookQueue, Queue::default());
        Ok(Self { queue, bell, program, last: Last::new(BEFORE_PUT) })
    }

    /// Asks about files of one client, whose connection is woken when all is answered.
    pub(crate) fn ask(
        &self,
        files: &[Asked<'_>],
        (who, dialect): (&Who, &'static str),
        waker: Waker,
    ) -> Arc<Question> {
        let question = Arc::new(Question::new(files.len(), waker));
        let first = self.queue.lock().questions.numbers(files.len());
        let lines = (first..).zip(files).map(|(number, file)| line(number, file, who, dialect));
        let lines = lines.collect();
        let client = match &who.account {
            Some(account) => format!("account {account}"),
            // Many machines may be behind one address, and one connection asks one question at a time.
            None => who.address.clone(),
        };
        let mut queue = self.queue.lock();
        let is_taken = !queue.stops && queue.questions.add(&client, &question, first, lines);
        drop(queue);
        if is_taken {
            self.ring();
        } else {
            question.is_given_up();
        }
        question
    }

    /// The last failure, if the hook has not worked since.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.last.get()
    }

    /// The server stops.
    pub(crate) fn stop(&self) {
        self.queue.lock().stops = true;
        self.ring();
    }

    fn ring(&self) {
        // It fails only if it rings already.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// Runs the program until the server stops.
    pub(crate) fn run(&self, metrics: &Metrics) {
        let mut output = Output::new(BEFORE_PUT);
        let (mut talk, mut pause, mut again) = (None, FIRST_PAUSE, Instant::now());
        loop {
            let stops = self.queue.lock().stops;
            if stops {
                end(talk, &mut output);
                self.fail_all("the server stops", metrics);
                return;
            }
            let failed = match &mut talk {
                Some(talk) => {
                    let talked = self.talk(talk, &mut output, metrics);
                    if talked == Ok(true) {
                        pause = FIRST_PAUSE;
                        self.last.worked();
                    }
                    talked.err()
                }
                None if Instant::now() < again => {
                    self.fail_all("the program was not started again yet", metrics);
                    self.wait(&[], again.saturating_duration_since(Instant::now()));
                    None
                }
                None => match self.program.host.run(self.program.number) {
                    Ok(running) => {
                        self.queue.lock().questions.started(Instant::now());
                        talk = Some(Talk { running, out: Vec::new(), line: Vec::new() });
                        None
                    }
                    Err(error) => Some(format!("could not be started: {error}")),
                },
            };
            if let Some(why) = failed {
                end(talk.take(), &mut output);
                self.fail_all(&why, metrics);
                metrics.hooks.broken.add(1);
                tracing::warn!(hook = BEFORE_PUT, why, again_in = ?pause, "failed");
                self.last.failed(why);
                again = Instant::now() + pause;
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
        }
    }

    /// One exchange with the program. Returns whether there were answers; an error if the program is of no more use.
    fn talk(
        &self,
        talk: &mut Talk,
        output: &mut Output,
        metrics: &Metrics,
    ) -> Result<bool, String> {
        let now = Instant::now();
        let mut queue = self.queue.lock();
        queue.questions.ask(&mut talk.out, now);
        let is_late = queue.questions.is_late(self.program.time, now);
        let due = queue.questions.due(self.program.time);
        drop(queue);
        if is_late {
            return Err(format!("has not answered within {:?}", self.program.time));
        }
        talk.write()?;
        let time = due.map_or(Duration::from_secs(3600), |due| due.saturating_duration_since(now));
        let Running { control, output: said, error, input, .. } = &talk.running;
        let mut watched = vec![PollFd::new(control, PollFlags::IN)];
        for pipe in [said, error].into_iter().flatten() {
            watched.push(PollFd::new(pipe, PollFlags::IN));
        }
        if let Some(input) = input.as_ref().filter(|_| !talk.out.is_empty()) {
            watched.push(PollFd::from_borrowed_fd(input.as_fd(), PollFlags::OUT));
        }
        self.wait(&watched, time);
        output.read(&mut talk.running.error);
        let answers = talk.read()?;
        let has_answers = !answers.is_empty();
        for (number, answer) in answers {
            self.answer(number, answer, metrics);
        }
        match talk.running.ended() {
            None => Ok(has_answers),
            Some(Ended::Well) => Err(String::from("ended with exit code 0")),
            Some(Ended::Badly(why)) => Err(why),
        }
    }

    /// Waits for the bell or one of these.
    fn wait(&self, watched: &[PollFd<'_>], time: Duration) {
        let mut watched = watched.to_vec();
        watched.push(PollFd::new(&self.bell, PollFlags::IN));
        let time = Timespec::try_from(time).ok();
        // The caller looks at each cause that may have ended the wait.
        let _ = poll(&mut watched, time.as_ref());
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
    }

    fn answer(&self, number: u64, answer: Answer, metrics: &Metrics) {
        // An answer that comes twice, or late, is of no use.
        let answered = self.queue.lock().questions.answered(number, Instant::now());
        if let Some(file) = answered {
            give(file, answer, metrics);
        }
    }

    /// All open questions have failed.
    fn fail_all(&self, why: &str, metrics: &Metrics) {
        let all = self.queue.lock().questions.take_all();
        for file in all {
            give(file, Answer::Failed(why.to_owned()), metrics);
        }
    }
}

/// Gives a connection the answer about a file, and wakes it with the last one.
fn give((question, at): (Weak<Question>, usize), answer: Answer, metrics: &Metrics) {
    match &answer {
        Answer::Allowed => metrics.hooks.allowed.add(1),
        Answer::Refused(_) => metrics.hooks.refused_files.add(1),
        Answer::Failed(_) => metrics.hooks.unanswered.add(1),
        Answer::NotAsked(_) => {}
    }
    if let Some(waker) = question.upgrade().and_then(|question| question.answer(at, answer)) {
        waker.wake();
    }
}

/// The program has ended, or is killed now.
fn end(talk: Option<Talk>, output: &mut Output) {
    if let Some(mut talk) = talk {
        output.end([&mut talk.running.error]);
    }
}

impl Talk {
    /// Writes as much as the program takes.
    fn write(&mut self) -> Result<(), String> {
        let Some(input) = &self.running.input else { return Ok(()) };
        let mut written = 0;
        while written < self.out.len() {
            match rustix::io::write(input, &self.out[written..]) {
                Ok(len) => written += len,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                // It ends soon, and that tells more.
                Err(Errno::PIPE) => {
                    self.running.input = None;
                    break;
                }
                Err(errno) => return Err(errno.to_string()),
            }
        }
        self.out.drain(..written);
        Ok(())
    }

    /// The answers that have come.
    fn read(&mut self) -> Result<Vec<(u64, Answer)>, String> {
        let mut answers = Vec::new();
        let Some(said) = &self.running.output else { return Ok(answers) };
        let mut piece = [0; 16 * 1024];
        match rustix::io::read(said, &mut piece) {
            Ok(0) => self.running.output = None,
            Ok(len) => self.line.extend_from_slice(&piece[..len]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(errno.to_string()),
        }
        let mut rest = &self.line[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            answers.push(parse(&rest[..end]).ok_or("has said what is no answer")?);
            rest = &rest[end + 1..];
        }
        let over = self.line.len() - rest.len();
        self.line.drain(..over);
        if self.line.len() > LONGEST {
            return Err(String::from("has said what is no answer"));
        }
        Ok(answers)
    }
}
