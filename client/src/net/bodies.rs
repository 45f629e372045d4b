//! Bodies on their way: each stands behind the header of its request, and is sent from the buffer into which it was read.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::body::Body;
use super::transport::PIECES;

/// Bytes of the longest body whose buffer is one of several. The buffers of longer ones would take too much memory.
const LARGE: usize = 128 * 1024;

/// Bodies that wait to be sent between the bytes of the output, which are their headers and all requests without a body.
///
/// Invariant: there is one body over [`LARGE`] at most, and it is the last one.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    waiting: VecDeque<Waiting>,
    /// Bytes of the first one that are sent.
    sent: usize,
    /// Bytes of the output that come before the last one.
    before: usize,
    /// Bytes that are not sent.
    left: usize,
    /// Buffers for the next ones.
    spare: Vec<Body>,
    /// The buffer of the last large one.
    large: Body,
}

#[derive(Debug)]
struct Waiting {
    /// Bytes of the output between the body before it and this one.
    before: usize,
    body: Body,
}

impl Bodies {
    /// Bytes of bodies that are not sent.
    pub(super) fn len(&self) -> usize {
        self.left
    }

    /// Whether a large body waits, behind which nothing may be put.
    pub(super) fn has_large(&self) -> bool {
        self.waiting.back().is_some_and(|last| last.body.len() > LARGE)
    }

    /// Takes a body that is not empty, and gives another buffer for it. `output`: the bytes of the output, all of which come
    /// before it.
    pub(super) fn push(&mut self, body: &mut Body, output: usize) {
        debug_assert!(!body.is_empty() && !self.has_large(), "no place for a body");
        let next = match body.len() {
            ..=LARGE => self.spare.pop().unwrap_or_default(),
            _ => std::mem::take(&mut self.large),
        };
        let body = std::mem::replace(body, next);
        self.left += body.len();
        self.waiting.push_back(Waiting { before: output - self.before, body });
        self.before = output;
    }

    /// The next pieces of output and bodies in their order: so many bytes at most.
    pub(super) fn pieces<'a>(&'a self, output: &'a [u8], most: usize) -> [IoSlice<'a>; PIECES] {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let (mut rest, mut left, mut sent) = (output, most, self.sent);
        let mut room = pieces.iter_mut();
        let mut put = |bytes: &'a [u8]| match room.next() {
            Some(piece) => {
                let bytes = &bytes[..bytes.len().min(left)];
                *piece = IoSlice::new(bytes);
                left -= bytes.len();
            }
            None => left = 0,
        };
        for Waiting { before, body } in &self.waiting {
            let (header, behind) = rest.split_at(*before);
            put(header);
            put(&body[std::mem::take(&mut sent)..]);
            rest = behind;
        }
        put(rest);
        pieces
    }

    /// So many bytes of the pieces are sent. Returns how many of them are bytes of the output.
    pub(super) fn take(&mut self, bytes: usize) -> usize {
        let (mut bytes, mut of_output) = (bytes, 0);
        while let Some(first) = self.waiting.front_mut() {
            let of_header = first.before.min(bytes);
            let of_body = (bytes - of_header).min(first.body.len() - self.sent);
            first.before -= of_header;
            self.before -= of_header;
            self.sent += of_body;
            self.left -= of_body;
            of_output += of_header;
            bytes -= of_header + of_body;
            if self.sent < first.body.len() {
                return of_output;
            }
            self.sent = 0;
            if let Some(Waiting { body, .. }) = self.waiting.pop_front() {
                self.give_back(body);
            }
        }
        of_output + bytes
    }

    /// A buffer is free.
    fn give_back(&mut self, mut body: Body) {
        body.clear();
        if body.held() > 2 * LARGE {
            self.large = body;
        } else {
            self.spare.push(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(len: usize, byte: u8) -> Body {
        let mut body = Body::default();
        body.room(len).fill(byte);
        body
    }

    /// Sends everything by so many bytes at a time.
    fn send(bodies: &mut Bodies, mut output: &[u8], step: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        while !output.is_empty() || bodies.len() > 0 {
            let pieces = bodies.pieces(output, step);
            let before = sent.len();
            pieces.iter().for_each(|piece| sent.extend_from_slice(piece));
            let len = sent.len() - before;
            assert!((1..=step).contains(&len), "{len} of {step}");
            output = &output[bodies.take(len)..];
        }
        sent
    }

    #[test]
    fn bodies_are_sent_behind_their_headers() {
        for step in [1, 3, 50, usize::MAX] {
            let (mut bodies, mut output, mut expected) =
                (Bodies::default(), Vec::new(), Vec::new());
            // More than are sent at once, and two of them with nothing between.
            for index in 0..20 {
                let header = [index; 7];
                let header = &header[..usize::from(index % 7)];
                output.extend_from_slice(header);
                expected.extend_from_slice(header);
                let mut body = body(10 + usize::from(index), 100 + index);
                expected.extend_from_slice(&body);
                bodies.push(&mut body, output.len());
                assert!(body.is_empty());
            }
            output.extend_from_slice(b"ping");
            expected.extend_from_slice(b"ping");
            assert_eq!(bodies.len(), expected.len() - output.len());
            assert_eq!(send(&mut bodies, &output, step), expected, "{step}");
            // Requests alone.
            assert_eq!(send(&mut bodies, b"alone", step), b"alone");
        }
    }

    #[test]
    fn buffers_come_again_and_large_ones_only_for_large_bodies() {
        let (mut bodies, mut next) = (Bodies::default(), body(LARGE, 1));
        let place = next.as_ptr();
        bodies.push(&mut next, 0);
        send(&mut bodies, b"", usize::MAX);
        next = body(1 << 20, 3);
        let large = next.as_ptr();
        bodies.push(&mut next, 0);
        assert!(bodies.has_large());
        send(&mut bodies, b"", 100_000);
        assert!(!bodies.has_large());
        for (len, before) in [(1, place), (LARGE + 1, large)] {
            let mut next = body(len, 4);
            bodies.push(&mut next, 0);
            next.room(1);
            assert_eq!(next.as_ptr(), before, "{len}");
            send(&mut bodies, b"", usize::MAX);
        }
    }
}
