//! The cuts in a stream make no difference, and no bytes make the decoder panic or hoard.

use haul_protocol::{Answers, Hello, Requests, encode};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::events::run;
use crate::strategies;

/// Requests after a hello, as bytes.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    (strategies::hello(), vec(strategies::request(60), 0..4)).prop_map(|(hello, requests)| {
        let mut wire = wire_of(&hello);
        for (id, (op, body)) in (1_u64..).zip(requests) {
            encode::request(id.into(), body.len() as u64, &op, &mut wire).expect("a sound request");
            wire.extend_from_slice(&body);
        }
        wire
    })
}

fn wire_of(hello: &Hello) -> Vec<u8> {
    let mut wire = Vec::new();
    encode::hello(hello, &mut wire).expect("a sound hello");
    wire
}

fn answers() -> impl Strategy<Value = Vec<u8>> {
    vec(strategies::answer(), 1..4).prop_map(|answers| {
        let mut wire = Vec::new();
        for (answer, body) in answers {
            encode::answer(&answer, &mut wire).expect("a sound answer");
            wire.extend_from_slice(&body);
        }
        wire
    })
}

/// Frames with a sound prefix around bytes that look like JSON.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let header = prop_oneof![
        vec(any::<u8>(), 1..40),
        "[{}\\[\\]\":,0-9a-z\\\\ ]{1,60}".prop_map(String::into_bytes),
        "\\{\"(cmd|ack|answer|refused|hello)\":(\"(put|hello|ping)\"|[0-9]{1,20}|null)\\}"
            .prop_map(String::into_bytes),
    ];
    vec(header, 1..4).prop_map(|headers| {
        let mut wire = Vec::new();
        for header in headers {
            let len = i32::try_from(header.len()).expect("a short header");
            wire.extend_from_slice(&len.to_le_bytes());
            wire.extend_from_slice(&header);
        }
        wire
    })
}

/// Streams from sound to nonsense; a sound one may have a few bytes replaced.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let sound = prop_oneof![requests(), answers()];
    let hurt = (sound, vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)).prop_map(
        |(mut wire, changes)| {
            for (index, byte) in changes {
                let index = index.index(wire.len());
                wire[index] = byte;
            }
            wire
        },
    );
    prop_oneof![2 => hurt, 1 => frames(), 1 => vec(any::<u8>(), 0..200)]
}

/// Lengths of pieces, not all 0.
fn lengths() -> impl Strategy<Value = Vec<usize>> {
    (1..40_usize, vec(0..40_usize, 0..8)).prop_map(|(first, mut lengths)| {
        lengths.push(first);
        lengths
    })
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(stream in stream(), lengths in lengths()) {
        prop_assert_eq!(
            run(Requests::default(), &stream, &lengths),
            run(Requests::default(), &stream, &[])
        );
        prop_assert_eq!(run(Answers, &stream, &lengths), run(Answers, &stream, &[]));
    }

    /// `run` itself asserts that never more than one prefix and header is held.
    #[test]
    fn a_cut_stream_gives_a_prefix_of_the_events(
        stream in stream(),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(stream.len() + 1);
        let (all, end) = run(Requests::default(), &stream, &[]);
        let (some, cut_end) = run(Requests::default(), &stream[..cut], &[]);
        // The last event may be a body that the cut has shortened.
        prop_assert!(some.len() <= all.len());
        let sure = some.len().saturating_sub(1);
        prop_assert_eq!(&some[..sure], &all[..sure]);
        if cut == stream.len() {
            prop_assert_eq!(cut_end, end);
        }
    }
}

#[test]
fn a_header_of_the_longest_length_is_held_and_no_more() {
    let mut stream = 65_536_i32.to_le_bytes().to_vec();
    stream.resize(65_536 + 3, b' ');
    let (seen, end) = run(Requests::default(), &stream, &[1]);
    assert!(seen.is_empty());
    assert!(end.is_err(), "one byte is missing");
}
