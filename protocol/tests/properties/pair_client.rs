//! The simulated client: sends items, and checks the answer to each.

use std::collections::VecDeque;

use haul_protocol::{
    Attributes, ClientConfig, ClientConnection, ClientEvent, Code, Digest, Geometry, Name, Op,
    Reply, Time, Token, decode_fetched, encode_wanted,
};

use crate::pair_link::Pipe;
use crate::pair_server::Server;
use crate::random::Random;
use crate::strategies::sound_hello;

/// Bytes of requests that are gathered at most.
const GATHERED: usize = 2000;

/// The kind of an item, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A change with a body.
    Put,
    /// A change without one.
    Remove,
    /// A file of a bundle.
    Bundled,
    /// A question, which is answered with a body.
    Question,
    /// One part of a file, which is read.
    Get,
    /// Small files, which are read.
    Fetch,
}

impl Kind {
    pub(crate) fn of(item: usize) -> Self {
        match item % 13 {
            0 | 3 | 7 => Self::Put,
            1 => Self::Remove,
            2 | 9 => Self::Question,
            4 => Self::Get,
            11 => Self::Fetch,
            _ => Self::Bundled,
        }
    }

    /// Whether the item is acknowledged together with others.
    pub(crate) fn is_change(self) -> bool {
        matches!(self, Self::Put | Self::Remove | Self::Bundled)
    }
}

/// Size of the parts in which files are read, and of which an item is the first or the second.
pub(crate) const PART: u64 = 1024;

/// The offset and the state that the client asks for.
pub(crate) fn part(item: usize) -> (u64, Option<Token>) {
    match item % 2 {
        0 => (0, None),
        _ => (PART, Some(state(item))),
    }
}

/// Whether the client asks for the digest of the whole file only. The server sends the body itself then, if it can.
pub(crate) fn is_whole(item: usize) -> bool {
    item.is_multiple_of(3)
}

/// The state of the item's file.
pub(crate) fn state(item: usize) -> Token {
    let mut token = [7; 16];
    token[..8].copy_from_slice(&(item as u64).to_le_bytes());
    Token(token)
}

/// The file of an item that is read: of two parts.
pub(crate) fn file(item: usize) -> Vec<u8> {
    let first = u8::try_from(item % 251).expect("less than 251");
    let length = 1025 + (item * 37) % 1000;
    (0..length).map(|at| first.wrapping_add(at.to_le_bytes()[0])).collect()
}

/// The names that an item of small files asks for: its own, and one of which there is no file.
pub(crate) fn wanted(item: usize) -> Vec<u8> {
    let mut names = Vec::new();
    for name in [item.to_string(), format!("{item}/none")] {
        encode_wanted(&Name::parse(name.as_bytes()).expect("a name"), &mut names);
    }
    names
}

/// The bytes of an item.
pub(crate) fn body(item: usize) -> Vec<u8> {
    let byte = u8::try_from(item % 251).expect("less than 251");
    vec![byte; (item * 37) % 1500]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    ToSend,
    Sent,
    Settled,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) half: ClientConnection<usize>,
    states: Vec<State>,
    queue: VecDeque<usize>,
    /// Requests that lost connections have left, and all that were sent.
    left: usize,
    sent: usize,
}

fn half(now: Time) -> ClientConnection<usize> {
    let config = ClientConfig { longest_body: 1500, ..ClientConfig::default() };
    ClientConnection::new(&sound_hello(), config, now).expect("a sound hello")
}

impl Client {
    pub(crate) fn new(items: usize, now: Time) -> Self {
        Self {
            half: half(now),
            states: vec![State::ToSend; items],
            queue: (0..items).collect(),
            left: 0,
            sent: 0,
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.states.iter().all(|state| *state == State::Settled)
    }

    /// Sends the next items, as far as the window allows.
    pub(crate) fn send(&mut self, now: Time, random: &mut Random) -> bool {
        let mut any = false;
        while self.half.output().len() < GATHERED
            && let Some(&item) = self.queue.front()
        {
            if Kind::of(item) == Kind::Bundled {
                let most = random.length(5);
                let bundled = |item: &&usize| Kind::of(**item) == Kind::Bundled;
                let files: Vec<usize> =
                    self.queue.iter().take_while(bundled).take(most).copied().collect();
                let body: Vec<u8> =
                    files.iter().flat_map(|file| format!("{file}\n").into_bytes()).collect();
                let (count, length) = (files.len() as u64, body.len() as u64);
                if !self.half.has_room_for(count, length) {
                    // One file may fit where several do not.
                    if count == 1 || !self.half.has_room(length) {
                        break;
                    }
                    continue;
                }
                self.queue.drain(..files.len());
                files.iter().for_each(|&file| self.note_sent(file));
                let sent = self.half.bundle(files, Digest::of(&body), length, now);
                sent.expect("a sound bundle");
                self.half.body(&body);
            } else {
                let body = match Kind::of(item) {
                    Kind::Put => body(item),
                    Kind::Fetch => wanted(item),
                    _ => Vec::new(),
                };
                if !self.half.has_room(body.len() as u64) {
                    break;
                }
                self.queue.pop_front();
                self.note_sent(item);
                let sent = self.half.request(item, &op(item, &body), body.len() as u64, now);
                sent.expect("a sound request");
                self.half.body(&body);
            }
            any = true;
        }
        any
    }

    fn note_sent(&mut self, item: usize) {
        assert_eq!(self.states[item], State::ToSend, "item {item} is sent twice");
        self.states[item] = State::Sent;
        self.sent += 1;
    }

    pub(crate) fn write(&mut self, now: Time, random: &mut Random, pipe: &mut Pipe) -> bool {
        let len = pipe.send(self.half.output(), now, random);
        if len > 0 {
            self.half.sent(len, now);
        }
        len > 0
    }

    /// Takes received bytes, in pieces; returns whether the server has ended the connection.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        now: Time,
        random: &mut Random,
        server: &Server,
    ) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (mut piece, behind) = rest.split_at(random.length(rest.len()));
            while let Some(event) = self.half.receive(&mut piece, now).expect("a sound server") {
                match event {
                    ClientEvent::Greeted(hello) => assert_eq!(hello.agent, "pair/1"),
                    ClientEvent::Acked(items) => {
                        for item in items {
                            assert!(Kind::of(item).is_change(), "a question is acked");
                            assert!(server.has_done(item), "an ack lies about item {item}");
                            self.settle(item);
                        }
                    }
                    ClientEvent::Refused(item, refusal) => {
                        assert_eq!(refusal.message, item.to_string());
                        assert!(server.refuses(item), "item {item} is refused");
                        self.settle(item);
                    }
                    ClientEvent::Answered(item, reply, answer) => {
                        check_answer(item, &reply, &answer);
                        self.settle(item);
                    }
                    ClientEvent::Ended(_) => return true,
                    event => panic!("{event:?}"),
                }
            }
            assert!(piece.is_empty(), "all is taken before no event is left");
            rest = behind;
        }
        false
    }

    fn settle(&mut self, item: usize) {
        assert_eq!(self.states[item], State::Sent, "item {item} has a second outcome");
        self.states[item] = State::Settled;
    }

    /// Takes back the requests of the lost connection, which are those without an outcome, and begins a
    /// new one.
    pub(crate) fn reconnect(&mut self, now: Time) {
        let lost = self.half.lost();
        let left: Vec<usize> = lost.oldest.into_iter().chain(lost.newer).collect();
        let open = |item: &usize| self.states[*item] == State::Sent;
        let expected: Vec<usize> = (0..self.states.len()).filter(open).collect();
        let mut sorted = left.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "a lost connection leaves what was unanswered");
        self.left += left.len();
        for item in left.into_iter().rev() {
            self.states[item] = State::ToSend;
            self.queue.push_front(item);
        }
        self.half = half(now);
    }

    pub(crate) fn check_bounds(&self, window_requests: u64, window_bytes: u64) {
        assert!(self.half.unanswered() <= window_requests.max(1));
        let headers = usize::try_from(self.half.unanswered() + 1).expect("small") * 400;
        let bodies = usize::try_from(window_bytes).expect("small");
        assert!(self.half.output().len() <= headers + bodies + 400);
    }

    /// The client sent no item more often than lost connections made necessary.
    pub(crate) fn check_end(&self) {
        assert_eq!(self.sent, self.states.len() + self.left);
    }
}

/// Asserts that an answer is that to the item, as a client has to.
fn check_answer(item: usize, reply: &Reply, answer: &[u8]) {
    match (Kind::of(item), reply) {
        (Kind::Question, reply) => {
            assert_eq!(*reply, Reply::Listed { more: false, left_out: 0 });
            assert!(answer == body(item), "item {item} has another answer");
        }
        (Kind::Get, Reply::Part(facts)) => {
            let (file, (offset, _)) = (file(item), part(item));
            assert_eq!((facts.size, facts.state), (file.len() as u64, state(item)));
            let geometry = Geometry::new(facts.size, PART).expect("two parts");
            let index = geometry.locate(offset, answer.len() as u64).expect("a whole part");
            let mut hasher = geometry.hasher(index).expect("a part");
            assert!(hasher.update(answer));
            let cv = hasher.finish().filter(|_| !is_whole(item));
            assert_eq!((facts.cv, facts.digest), (cv, Some(Digest::of(&file))));
            let start = usize::try_from(offset).expect("small");
            assert!(*answer == file[start..start + answer.len()], "item {item}: other bytes");
        }
        (Kind::Fetch, Reply::Fetched { more: false, digest }) => {
            assert_eq!(*digest, Digest::of(answer));
            let files = decode_fetched(answer, 2).expect("two lines");
            let [Ok(file), Err(refusal)] = &files[..] else { panic!("{files:?}") };
            assert_eq!((file.bytes, &refusal.code), (&body(item)[..], &Code::NotFound));
        }
        (kind, reply) => panic!("{reply:?} answers {kind:?}"),
    }
}

fn op(item: usize, body: &[u8]) -> Op {
    let name = Name::parse(item.to_string().as_bytes()).expect("a number is a name");
    match Kind::of(item) {
        Kind::Remove => Op::Remove { name },
        Kind::Question => Op::List { name: Some(name), after: None },
        Kind::Get => {
            let (offset, state) = part(item);
            Op::Get { name, offset, part_size: PART, state, whole: is_whole(item) }
        }
        Kind::Fetch => Op::Fetch,
        Kind::Put | Kind::Bundled => Op::Put {
            name,
            size: body.len() as u64,
            digest: Digest::of(body),
            attributes: Attributes::default(),
        },
    }
}
