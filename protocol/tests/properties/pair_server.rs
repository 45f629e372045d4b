//! The simulated server: a model of a store that takes its time, behind the server's half.

use std::collections::BTreeSet;

use haul_protocol::{
    Attributes, Code, Digest, Durability, Geometry, Name, Op, PartFacts, Refusal, Reply, Request,
    RequestId, ServerConnection, ServerEvent, ServerHello, ServerLimits, Time, decode_wanted,
    encode_fetched, encode_unfetched,
    limits::{MAX_BODY_LEN, MAX_HEADER_LEN, VERSION},
};

use crate::pair_client::{Kind, PART, body, file, is_whole, part, state, wanted};
use crate::pair_link::Pipe;
use crate::random::Random;

/// The answer to a question.
fn answer(item: usize) -> (Reply, Vec<u8>) {
    match Kind::of(item) {
        Kind::Get => {
            let (file, (offset, _)) = (file(item), part(item));
            let geometry = Geometry::new(file.len() as u64, PART).expect("two parts");
            let index = usize::from(offset > 0);
            let range = geometry.range(index).expect("a part");
            let [start, end] =
                [range.start, range.end].map(|at| usize::try_from(at).expect("small"));
            let mut hasher = geometry.hasher(index).expect("a part");
            assert!(hasher.update(&file[start..end]));
            let facts = PartFacts {
                size: file.len() as u64,
                attributes: Attributes::default(),
                state: state(item),
                cv: hasher.finish().filter(|_| !is_whole(item)),
                digest: Some(Digest::of(&file)),
            };
            (Reply::Part(facts), file[start..end].to_vec())
        }
        Kind::Fetch => {
            let (mut files, bytes) = (Vec::new(), body(item));
            encode_fetched(bytes.len() as u64, &Attributes::default(), &mut files)
                .expect("a small file");
            files.extend_from_slice(&bytes);
            encode_unfetched(&Refusal::new(Code::NotFound, "nothing of that name"), &mut files);
            (Reply::Fetched { more: false, digest: Digest::of(&files) }, files)
        }
        _ => (Reply::Listed { more: false, left_out: 0 }, body(item)),
    }
}

pub(crate) struct Server {
    pub(crate) half: ServerConnection,
    limits: ServerLimits,
    /// Bytes that have come and are not read.
    inbox: Vec<u8>,
    /// The rest of a body that the half does not have.
    apart: Vec<u8>,
    current: Option<(Request, Vec<u8>)>,
    /// Requests under way: when each is done, its id, and its item.
    pub(crate) tasks: Vec<(Time, RequestId, usize)>,
    /// Time that one request takes at most, in milliseconds.
    slow: u64,
    /// Items that are done, whether or not their connection lives.
    done: BTreeSet<usize>,
    refused: BTreeSet<usize>,
}

impl Server {
    pub(crate) fn new(
        items: usize,
        (window_requests, window_bytes): (u64, u64),
        slow: u64,
        random: &mut Random,
        now: Time,
    ) -> Self {
        // A client takes no smaller window of bytes.
        let window_bytes = window_bytes + MAX_BODY_LEN;
        let limits = ServerLimits { window_requests, window_bytes, ..ServerLimits::default() };
        Self {
            half: ServerConnection::new(&limits, now),
            limits,
            inbox: Vec::new(),
            apart: Vec::new(),
            current: None,
            tasks: Vec::new(),
            slow,
            done: BTreeSet::new(),
            refused: (0..items).filter(|_| random.up_to(6) == 0).collect(),
        }
    }

    pub(crate) fn has_done(&self, item: usize) -> bool {
        self.done.contains(&item)
    }

    pub(crate) fn refuses(&self, item: usize) -> bool {
        self.refused.contains(&item)
    }

    pub(crate) fn owes(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// When the next request is done.
    pub(crate) fn next(&self) -> Time {
        self.tasks.iter().map(|(at, ..)| *at).min().unwrap_or(Time::NEVER)
    }

    pub(crate) fn arrived(&mut self, mut bytes: Vec<u8>) {
        self.inbox.append(&mut bytes);
    }

    /// Carries out the requests that are due, in any order; sometimes the server acknowledges.
    pub(crate) fn work(&mut self, now: Time, random: &mut Random) -> bool {
        let due: Vec<_> = self.tasks.extract_if(.., |(at, ..)| *at <= now).collect();
        for &(_, id, item) in &due {
            let said = if self.refused.contains(&item) {
                self.half.refuse(id, Refusal::new(Code::Io, item))
            } else {
                self.done.insert(item);
                if Kind::of(item).is_change() {
                    self.half.done(id);
                    Ok(())
                } else {
                    let (reply, body) = answer(item);
                    if Kind::of(item) == Kind::Get && is_whole(item) && self.half.is_said() {
                        let said = self.half.answer_apart(id, reply, body.len() as u64);
                        self.apart = body;
                        said
                    } else {
                        self.half.answer(id, reply, &body)
                    }
                }
            };
            said.expect("a sound answer");
            if random.up_to(2) == 0 {
                self.half.acknowledge();
            }
        }
        self.half.acknowledge();
        !due.is_empty()
    }

    pub(crate) fn write(&mut self, now: Time, random: &mut Random, pipe: &mut Pipe) -> bool {
        if self.half.output().is_empty() && self.half.apart() > 0 {
            assert_eq!(self.half.apart(), self.apart.len() as u64);
            let len = pipe.send(&self.apart, now, random);
            self.apart.drain(..len);
            self.half.sent_apart(len as u64, now);
            return len > 0;
        }
        let len = pipe.send(self.half.output(), now, random);
        if len > 0 {
            self.half.sent(len, now);
        }
        len > 0
    }

    /// Reads the bytes that have come, in pieces, unless too many answers wait for the peer.
    pub(crate) fn read(&mut self, now: Time, random: &mut Random) -> bool {
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        while !rest.is_empty() && !self.half.is_full() {
            let (mut piece, behind) = rest.split_at(random.length(rest.len()));
            while let Some(event) = self.half.receive(&mut piece, now).expect("a sound client") {
                match event {
                    ServerEvent::Hello(_) => {
                        let hello = ServerHello {
                            version: VERSION,
                            agent: "pair/1".to_string(),
                            limits: self.limits,
                            durability: Durability::None,
                            tree: None,
                            features: Vec::new(),
                            account: None,
                            next_pin: None,
                        };
                        self.half.greet(hello).expect("a sound hello");
                    }
                    ServerEvent::Request(request) => self.current = Some((request, Vec::new())),
                    ServerEvent::Body(bytes) => {
                        let (_, body) = self.current.as_mut().expect("a body has a header");
                        body.extend_from_slice(bytes);
                    }
                    ServerEvent::End => {
                        if let Some((request, body)) = self.current.take() {
                            self.begin(request, &body, now, random);
                        }
                    }
                    event => panic!("{event:?}"),
                }
            }
            rest = behind;
        }
        self.inbox = rest.to_vec();
        inbox.len() > rest.len()
    }

    /// A request has come, whole.
    fn begin(&mut self, request: Request, sent: &[u8], now: Time, random: &mut Random) {
        let Request { id, op, .. } = request;
        let number = |name: &Name| name.to_string().parse().expect("an item's number");
        let items: Vec<usize> = match op.expect("a sound request") {
            Op::Put { name, digest, .. } => {
                let item = number(&name);
                assert!(sent == body(item) && digest == Digest::of(sent), "another body came");
                vec![item]
            }
            Op::Remove { name } | Op::List { name: Some(name), .. } => vec![number(&name)],
            Op::Get { name, offset, part_size, state, whole } => {
                let item = number(&name);
                assert_eq!(((offset, state), part_size), (part(item), PART));
                assert_eq!(whole, is_whole(item));
                vec![item]
            }
            Op::Fetch => {
                let names = decode_wanted(sent).expect("names");
                let item = number(&names[0]);
                assert_eq!(sent, wanted(item));
                vec![item]
            }
            Op::Bundle { count, digest } => {
                assert_eq!(digest, Digest::of(sent));
                let text = std::str::from_utf8(sent).expect("text");
                let items: Vec<_> =
                    text.lines().map(|line| line.parse().expect("a number")).collect();
                assert_eq!(items.len() as u64, count);
                items
            }
            Op::Ping => return self.half.answer(id, Reply::Done, b"").expect("a sound answer"),
            op => panic!("{op:?}"),
        };
        for (id, item) in id.row(items.len() as u64).zip(items) {
            let at = Time::from_millis(now.as_millis() + random.up_to(self.slow));
            self.tasks.push((at, id, item));
        }
    }

    /// The connection is lost. Some of the requests that it has brought are still carried out before its
    /// successor is served.
    pub(crate) fn reconnect(&mut self, random: &mut Random, now: Time) {
        for (_, _, item) in std::mem::take(&mut self.tasks) {
            if random.up_to(1) == 0 && !self.refused.contains(&item) {
                self.done.insert(item);
            }
        }
        self.half = ServerConnection::new(&self.limits, now);
        (self.inbox, self.apart, self.current) = (Vec::new(), Vec::new(), None);
    }

    /// One header, the answers that make it full and the last of them, and a book of the requests under way.
    pub(crate) fn check_bounds(&self, window_requests: u64) {
        let book = 16 * 2 * usize::try_from(window_requests).expect("small") * 40 + 4096;
        let answers = 2 * (64 * 1024 + 2000 * usize::try_from(window_requests).expect("small"));
        assert!(self.half.held_bytes() <= MAX_HEADER_LEN + book + answers, "{:?}", self.half);
    }
}
