//! Runs a decoder over a stream that arrives in pieces.

use haul_protocol::limits::{MAX_HEADER_LEN, PREFIX_LEN};
use haul_protocol::{DecodeError, Decoder, Event, Headers};

/// One event, with the pieces of a body put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen<H> {
    Header(H),
    Body(Vec<u8>),
    End,
}

/// Adds an event; pieces of one body are joined, because their cuts are those of the input.
pub(crate) fn add<H>(seen: &mut Vec<Seen<H>>, event: Event<'_, H>) {
    match (event, seen.last_mut()) {
        (Event::Body(bytes), Some(Seen::Body(body))) => body.extend_from_slice(bytes),
        (Event::Body(bytes), _) => seen.push(Seen::Body(bytes.to_vec())),
        (Event::Header(header), _) => seen.push(Seen::Header(header)),
        (Event::End, _) => seen.push(Seen::End),
    }
}

/// All events of a stream and how it ends. The pieces have the given lengths, over and over; a
/// length of 0 is a read that brought nothing, and no lengths at all mean one piece.
pub(crate) fn run<S: Headers>(
    side: S,
    mut stream: &[u8],
    lengths: &[usize],
) -> (Vec<Seen<S::Header>>, Result<(), DecodeError>) {
    let mut decoder = Decoder::new(side);
    let mut seen = Vec::new();
    let mut lengths = lengths.iter().cycle();
    while !stream.is_empty() {
        let len = lengths.next().map_or(stream.len(), |&len| len.min(stream.len()));
        let (mut piece, rest) = stream.split_at(len);
        stream = rest;
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(event)) => add(&mut seen, event),
                Ok(None) => break,
                Err(error) => return (seen, Err(error)),
            }
        }
        assert!(piece.is_empty(), "`None` means that all input is taken");
        assert!(decoder.held() <= MAX_HEADER_LEN + PREFIX_LEN);
    }
    (seen, decoder.finish())
}
