//! Runs the published test vectors (`testdata/vectors`) through the decoder: whole, byte by byte,
//! and with more bytes after them.

mod bodies;
mod fields;
mod json;
mod kinds;
mod names;
mod second;
mod second_answers;
mod second_bodies;
mod second_requests;
mod second_texts;
mod show;
mod texts;
mod vector;
mod wrong;

use haul_protocol::limits::{MAX_HEADER_LEN, PREFIX_LEN};
use haul_protocol::{
    Answers, Cv, DecodeError, Decoder, Digest, Event, Headers, Requests, ServerConnection,
    ServerLimits, Time, merge,
};
use serde_json::{Value, json};

use vector::{Outcome, Seen, Side, Vector};

/// Decodes a stream that arrives in pieces of `piece` bytes.
fn decode(side: Side, stream: &[u8], piece: usize) -> (Vec<Seen>, Outcome) {
    match side {
        Side::Requests => run(Decoder::new(Requests::default()), stream, piece, show::request),
        Side::Answers => run(Decoder::new(Answers), stream, piece, show::answer),
    }
}

fn run<S: Headers>(
    mut decoder: Decoder<S>,
    stream: &[u8],
    piece: usize,
    show: impl Fn(&S::Header) -> Value,
) -> (Vec<Seen>, Outcome) {
    let mut seen = Vec::new();
    for mut input in stream.chunks(piece) {
        loop {
            match decoder.decode(&mut input) {
                Ok(None) => break,
                Ok(Some(Event::Header(header))) => seen.push(Seen::Header(show(&header))),
                Ok(Some(Event::End)) => seen.push(Seen::End),
                Ok(Some(Event::Body(bytes))) => match seen.last_mut() {
                    Some(Seen::Body(body)) => body.extend_from_slice(bytes),
                    _ => seen.push(Seen::Body(bytes.to_vec())),
                },
                Err(error) => {
                    assert_eq!(decoder.held(), 0, "a failed decoder holds nothing");
                    assert_eq!(decoder.decode(&mut &b"x"[..]).err(), Some(DecodeError::Failed));
                    assert_eq!(decoder.finish(), Err(DecodeError::Failed));
                    return (seen, class(&error));
                }
            }
        }
        assert!(decoder.held() <= MAX_HEADER_LEN + PREFIX_LEN);
    }
    match decoder.finish() {
        Ok(()) => {
            assert!(decoder.between_frames());
            (seen, Outcome::Events)
        }
        Err(error) => (seen, class(&error)),
    }
}

fn class(error: &DecodeError) -> Outcome {
    Outcome::Error(match error {
        DecodeError::Truncated { place, missing } => {
            return Outcome::Truncated { place: place.to_string(), missing: *missing };
        }
        DecodeError::Prefix(_) => "prefix",
        DecodeError::Http => "http",
        DecodeError::NotUtf8(_) => "not_utf8",
        DecodeError::NotObject => "not_object",
        DecodeError::TooDeep => "too_deep",
        DecodeError::Json(_) => "json",
        DecodeError::Missing { .. } => "missing",
        DecodeError::Version(_) => "version",
        DecodeError::UnknownAnswer => "unknown_answer",
        DecodeError::BodyTooLong(_) => "body_too_long",
        DecodeError::Failed => "failed",
        other => panic!("no vector knows {other:?}"),
    })
}

fn each(mut run: impl FnMut(&Vector)) {
    let vectors = Vector::all();
    assert!(vectors.len() > 200, "only {} vectors are there", vectors.len());
    for vector in &vectors {
        run(vector);
    }
}

fn agrees(vector: &Vector, (events, outcome): (Vec<Seen>, Outcome)) {
    assert_eq!(events, vector.events, "{}", vector.name);
    assert_eq!(outcome, vector.outcome, "{}", vector.name);
}

#[test]
fn whole() {
    each(|vector| agrees(vector, decode(vector.side, &vector.stream, usize::MAX)));
}

#[test]
fn byte_by_byte() {
    each(|vector| agrees(vector, decode(vector.side, &vector.stream, 1)));
}

#[test]
fn a_frame_after_an_event_vector_adds_its_own_events_only() {
    each(|vector| {
        if vector.outcome != Outcome::Events {
            return;
        }
        let frame: &[u8] = match vector.side {
            Side::Requests => b"\x17\0\0\0{\"cmd\":\"later\",\"id\":99}",
            Side::Answers => b"\x0a\0\0\0{\"ack\":99}",
        };
        let (events, outcome) = decode(vector.side, &[&vector.stream, frame].concat(), 7);
        assert_eq!(outcome, Outcome::Events, "{}", vector.name);
        let (before, after) = events.split_at(vector.events.len());
        assert_eq!(before, vector.events, "{}", vector.name);
        assert!(matches!(after, [Seen::Header(_), Seen::End]), "{}", vector.name);
    });
}

#[test]
fn garbage_after_an_event_vector_is_an_error_of_its_own() {
    each(|vector| {
        if vector.outcome == Outcome::Events {
            let stream = [&vector.stream[..], b"\0\0\0\0garbage"].concat();
            let (events, outcome) = decode(vector.side, &stream, usize::MAX);
            assert_eq!(events, vector.events, "{}", vector.name);
            assert_eq!(outcome, Outcome::Error("prefix"), "{}", vector.name);
        }
    });
}

/// A client that reads answers learns why its connection ends.
#[test]
fn server_tells_what_a_vector_says() {
    let now = Time::from_millis(0);
    let mut checked = 0;
    each(|vector| {
        let Some(told) = &vector.told else { return };
        let mut server = ServerConnection::new(&ServerLimits::default(), now);
        let mut input = &vector.stream[..];
        let error = loop {
            match server.receive(&mut input, now) {
                Ok(event) => assert!(event.is_some(), "{}", vector.name),
                Err(error) => break error,
            }
        };
        let is_told = server.end(error.refusal());
        server.conclude();
        assert_eq!(is_told, told != "nothing", "{}", vector.name);
        let output = server.output();
        match is_told {
            true => {
                let header: Value = serde_json::from_slice(&output[PREFIX_LEN..]).unwrap();
                assert_eq!((&header["refused"], &header["code"]), (&json!(0), &json!(told)));
            }
            false => assert_eq!(output, b"", "{}", vector.name),
        }
    });
    each(|vector| checked += usize::from(vector.told.is_some()));
    assert!(checked >= 10, "only {checked} vectors say what a server tells");
}

/// A cut stream with more bytes after it is another stream, so `truncated` is left out.
#[test]
fn bytes_after_an_error_do_not_change_it() {
    each(|vector| {
        if matches!(vector.outcome, Outcome::Error(_)) {
            let stream = [&vector.stream[..], b"\0\0\0\0garbage"].concat();
            agrees(vector, decode(vector.side, &stream, usize::MAX));
        }
    });
}

#[test]
fn what_a_truncated_vector_lacks_completes_it() {
    each(|vector| {
        let Outcome::Truncated { place, missing } = &vector.outcome else {
            return;
        };
        if let (Ok(missing @ ..=8_388_608), "body") = (usize::try_from(*missing), &place[..]) {
            let stream = [&vector.stream[..], &vec![b'.'; missing]].concat();
            let (events, outcome) = decode(vector.side, &stream, usize::MAX);
            assert_eq!(outcome, Outcome::Events, "{}", vector.name);
            assert_eq!(events.last(), Some(&Seen::End), "{}", vector.name);
        }
    });
}

/// The decoder compares no digests, but a published vector should hold true ones.
#[test]
fn digests_in_vectors_are_those_of_the_bodies() {
    let (mut checked, mut fetched) = (0, 0);
    each(|vector| {
        let meant_wrong = ["put-body-not-matching-its-digest.txt"].contains(&&vector.name[..]);
        for pair in vector.events.windows(2) {
            if let [Seen::Header(header), Seen::Body(body)] = pair
                && header["is"] == "put"
                && vector.outcome == Outcome::Events
            {
                let right = header["blake3"] == json!(Digest::of(body).to_string());
                assert_eq!(right, !meant_wrong, "{}", vector.name);
            }
            if let [Seen::Header(header), Seen::Body(body)] = pair
                && header["is"] == "fetched"
                && vector.outcome == Outcome::Events
            {
                let right = json!(Digest::of(body).to_string());
                assert_eq!(header["blake3"], right, "{}", vector.name);
                fetched += 1;
            }
        }
    });
    assert!(fetched > 0, "an answer to fetch is there");
    for vector in Vector::all().iter().filter(|vector| vector.name == "answer-part-of-three.txt") {
        let (mut cvs, mut file) = (Vec::new(), Vec::new());
        for event in &vector.events {
            match event {
                Seen::Header(header) => {
                    cvs.push(Cv::parse(header["cv"].as_str().unwrap()).unwrap())
                }
                Seen::Body(body) => file.extend_from_slice(body),
                Seen::End => {}
            }
        }
        assert_eq!(merge(&cvs), Some(Digest::of(&file)));
        checked += 1;
    }
    for vector in Vector::all().iter().filter(|vector| vector.name == "parts-and-commit.txt") {
        let (mut cvs, mut file) = (Vec::new(), Vec::new());
        for event in &vector.events {
            match event {
                Seen::Header(header) if header["is"] == "part" => {
                    cvs.push(Cv::parse(header["cv"].as_str().unwrap()).unwrap());
                }
                Seen::Header(header) if header["is"] == "commit" => {
                    assert_eq!(merge(&cvs), Some(Digest::of(&file)));
                    assert_eq!(header["blake3"], json!(Digest::of(&file).to_string()));
                    checked += 1;
                }
                Seen::Body(body) => file.extend_from_slice(body),
                _ => {}
            }
        }
    }
    assert_eq!(checked, 2, "the vectors with parts are there");
}
