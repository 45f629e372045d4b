//! Every encoded message decodes to the same message; the encoder refuses all that would not.

use haul_protocol::{
    Answer, Answers, Attributes, BundleError, Bundled, Classic, Code, Digest, Durability,
    EncodeError, FirstOrLater, Hello, Mtime, Name, Op, Refusal, Request, RequestId, Requests,
    ServerHello, ServerLimits, Wanted, decode_bundle, decode_entry, encode, encode_bundled,
    encode_entry,
};
use proptest::prelude::*;

use crate::events::{Seen, run};
use crate::strategies;

/// The events of one frame.
fn frame<H>(header: H, body: &[u8]) -> Vec<Seen<H>> {
    let mut seen = vec![Seen::Header(header)];
    if !body.is_empty() {
        seen.push(Seen::Body(body.to_vec()));
    }
    seen.push(Seen::End);
    seen
}

proptest! {
    #[test]
    fn hello_and_requests_round_trip(
        hello in strategies::hello(),
        requests in prop::collection::vec((1..=1_000_000_u64, strategies::request(200)), 0..5),
    ) {
        let mut wire = Vec::new();
        encode::hello(&hello, &mut wire).unwrap();
        let mut expected = frame(FirstOrLater::Hello(hello), b"");
        for (id, (op, body)) in requests {
            let length = body.len() as u64;
            encode::request(id.into(), length, &op, &mut wire).unwrap();
            wire.extend_from_slice(&body);
            let request = Request { id: id.into(), length, op: Ok(op) };
            expected.extend(frame(FirstOrLater::Request(request), &body));
        }
        prop_assert_eq!(run(Requests::default(), &wire, &[]), (expected, Ok(())));
    }

    #[test]
    fn classic_puts_round_trip(
        files in prop::collection::vec((".{0,30}", prop::collection::vec(any::<u8>(), 0..100)), 1..4),
    ) {
        let (mut wire, mut expected) = (Vec::new(), Vec::new());
        for (filename, body) in files {
            let size = body.len() as u64;
            encode::classic_put(&filename, size, &mut wire).unwrap();
            wire.extend_from_slice(&body);
            let put = Classic::Put { name: Name::parse(filename.as_bytes()), size };
            expected.extend(frame(FirstOrLater::Classic(put), &body));
        }
        prop_assert_eq!(run(Requests::default(), &wire, &[]), (expected, Ok(())));
    }

    #[test]
    fn answers_round_trip(answers in prop::collection::vec(strategies::answer(), 1..5)) {
        let (mut wire, mut expected) = (Vec::new(), Vec::new());
        for (answer, body) in answers {
            encode::answer(&answer, &mut wire).unwrap();
            wire.extend_from_slice(&body);
            expected.extend(frame(answer, &body));
        }
        prop_assert_eq!(run(Answers, &wire, &[]), (expected, Ok(())));
    }

    #[test]
    fn entries_round_trip(entries in prop::collection::vec(strategies::entry(), 0..5)) {
        let mut body = Vec::new();
        for entry in &entries {
            encode_entry(entry, &mut body).unwrap();
        }
        let lines = body.split_inclusive(|&byte| byte == b'\n').map(|line| &line[..line.len() - 1]);
        let decoded: Vec<_> = lines.map(|line| decode_entry(line).unwrap()).collect();
        prop_assert_eq!(decoded, entries);
    }

    #[test]
    fn bundles_round_trip(
        files in prop::collection::vec(
            (strategies::name(), strategies::attributes(), prop::collection::vec(any::<u8>(), 0..50)),
            1..5,
        ),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut body = Vec::new();
        for (name, attributes, bytes) in &files {
            encode_bundled(name, bytes.len() as u64, attributes, &mut body).unwrap();
            body.extend_from_slice(bytes);
        }
        let count = files.len() as u64;
        let bundled: Vec<_> = files
            .iter()
            .map(|(name, attributes, bytes)| Bundled {
                name: name.clone(),
                attributes: *attributes,
                digest: None,
                bytes,
            })
            .collect();
        prop_assert_eq!(decode_bundle(&body, count), Ok(bundled));
        prop_assert_eq!(decode_bundle(&body, count + 1), Err(BundleError::Count(files.len())));
        let fewer = decode_bundle(&body, count - 1);
        prop_assert!(matches!(fewer, Err(BundleError::Rest(1..))), "{:?}", fewer);
        prop_assert!(decode_bundle(&body[..cut.index(body.len())], count).is_err());
    }

    #[test]
    fn any_bytes_are_a_bundle_or_an_error(
        (count, mut body) in (0..5_u64, prop::collection::vec(any::<u8>(), 0..100)),
        (size, first) in (0..200_u64, any::<bool>()),
    ) {
        if first {
            let mut line = Vec::new();
            let name = Name::parse(b"a").unwrap();
            encode_bundled(&name, size, &Attributes::default(), &mut line).unwrap();
            body.splice(0..0, line);
        }
        match decode_bundle(&body, count) {
            Ok(files) => prop_assert_eq!(files.len() as u64, count),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// If a caller brings any numbers and texts, each encoded frame is one that decodes.
    #[test]
    fn a_header_that_is_encoded_decodes(
        name in strategies::name(),
        (size, mode, s, ns) in any::<(u64, u32, i64, u32)>(),
        fingerprint in "x{0,200}",
    ) {
        let mtime = Some(Mtime { s, ns });
        let attributes = Attributes { mode: Some(mode), mtime };
        let op = Op::Open(Box::new(Wanted { name, size, attributes, fingerprint, replace: false }));
        let mut wire = Vec::new();
        encode::hello(&strategies::sound_hello(), &mut wire).unwrap();
        let before = wire.clone();
        match encode::request(RequestId::FIRST, 0, &op, &mut wire) {
            Ok(()) => prop_assert_eq!(run(Requests::default(), &wire, &[]).1, Ok(())),
            Err(_) => prop_assert_eq!(wire, before, "a refused message leaves no bytes"),
        }
    }

    #[test]
    fn a_long_message_of_a_refusal_is_cut_and_not_an_error(
        letter in prop::char::any(),
        len in 0..70_000_usize,
    ) {
        let message: String = std::iter::repeat_n(letter, len).collect();
        let refusal = Refusal::new(Code::Io, &message);
        let mut wire = Vec::new();
        encode::answer(&Answer::Refused { id: RequestId::FIRST, refusal }, &mut wire).unwrap();
        let (seen, end) = run(Answers, &wire, &[]);
        prop_assert_eq!(end, Ok(()));
        let [Seen::Header(Answer::Refused { refusal, .. }), Seen::End] = &seen[..] else {
            return Err(TestCaseError::fail("not a refusal"));
        };
        prop_assert!(message.starts_with(&refusal.message));
    }
}

#[test]
fn the_longest_names_fit_a_header() {
    // JSON escapes a control character sixfold.
    let text = vec!["\u{1}".repeat(255); 16].join("/");
    let name = Name::parse(text.as_bytes()).unwrap();
    let op = Op::List { name: Some(name.clone()), after: Some(name) };
    let mut wire = Vec::new();
    encode::hello(&strategies::sound_hello(), &mut wire).unwrap();
    encode::request(RequestId::FIRST, 0, &op, &mut wire).unwrap();
    assert_eq!(run(Requests::default(), &wire, &[]).1, Ok(()));
}

#[test]
fn what_no_decoder_takes_is_not_encoded() {
    let name = || Name::parse(b"a").unwrap();
    let out_of_range = |field, value| Err(EncodeError::OutOfRange { field, value });
    let request =
        |id: u64, length, op: &Op| encode::request(RequestId::new(id), length, op, &mut Vec::new());
    let setattr = |mode, mtime| Op::Setattr {
        name: name(),
        is_file: false,
        attributes: Attributes { mode, mtime },
    };

    assert_eq!(request(1 << 53, 0, &Op::Ping), out_of_range("id", 1 << 53));
    assert_eq!(
        request(1, (8 << 20) + 1, &Op::Check { reread: false }),
        out_of_range("length", (8 << 20) + 1)
    );
    assert_eq!(request(1, 0, &setattr(Some(0o10000), None)), out_of_range("mode", 0o10000));
    let bundle = |count| request(1, 0, &Op::Bundle { count, digest: Digest::of(b"") });
    assert_eq!((bundle(0), bundle(257)), (out_of_range("count", 0), out_of_range("count", 257)));
    assert_eq!((bundle(1), bundle(256)), (Ok(()), Ok(())));
    let mtime = Mtime { s: 0, ns: 1_000_000_000 };
    assert_eq!(request(1, 0, &setattr(None, Some(mtime))), out_of_range("mtime", 1_000_000_000));
    let mtime = Mtime { s: i64::MIN, ns: 0 };
    assert_eq!(request(1, 0, &setattr(None, Some(mtime))), out_of_range("mtime", 1 << 63));

    let hello = Hello { agent: String::new(), ..strategies::sound_hello() };
    assert_eq!(encode::hello(&hello, &mut Vec::new()), out_of_range("agent", 0));
    let hello = Hello { must: vec!["m".repeat(70_000)], ..strategies::sound_hello() };
    let long = encode::hello(&hello, &mut Vec::new());
    assert!(matches!(long, Err(EncodeError::HeaderTooLong(70_000..))));

    let hello = Answer::Hello(Box::new(ServerHello {
        version: 1,
        agent: "a".to_string(),
        limits: ServerLimits { max_file: u64::MAX, ..ServerLimits::default() },
        durability: Durability::None,
        tree: None,
        features: Vec::new(),
        account: None,
        next_pin: None,
    }));
    assert_eq!(encode::answer(&hello, &mut Vec::new()), out_of_range("limits", u64::MAX));
}
