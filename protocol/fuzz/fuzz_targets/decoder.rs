//! Feeds arbitrary bytes to the decoders of both sides, whole and in pieces of arbitrary lengths, and to that of
//! bundles. Bytes that are UTF-8 are read as a pin and as an access token, too.
//!
//! An input is: a number of lengths (its low 4 bits count), the lengths of pieces, one byte each,
//! which are used over and over, and the stream.

#![no_main]

use std::fmt::Debug;

use haul_protocol::limits::{MAX_HEADER_LEN, PREFIX_LEN};
use haul_protocol::{
    AccessToken, Answers, DecodeError, Decoder, Event, Headers, Pin, Requests, decode_bundle,
};
use libfuzzer_sys::fuzz_target;

/// One event, with the pieces of a body put together.
#[derive(Debug, PartialEq)]
enum Seen<H> {
    Header(H),
    Body(Vec<u8>),
    End,
}

fuzz_target!(|input: &[u8]| {
    let Some((&count, rest)) = input.split_first() else {
        return;
    };
    let Some((lengths, stream)) = rest.split_at_checked((count % 16).into()) else {
        return;
    };
    check(Requests::default, stream, lengths);
    check(|| Answers, stream, lengths);
    if let Ok(files) = decode_bundle(stream, count.into()) {
        assert_eq!(files.len(), usize::from(count));
    }
    if let Ok(text) = std::str::from_utf8(stream) {
        if let Ok(pin) = text.parse::<Pin>() {
            assert_eq!(pin.to_string().parse(), Ok(pin));
        }
        if let Ok(token) = text.parse::<AccessToken>() {
            assert_eq!(token.expose(), text.trim());
        }
    }
});

/// The events must not depend on the cuts in the stream.
fn check<S: Headers>(side: impl Fn() -> S, stream: &[u8], lengths: &[u8])
where
    S::Header: Debug + PartialEq,
{
    assert_eq!(run(side(), stream, lengths), run(side(), stream, &[]));
}

fn run<S: Headers>(
    side: S,
    mut stream: &[u8],
    lengths: &[u8],
) -> (Vec<Seen<S::Header>>, Result<(), DecodeError>) {
    let mut decoder = Decoder::new(side);
    let mut seen = Vec::new();
    let mut lengths = lengths.iter().cycle();
    while !stream.is_empty() {
        // A length of 0 stands for 256, so that every piece makes progress.
        let len = lengths
            .next()
            .map_or(stream.len(), |&len| usize::from(len.wrapping_sub(1)) + 1);
        let (mut piece, rest) = stream.split_at(len.min(stream.len()));
        stream = rest;
        loop {
            match decoder.decode(&mut piece) {
                Ok(None) => break,
                Ok(Some(Event::Header(header))) => seen.push(Seen::Header(header)),
                Ok(Some(Event::End)) => seen.push(Seen::End),
                Ok(Some(Event::Body(bytes))) => match seen.last_mut() {
                    Some(Seen::Body(body)) => body.extend_from_slice(bytes),
                    _ => seen.push(Seen::Body(bytes.to_vec())),
                },
                Err(error) => return (seen, Err(error)),
            }
            assert!(decoder.held() <= MAX_HEADER_LEN + PREFIX_LEN);
        }
        assert!(piece.is_empty(), "`None` means that all input is taken");
        assert!(decoder.held() <= MAX_HEADER_LEN + PREFIX_LEN);
    }
    (seen, decoder.finish())
}
