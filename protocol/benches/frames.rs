//! Time to encode and decode the header of one small file, without and with its digest, and as a line of a
//! bundle.

#![expect(clippy::unwrap_used, reason = "in a benchmark, a panic is the message")]

use divan::Bencher;
use divan::counter::ItemsCount;
use haul_protocol::limits::VERSION;
use haul_protocol::{
    Answer, Answers, Attributes, Decoder, Digest, Event, Hello, Mtime, Name, Op, RequestId,
    Requests, decode_bundle, encode, encode_bundled,
};

fn main() {
    divan::main();
}

const ATTRIBUTES: Attributes =
    Attributes { mode: Some(0o644), mtime: Some(Mtime { s: 1_700_000_000, ns: 123_456_789 }) };

fn name() -> Name {
    Name::parse(b"toolchain/lib/rustlib/src/library/core/num.rs").unwrap()
}

fn put() -> Op {
    let digest = Digest::of(&[7; 3000]);
    Op::Put { name: name(), size: 3000, digest, attributes: ATTRIBUTES }
}

/// Files of a bundle of 64 KiB.
const BUNDLED: u64 = 21;

fn bundle(body: &mut Vec<u8>) {
    let name = name();
    body.clear();
    for _ in 0..BUNDLED {
        encode_bundled(&name, 3000, &ATTRIBUTES, body).unwrap();
        body.extend_from_slice(&[7; 3000]);
    }
}

#[divan::bench]
fn encode_put(bencher: Bencher<'_, '_>) {
    let op = put();
    let mut wire = Vec::with_capacity(4096);
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        wire.clear();
        encode::request(RequestId::new(12_345), 3000, &op, &mut wire).unwrap();
        wire.len()
    });
}

#[divan::bench]
fn decode_put(bencher: Bencher<'_, '_>) {
    let hello = Hello {
        version: VERSION,
        agent: String::from("bench"),
        client: String::from("bench"),
        slot: 0,
        identity: None,
        publish: None,
        must: Vec::new(),
        token: None,
    };
    let mut first = Vec::new();
    encode::hello(&hello, &mut first).unwrap();
    let mut decoder = Decoder::new(Requests::default());
    assert!(matches!(decoder.decode(&mut &first[..]), Ok(Some(Event::Header(_)))));
    let mut wire = Vec::new();
    encode::request(RequestId::FIRST, 3000, &put(), &mut wire).unwrap();
    wire.resize(wire.len() + 3000, 7);
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let mut input = &wire[..];
        let mut events = 0;
        while let Some(event) = decoder.decode(&mut input).unwrap() {
            divan::black_box(&event);
            events += 1;
        }
        events
    });
}

/// The bytes of the files, which are copied once, included.
#[divan::bench]
fn encode_bundle(bencher: Bencher<'_, '_>) {
    let mut body = Vec::with_capacity(128 * 1024);
    bencher.counter(ItemsCount::new(BUNDLED)).bench_local(|| bundle(&mut body));
}

#[divan::bench]
fn decode_a_bundle(bencher: Bencher<'_, '_>) {
    let mut body = Vec::new();
    bundle(&mut body);
    bencher
        .counter(ItemsCount::new(BUNDLED))
        .bench(|| decode_bundle(&body, BUNDLED).unwrap().len());
}

#[divan::bench]
fn encode_and_decode_ack(bencher: Bencher<'_, '_>) {
    let mut decoder = Decoder::new(Answers);
    let mut wire = Vec::with_capacity(64);
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        wire.clear();
        encode::answer(&Answer::Ack(RequestId::new(123_456)), &mut wire).unwrap();
        let mut input = &wire[..];
        decoder.decode(&mut input).unwrap().is_some()
    });
}

#[divan::bench(args = [300, 3000, 30_000, 65_000])]
fn digest(bencher: Bencher<'_, '_>, len: usize) {
    let bytes = vec![7; len];
    bencher.counter(divan::counter::BytesCount::new(len)).bench(|| Digest::of(&bytes));
}
