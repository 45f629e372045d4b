//! The questions of the hook `before-put`: those that wait for the program, in turn one of each client, and the few that the
//! program has.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::question::Question;

/// Bytes of the lines that wait; and of those of one client, which may always have one [`Question`] more.
const MOST: usize = 8 << 20;
const SHARE: usize = MOST / 4;

/// Questions that the program has at once. Later ones wait here, where a client can't get ahead of others.
pub(super) const AHEAD: usize = 32;

/// The program may take so long from its start to its first answer, if `--hook-answer` is less and the one before was not late
/// with that already.
const START: Duration = Duration::from_secs(4);

/// A file of a question, which only its connection keeps.
type File = (Weak<Question>, usize);

/// The questions that are open.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// The number of the next one.
    next: u64,
    /// By their numbers.
    open: HashMap<u64, File>,
    /// The lines that wait, by client. No client is here without a line.
    clients: HashMap<String, Waiting>,
    /// The clients in their order.
    turns: VecDeque<String>,
    /// Bytes of all lines that wait.
    bytes: usize,
    /// Those that the program has, and since when.
    asked: VecDeque<(Instant, u64)>,
    /// When the program was started, or answered last.
    heard: Option<Instant>,
    /// The program has answered since it was started.
    has_answered: bool,
    /// The one before had not, and was late.
    was_late: bool,
}

/// The lines of a client.
#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<(u64, String)>,
    bytes: usize,
}

impl Questions {
    /// Numbers for so many files; returns the first.
    pub(super) fn numbers(&mut self, count: usize) -> u64 {
        let first = self.next;
        self.next += count as u64;
        first
    }

    /// Takes the lines about the files of a question, which have these numbers from `first` on. `false`: too much waits.
    pub(super) fn add(
        &mut self,
        client: &str,
        question: &Arc<Question>,
        first: u64,
        lines: Vec<String>,
    ) -> bool {
        let more: usize = lines.iter().map(String::len).sum();
        let own = self.clients.get(client).map_or(0, |waiting| waiting.bytes);
        if self.bytes + more > MOST || (own > 0 && own + more > SHARE) {
            return false;
        }
        if own == 0 {
            self.turns.push_back(client.to_owned());
        }
        let waiting = self.clients.entry(client.to_owned()).or_default();
        self.bytes += more;
        waiting.bytes += more;
        for (at, (number, line)) in (first..).zip(lines).enumerate() {
            self.open.insert(number, (Arc::downgrade(question), at));
            waiting.lines.push_back((number, line));
        }
        true
    }

    /// The program has been started.
    pub(super) fn started(&mut self, now: Instant) {
        (self.heard, self.has_answered) = (Some(now), false);
    }

    /// Appends the lines that the program gets now.
    pub(super) fn ask(&mut self, out: &mut Vec<u8>, now: Instant) {
        while self.asked.len() < AHEAD {
            let Some(client) = self.turns.pop_front() else { break };
            let Some(waiting) = self.clients.get_mut(&client) else { continue };
            if let Some((number, line)) = waiting.lines.pop_front() {
                waiting.bytes -= line.len();
                self.bytes -= line.len();
                // Otherwise its connection is gone, and nobody wants an answer.
                let is_wanted = |(question, _): &File| question.strong_count() > 0;
                if self.open.get(&number).is_some_and(is_wanted) {
                    out.extend_from_slice(line.as_bytes());
                    self.asked.push_back((now, number));
                } else {
                    self.open.remove(&number);
                }
            }
            if waiting.lines.is_empty() {
                self.clients.remove(&client);
            } else {
                self.turns.push_back(client);
            }
        }
    }

    /// Whether the program is late, and has to be ended.
    pub(super) fn is_late(&mut self, time: Duration, now: Instant) -> bool {
        let is_late = self.due(time).is_some_and(|due| due <= now);
        self.was_late |= is_late && !self.has_answered;
        is_late
    }

    /// When the program is late: it has `time` for an answer to any question, and is asked no more than [`AHEAD`] of them, so
    /// each one is answered within as many times that.
    pub(super) fn due(&self, time: Duration) -> Option<Instant> {
        let (since, _) = self.asked.front()?;
        let is_new = !self.has_answered && !self.was_late;
        let time = if is_new { time.max(START) } else { time };
        let any = self.heard.map_or(*since, |heard| heard.max(*since)) + time;
        let own = *since + time * u32::try_from(AHEAD).unwrap_or(u32::MAX);
        Some(any.min(own))
    }

    /// The program has answered; `None`: it does not have the question.
    pub(super) fn answered(&mut self, number: u64, now: Instant) -> Option<File> {
        let at = self.asked.iter().position(|(_, asked)| *asked == number)?;
        self.asked.remove(at);
        (self.heard, self.has_answered, self.was_late) = (Some(now), true, false);
        self.open.remove(&number)
    }

    /// Takes all of them: they have failed.
    pub(super) fn take_all(&mut self) -> Vec<File> {
        let Self { open, clients, turns, bytes, asked, .. } = self;
        clients.clear();
        turns.clear();
        asked.clear();
        *bytes = 0;
        open.drain().map(|(_, file)| file).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const TIME: Duration = Duration::from_secs(1);

    fn question(count: usize) -> Arc<Question> {
        Arc::new(Question::new(count, Waker::noop().clone()))
    }

    /// Adds a question about so many files, each with a line of so many bytes.
    fn add(
        questions: &mut Questions,
        client: &str,
        count: usize,
        bytes: usize,
    ) -> Option<Arc<Question>> {
        let (question, first) = (question(count), questions.numbers(count));
        let line = format!("{client}{}\n", "x".repeat(bytes - client.len() - 1));
        questions.add(client, &question, first, vec![line; count]).then_some(question)
    }

    /// The clients whose lines the program gets.
    fn asked(questions: &mut Questions, now: Instant) -> Vec<char> {
        let mut out = Vec::new();
        questions.ask(&mut out, now);
        let text = String::from_utf8(out).unwrap();
        text.lines().map(|line| line.chars().next().unwrap()).collect()
    }

    #[test]
    fn clients_are_asked_about_in_turn() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let _many = add(&mut questions, "a", 200, 10).unwrap();
        assert_eq!(asked(&mut questions, now), ['a'; AHEAD]);
        let _few = add(&mut questions, "b", 2, 10).unwrap();
        // The program has enough until it answers.
        assert!(asked(&mut questions, now).is_empty());
        for number in 0..4 {
            assert!(questions.answered(number, now).is_some());
        }
        assert_eq!(asked(&mut questions, now), ['a', 'b', 'a', 'b']);
        assert!(questions.answered(0, now).is_none(), "twice");
        assert!(questions.answered(199, now).is_none(), "not asked yet");
    }

    #[test]
    fn client_has_a_share_of_what_waits_and_always_one_question() {
        let mut questions = Questions::default();
        let large = add(&mut questions, "a", 200, 25_000).unwrap();
        assert!(add(&mut questions, "a", 1, 10).is_none());
        let own = add(&mut questions, "b", 80, 25_000).unwrap();
        assert!(add(&mut questions, "b", 80, 25_000).is_none());
        let _more = add(&mut questions, "c", 80, 10).unwrap();
        assert!(add(&mut questions, "d", 200, 25_000).is_none(), "over the bound of all");
        assert_eq!(questions.take_all().len(), 360);
        assert_eq!((questions.bytes, questions.open.len()), (0, 0));
        assert!(add(&mut questions, "d", 200, 25_000).is_some());
        drop((large, own));
    }

    #[test]
    fn connection_that_is_gone_asks_nothing() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        drop(add(&mut questions, "a", 5, 10));
        let _b = add(&mut questions, "b", 1, 10).unwrap();
        assert_eq!(asked(&mut questions, now), ['b']);
        assert_eq!(questions.open.len(), 1);
        assert_eq!(questions.bytes, 0);
    }

    #[test]
    fn program_is_late_if_it_answers_nothing_and_not_if_it_answers_one_after_the_other() {
        let (mut questions, start) = (Questions::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        questions.started(start);
        assert_eq!(questions.due(TIME), None);
        let _many = add(&mut questions, "a", 3, 10).unwrap();
        asked(&mut questions, at(1));
        // It has not answered since its start, nor the one that is started then.
        assert_eq!(questions.due(TIME), Some(at(1) + START));
        assert!(!questions.is_late(TIME, at(2)) && questions.is_late(TIME, at(1) + START));
        questions.started(at(4));
        assert_eq!(questions.due(TIME), Some(at(5)));
        questions.answered(1, at(5));
        assert_eq!(questions.due(TIME), Some(at(6)));
        questions.answered(2, at(6));
        assert_eq!(questions.due(TIME), Some(at(7)));
        // One that it never answers.
        let _more = add(&mut questions, "a", 90, 10).unwrap();
        asked(&mut questions, at(6));
        for number in 3..80 {
            questions.answered(number, at(number));
            asked(&mut questions, at(number));
        }
        assert_eq!(questions.due(TIME), Some(at(1 + AHEAD as u64)));
    }
}
