//! Thousands of connections that follow one script, on one thread. Their own memory is small: all share the bytes of
//! the script.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use haul_tests::peer::frame;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::kind::Kind;
use super::stream::Stream;
pub(super) use super::stream::{Places, Way};

/// A step of a peer.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Sends these bytes, the same as all others.
    Send(Vec<u8>),
    /// The same past TLS, if there is TLS.
    Raw(Vec<u8>),
    /// Sends bytes that differ from peer to peer: of the peer with this number.
    Own(fn(usize) -> Vec<u8>),
    /// Begins the first part of the upload that it was told of; so many of its bytes.
    Part { id: u64, length: usize, sent: usize },
    /// Reads so many answers.
    Read(u64),
    /// Does nothing for a while.
    Pause(Duration),
    /// Sends these bytes again and again, as long as anybody takes them.
    Forever(Vec<u8>),
}

/// Between two times that [`Step::Forever`] sends.
const AGAIN: Duration = Duration::from_millis(100);

/// Length of one wait for readiness, so that a pause ends and memory is looked at in time.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Counts of the peers by their ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Peers that are done with their scripts, and were not refused.
    pub(super) held: usize,
    /// Peers that had a request refused, or their connection ended.
    pub(super) refused: usize,
    /// Peers that are not done.
    pub(super) unfinished: usize,
}

/// All connections of one phase.
#[derive(Debug)]
pub(super) struct Peers<'a> {
    script: &'a [Step],
    peers: Vec<Peer>,
}

#[derive(Debug)]
struct Peer {
    number: usize,
    stream: Stream,
    /// The step, and how many of its bytes are sent or answers read.
    at: usize,
    done: usize,
    /// The bytes of the step, if they are its own.
    own: Vec<u8>,
    /// Moment before which the peer does nothing.
    not_before: Option<Instant>,
    answers: Answers,
    over: bool,
}

/// Reads frames from a peer's stream; bodies are skipped.
#[derive(Debug, Default)]
struct Answers {
    bytes: Vec<u8>,
    skip: usize,
    count: u64,
    refused: bool,
    upload: Option<String>,
}

impl<'a> Peers<'a> {
    /// Connects so many.
    pub(super) fn connect(places: &Places<'_>, count: usize, kind: &'a Kind) -> io::Result<Self> {
        let connect = |number| Ok(Peer::new(number, places.connect(kind.way, kind.send_buffer)?));
        let peers = (0..count).map(connect).collect::<io::Result<_>>()?;
        Ok(Self { script: &kind.script, peers })
    }

    /// Lets all go on with their scripts for as long as `on` says so; `on` is asked a hundred times a second.
    pub(super) fn run(
        &mut self,
        mut on: impl FnMut(Tally) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        while on(self.tally())? {
            let now = Instant::now();
            let (mut who, mut fds) = (Vec::new(), Vec::new());
            for (index, peer) in self.peers.iter().enumerate() {
                if let Some(flags) = peer.waits_for(self.script, now) {
                    who.push(index);
                    fds.push(PollFd::new(&peer.stream, flags));
                }
            }
            match poll(&mut fds, Some(&TICK)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
            let ready: Vec<_> = fds.iter().map(PollFd::revents).collect();
            for (index, flags) in who.into_iter().zip(ready) {
                if flags.is_empty() {
                    continue;
                }
                let peer = &mut self.peers[index];
                if flags.intersects(PollFlags::HUP | PollFlags::ERR)
                    || peer.go_on(self.script).is_err()
                {
                    peer.over = true;
                }
            }
        }
        Ok(())
    }

    /// The ends of the peers, as far as they know.
    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for peer in &self.peers {
            if peer.over || peer.answers.refused {
                tally.refused += 1;
            } else if peer.is_done(self.script) {
                tally.held += 1;
            } else {
                tally.unfinished += 1;
            }
        }
        tally
    }

    /// All peers read the bytes that were sent to them, see whether their connections were ended, and leave.
    pub(super) fn leave(mut self) -> Tally {
        for peer in &mut self.peers {
            // The bytes behind the first ones do not matter.
            for _ in 0..4 {
                match peer.read() {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => {
                        peer.over = true;
                        break;
                    }
                }
            }
        }
        self.tally()
    }
}

impl Peer {
    fn new(number: usize, stream: Stream) -> Self {
        let (own, answers) = (Vec::new(), Answers::default());
        Self { number, stream, at: 0, done: 0, own, not_before: None, answers, over: false }
    }

    fn is_done(&self, script: &[Step]) -> bool {
        matches!(script.get(self.at), None | Some(Step::Forever(_)))
    }

    fn waits_for(&self, script: &[Step], now: Instant) -> Option<PollFlags> {
        if self.over || self.not_before.is_some_and(|moment| moment > now) {
            return None;
        }
        match script.get(self.at) {
            None => None,
            Some(Step::Read(_)) => Some(PollFlags::IN),
            Some(_) => Some(PollFlags::OUT),
        }
    }

    /// At most one write or read: bytes of several steps come in several pieces.
    fn go_on(&mut self, script: &[Step]) -> io::Result<()> {
        let Some(step) = script.get(self.at) else { return Ok(()) };
        match step {
            Step::Pause(time) => {
                self.not_before = Some(Instant::now() + *time);
                self.next();
                Ok(())
            }
            Step::Read(count) => {
                let before = self.answers.count;
                let read = self.read();
                self.done += usize::try_from(self.answers.count - before).unwrap_or(0);
                if self.done as u64 >= *count {
                    self.next();
                }
                unless_blocked(read)
            }
            Step::Send(_) | Step::Raw(_) | Step::Own(_) | Step::Part { .. } | Step::Forever(_) => {
                if self.done == 0 {
                    self.own = self.prepare(step);
                }
                let bytes = match step {
                    Step::Send(bytes) | Step::Raw(bytes) | Step::Forever(bytes) => bytes,
                    _ => &self.own,
                };
                let (len, rest) = (bytes.len(), &bytes[self.done..]);
                let sent = match step {
                    Step::Raw(_) => self.stream.write_raw(rest),
                    _ => self.stream.write(rest),
                };
                match sent {
                    Ok(sent) => self.done += sent,
                    Err(error) => return unless_blocked(Err(error)),
                }
                if self.done == len {
                    if let Err(error) = self.stream.flush() {
                        return unless_blocked(Err(error));
                    }
                    if matches!(step, Step::Forever(_)) {
                        self.done = 0;
                        self.not_before = Some(Instant::now() + AGAIN);
                    } else {
                        self.next();
                    }
                }
                Ok(())
            }
        }
    }

    fn next(&mut self) {
        self.at += 1;
        self.done = 0;
        self.own = Vec::new();
    }

    /// The bytes of a step that are not in the script.
    fn prepare(&self, step: &Step) -> Vec<u8> {
        match (step, &self.answers.upload) {
            (Step::Own(bytes), _) => bytes(self.number),
            (Step::Part { id, length, sent }, Some(token)) => {
                let header = json!({
                    "cmd": "part", "id": id, "length": length, "upload": token, "offset": 0,
                    "cv": "0".repeat(64),
                });
                frame(&header, &vec![0; *sent])
            }
            // A peer whose upload was refused has no part of it to send.
            _ => vec![0],
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 1 << 14];
        match self.stream.read(&mut buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            len => {
                self.answers.take(&buffer[..len]);
                Ok(())
            }
        }
    }
}

fn unless_blocked(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(())
        }
        result => result,
    }
}

impl Answers {
    fn take(&mut self, mut bytes: &[u8]) {
        let skipped = bytes.len().min(self.skip);
        self.skip -= skipped;
        bytes = &bytes[skipped..];
        let held = std::mem::take(&mut self.bytes);
        let mut bytes =
            if held.is_empty() { Cow::Borrowed(bytes) } else { [&held, bytes].concat().into() };
        while let Some((header, end)) = first_header(&bytes) {
            let body =
                header["length"].as_u64().map_or(0, |body| usize::try_from(body).unwrap_or(0));
            let there = body.min(bytes.len() - end);
            self.skip = body - there;
            bytes = Cow::Owned(bytes[end + there..].to_vec());
            self.count += 1;
            self.refused |= header.get("refused").is_some();
            if let Some(upload) = header["upload"].as_str() {
                self.upload = Some(upload.to_owned());
            }
        }
        self.bytes = bytes.into_owned();
    }
}

/// A header that is here whole, and where it ends.
fn first_header(bytes: &[u8]) -> Option<(Value, usize)> {
    let prefix = bytes.first_chunk::<4>()?;
    let end = 4 + usize::try_from(i32::from_le_bytes(*prefix)).ok()?;
    let header = bytes.get(4..end)?;
    Some((serde_json::from_slice(header).unwrap_or_default(), end))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn answers_are_counted_in_whatever_pieces_they_come() {
        let bytes = [
            frame(&json!({"answer": 1, "length": 5}), b"hello"),
            frame(&json!({"answer": 2, "upload": "abc"}), b""),
            frame(&json!({"refused": 3, "code": "busy"}), b""),
            b"\x10\0".to_vec(),
        ]
        .concat();
        for size in 1..bytes.len() {
            let mut answers = Answers::default();
            bytes.chunks(size).for_each(|piece| answers.take(piece));
            assert_eq!((answers.count, answers.refused), (3, true), "in pieces of {size}");
            assert_eq!(answers.upload.as_deref(), Some("abc"));
            assert_eq!(answers.bytes, b"\x10\0");
        }
    }

    #[test]
    fn peer_follows_its_script_and_tells_who_was_ended() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let script =
            [Step::Send(b"one".to_vec()), Step::Own(|number| vec![b'0'; number]), Step::Read(1)];
        let mut peers = Peers { script: &script, peers: vec![Peer::new(2, Stream::Unix(ours))] };
        peers.run(|_| Ok(false)).unwrap();
        let mut passes = 0;
        let mut some = |_: Tally| {
            passes += 1;
            Ok(passes % 5 != 0)
        };
        peers.run(&mut some).unwrap();
        let mut read = [0; 5];
        (&theirs).read_exact(&mut read).unwrap();
        assert_eq!(&read, b"one00");
        assert_eq!(peers.tally(), Tally { unfinished: 1, ..Tally::default() });
        (&theirs).write_all(&frame(&json!({"ack": 1}), b"")).unwrap();
        peers.run(&mut some).unwrap();
        assert_eq!(peers.tally(), Tally { held: 1, ..Tally::default() });
        drop(theirs);
        assert_eq!(peers.leave(), Tally { refused: 1, ..Tally::default() });
    }
}
