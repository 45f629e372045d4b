//! One file of `testdata/vectors`, taken apart as its README says.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// The side whose decoder reads the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Requests,
    Answers,
}

/// One event, with the pieces of a body put together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    Header(Value),
    Body(Vec<u8>),
    End,
}

/// The end of a stream: in good order, cut, or with an error of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Events,
    Truncated { place: String, missing: u64 },
    Error(&'static str),
}

#[derive(Debug)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) side: Side,
    pub(crate) events: Vec<Seen>,
    pub(crate) outcome: Outcome,
    /// The code with which the server refuses the connection, or `nothing`.
    pub(crate) told: Option<String>,
    pub(crate) stream: Vec<u8>,
}

/// Every class of error that a vector may expect.
const ERRORS: [&str; 10] = [
    "prefix",
    "http",
    "not_utf8",
    "not_object",
    "too_deep",
    "json",
    "missing",
    "version",
    "unknown_answer",
    "body_too_long",
];

impl Vector {
    /// All vectors, in the order of their names.
    pub(crate) fn all() -> Vec<Self> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/vectors");
        let mut vectors = Vec::new();
        for file in fs::read_dir(&dir).expect("the directory of vectors is there") {
            let path = file.expect("the directory can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match name.as_str() {
                "README.md" | ".gitattributes" => continue,
                _ => assert!(name.ends_with(".txt"), "{name} is no vector"),
            }
            vectors.push(Self::parse(name, &fs::read(&path).expect("a vector can be read")));
        }
        vectors.sort_by(|a, b| a.name.cmp(&b.name));
        vectors
    }

    /// Reads one file; panics, which fails the test, if the file has a line that the README doesn't
    /// allow.
    fn parse(name: String, bytes: &[u8]) -> Self {
        let blank = bytes.windows(2).position(|pair| pair == b"\n\n");
        let (head, stream) = bytes.split_at(blank.expect("a blank line ends the head"));
        let head = std::str::from_utf8(head).expect("the head is UTF-8");
        assert!(head.starts_with("expect: "), "{name}: `expect:` comes first");

        let (mut expect, mut side, mut place, mut missing, mut told) =
            (None, None, None, None, None);
        let mut events = Vec::new();
        for line in head.lines() {
            let (key, value) = line.split_once(": ").expect("a line is `key: value`");
            let slot = match key {
                "expect" => &mut expect,
                "side" => &mut side,
                "place" => &mut place,
                "missing" => &mut missing,
                "told" => &mut told,
                "note" => continue,
                "event" => {
                    events.push(event(&name, value));
                    continue;
                }
                _ => panic!("{name}: unknown key `{key}`"),
            };
            assert_eq!(slot.replace(value), None, "{name}: `{key}` is doubled");
        }
        let side = match side {
            Some("requests") => Side::Requests,
            Some("answers") => Side::Answers,
            _ => panic!("{name}: unknown side {side:?}"),
        };
        let outcome = match (expect, place, missing) {
            (Some("events"), None, None) => Outcome::Events,
            (Some("truncated"), Some(place), Some(missing)) => Outcome::Truncated {
                place: place.to_string(),
                missing: missing.parse().expect("`missing` is a number"),
            },
            (Some(class), None, None) => match ERRORS.iter().find(|known| **known == class) {
                Some(known) => Outcome::Error(known),
                None => panic!("{name}: unknown class `{class}`"),
            },
            _ => panic!("{name}: `place` and `missing` belong to `truncated`"),
        };
        let told = told.map(str::to_owned);
        assert!(told.is_none() || matches!(outcome, Outcome::Error(_)), "{name}: `told`");
        Self { name, side, events, outcome, told, stream: stream[2..].to_vec() }
    }
}

fn event(name: &str, value: &str) -> Seen {
    match value.split_once(' ').unwrap_or((value, "")) {
        ("header", json) => Seen::Header(serde_json::from_str(json).expect("a header is JSON")),
        ("body", hex) => {
            let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes());
            Seen::Body(bytes.expect("a body is in hexadecimal"))
        }
        ("end", "") => Seen::End,
        _ => panic!("{name}: unknown event `{value}`"),
    }
}

#[test]
fn the_reader_of_vectors_is_strict() {
    let fails = |text: &str| {
        let bytes = text.as_bytes().to_vec();
        std::panic::catch_unwind(move || Vector::parse(String::from("made up"), &bytes)).is_err()
    };
    assert!(!fails("expect: prefix\nside: requests\n\n"));
    assert!(fails("expect: prefix\nside: requests\n"), "no blank line");
    assert!(fails("side: requests\nexpect: prefix\n\n"), "`expect` is not first");
    assert!(fails("expect: surprise\nside: requests\n\n"), "unknown class");
    assert!(fails("expect: prefix\nside: both\n\n"), "unknown side");
    assert!(fails("expect: prefix\nside: requests\ncolour: red\n\n"), "unknown key");
    assert!(fails("expect: prefix\nside: requests\nside: answers\n\n"), "doubled key");
    assert!(fails("expect: events\nside: requests\nevent: middle\n\n"), "unknown event");
    assert!(fails("expect: truncated\nside: requests\n\n"), "truncated without a place");
}
