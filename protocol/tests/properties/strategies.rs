//! Messages of every kind, with names and texts that are as unusual as the rules allow.

use haul_protocol::{
    AccessToken, AccountFacts, Answer, Attributes, Code, Cv, Digest, Durability, Entry, EntryKind,
    Hello, LinkTarget, Mtime, Name, Op, PartFacts, Pin, Publish, Refusal, Reply, Right,
    ServerHello, ServerLimits, Token, Tree, Used, Wanted, limits,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A component of a name before the rules are applied; often short, now and then as long as may be.
fn component() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-zA-Z0-9._ -]{1,12}".prop_map(String::into_bytes),
        2 => "[\\PC\\x01-\\x1f\"\\\\]{1,20}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 1..20),
        1 => (200_usize..=255).prop_map(|len| vec![b'x'; len]),
    ]
}

pub(crate) fn name() -> impl Strategy<Value = Name> {
    vec(component(), 1..5)
        .prop_filter_map("breaks a rule for names", |parts| Name::parse(&parts.join(&b'/')).ok())
}

fn target() -> impl Strategy<Value = LinkTarget> {
    let bytes = prop_oneof![
        ".{1,40}".prop_map(String::into_bytes),
        vec(any::<u8>(), 1..40),
        (4000_usize..=4095).prop_map(|len| vec![1; len]),
    ];
    bytes.prop_filter_map("has a NUL byte", |bytes| LinkTarget::parse(&bytes).ok())
}

pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, 0..=limits::MAX_NUMBER, Just(limits::MAX_NUMBER)]
}

fn text() -> impl Strategy<Value = String> {
    ".{1,20}".prop_filter("longer than a text may be", |text| text.len() <= limits::MAX_TEXT_LEN)
}

fn mtime() -> impl Strategy<Value = Option<Mtime>> {
    const MAX: i64 = (1 << 53) - 1;
    let mtime = (-MAX..=MAX, 0..limits::NANOS_PER_SECOND);
    option::of(mtime.prop_map(|(s, ns)| Mtime { s, ns }))
}

fn mode() -> impl Strategy<Value = Option<u32>> {
    option::of(0..=limits::MAX_MODE)
}

pub(crate) fn attributes() -> impl Strategy<Value = Attributes> {
    (mode(), mtime()).prop_map(|(mode, mtime)| Attributes { mode, mtime })
}

fn token() -> impl Strategy<Value = Token> {
    any::<[u8; 16]>().prop_map(Token)
}

pub(crate) fn access_token() -> impl Strategy<Value = AccessToken> {
    prop_oneof![
        9 => any::<([u8; 5], [u8; 32])>().prop_map(|(id, secret)| AccessToken::new(id, secret)),
        1 => Just(AccessToken::nobodys()),
    ]
}

pub(crate) fn pin() -> impl Strategy<Value = Pin> {
    any::<[u8; 32]>().prop_map(Pin)
}

fn account() -> impl Strategy<Value = AccountFacts> {
    const MAX: i64 = (1 << 53) - 1;
    let used = || option::of((number(), number()).prop_map(|(used, quota)| Used { used, quota }));
    let rights = vec(proptest::sample::select(&Right::ALL[..]), 0..7);
    (text(), rights, option::of(-MAX..=MAX), used(), used()).prop_map(
        |(name, rights, expires, bytes, files)| AccountFacts {
            name,
            rights: rights.into_iter().collect(),
            expires,
            bytes,
            files,
        },
    )
}

pub(crate) fn hello() -> impl Strategy<Value = Hello> {
    let publish = (name(), option::of(token())).prop_map(|(name, tree)| Publish { name, tree });
    let rest =
        (option::of(text()), option::of(publish), vec(".{0,9}", 0..3), option::of(access_token()));
    (number(), text(), text(), number(), rest).prop_map(
        |(version, agent, client, slot, (identity, publish, must, token))| Hello {
            publish,
            version,
            agent,
            client,
            slot,
            identity,
            must,
            token,
        },
    )
}

fn get() -> impl Strategy<Value = Op> {
    let part = (10..=23_u32, 0..=limits::MAX_NUMBER).prop_map(|(log, offset)| {
        let part_size = 1_u64 << log;
        (offset / part_size * part_size, part_size)
    });
    (name(), part, option::of(token()), any::<bool>()).prop_map(
        |(name, (offset, part_size), state, whole)| Op::Get {
            name,
            offset,
            part_size,
            state,
            whole,
        },
    )
}

/// A request and its body, of at most `max_body` bytes.
pub(crate) fn request(max_body: usize) -> impl Strategy<Value = (Op, Vec<u8>)> {
    let body = move || vec(any::<u8>(), 0..=max_body);
    let bodiless = prop_oneof![
        (name(), number(), attributes(), text(), any::<bool>()).prop_map(
            |(name, size, attributes, fingerprint, replace)| {
                Op::Open(Box::new(Wanted { name, size, attributes, fingerprint, replace }))
            }
        ),
        (token(), any::<[u8; 32]>())
            .prop_map(|(upload, digest)| Op::Commit { upload, digest: Digest(digest) }),
        token().prop_map(|upload| Op::Abort { upload }),
        (name(), mode(), any::<bool>()).prop_map(|(name, mode, replace)| Op::Mkdir {
            name,
            mode,
            replace
        }),
        name().prop_map(|name| Op::Remove { name }),
        (name(), target(), mtime()).prop_map(|(name, target, mtime)| Op::Symlink {
            name,
            target,
            mtime
        }),
        (name(), any::<bool>(), attributes())
            .prop_map(|(name, is_file, attributes)| { Op::Setattr { name, is_file, attributes } }),
        (option::of(name()), option::of(name())).prop_map(|(name, after)| Op::List { name, after }),
        (attributes(), option::of(number()))
            .prop_map(|(attributes, files)| Op::Publish { attributes, files }),
        (name(), any::<bool>(), option::of(token()), any::<bool>()).prop_map(
            |(name, again, token, repeated)| Op::Rollback { name, again, token, repeated }
        ),
        (name(), name(), any::<bool>()).prop_map(|(name, to, replace)| Op::Rename {
            name,
            to,
            replace
        }),
        get(),
        Just(Op::Ping),
    ];
    prop_oneof![
        3 => (name(), attributes(), body()).prop_map(|(name, attributes, body)| {
            let (size, digest) = (body.len() as u64, Digest::of(&body));
            (Op::Put { name, size, digest, attributes }, body)
        }),
        1 => (token(), number(), any::<[u8; 32]>(), body())
            .prop_map(|(upload, offset, cv, body)| (Op::Part { upload, offset, cv: Cv(cv) }, body)),
        1 => (any::<bool>(), body()).prop_map(|(reread, body)| (Op::Check { reread }, body)),
        1 => body().prop_map(|body| (Op::Fetch, body)),
        1 => (1..=3_u64, body()).prop_map(|(count, body)| {
            (Op::Bundle { count, digest: Digest::of(&body) }, body)
        }),
        5 => bodiless.prop_map(|op| (op, Vec::new())),
    ]
}

pub(crate) fn refusal() -> impl Strategy<Value = Refusal> {
    let codes: Vec<Code> = Code::all().collect();
    let code = prop_oneof![
        5 => proptest::sample::select(codes),
        1 => "[a-z_]{1,12}".prop_map(|word| Code::parse(&word)),
    ];
    (code, ".{0,40}", any::<bool>()).prop_map(|(code, message, retry)| Refusal {
        code,
        message,
        retry,
    })
}

fn server_limits() -> impl Strategy<Value = ServerLimits> {
    (number(), number(), number(), number(), number()).prop_map(
        |(max_header, max_body, window_requests, window_bytes, max_file)| ServerLimits {
            max_header,
            max_body,
            window_requests,
            window_bytes,
            max_file,
        },
    )
}

fn part() -> impl Strategy<Value = PartFacts> {
    let hashes = (option::of(any::<[u8; 32]>()), option::of(any::<[u8; 32]>()));
    (number(), attributes(), token(), hashes).prop_map(|(size, attributes, state, (cv, digest))| {
        PartFacts { size, attributes, state, cv: cv.map(Cv), digest: digest.map(Digest) }
    })
}

/// An answer and its body.
pub(crate) fn answer() -> impl Strategy<Value = (Answer, Vec<u8>)> {
    let reply = prop_oneof![
        Just(Reply::Done),
        (token(), number()).prop_map(|(upload, part_size)| Reply::Opened { upload, part_size }),
        (any::<bool>(), 0..=limits::MAX_NUMBER)
            .prop_map(|(more, left_out)| Reply::Listed { more, left_out }),
        part().prop_map(Reply::Part),
        (any::<bool>(), any::<[u8; 32]>())
            .prop_map(|(more, digest)| Reply::Fetched { more, digest: Digest(digest) }),
        (mtime(), option::of(number())).prop_map(|(published, files)| match published {
            Some(published) => Reply::Version { published, files },
            None => Reply::Done,
        }),
    ];
    let bodiless = prop_oneof![
        (
            number(),
            text(),
            server_limits(),
            text(),
            option::of((token(), any::<bool>())),
            vec(".{0,9}", 0..3),
            (option::of(account()), option::of(pin()))
        )
            .prop_map(
                |(version, agent, limits, durability, tree, features, (account, next_pin))| {
                    let durability = Durability::parse(&durability);
                    let tree = tree.map(|(token, resumed)| Tree { token, resumed });
                    Answer::Hello(Box::new(ServerHello {
                        version,
                        agent,
                        limits,
                        durability,
                        tree,
                        features,
                        account,
                        next_pin,
                    }))
                }
            ),
        number().prop_map(|id| Answer::Ack(id.into())),
        (number(), refusal()).prop_map(|(id, refusal)| Answer::Refused { id: id.into(), refusal }),
    ];
    prop_oneof![
        bodiless.prop_map(|answer| (answer, Vec::new())),
        (number(), reply, vec(any::<u8>(), 0..100)).prop_map(|(id, reply, body)| {
            (Answer::Answered { id: id.into(), length: body.len() as u64, reply }, body)
        }),
    ]
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![
        (number(), option::of(any::<[u8; 32]>()))
            .prop_map(|(size, digest)| EntryKind::File { size, digest: digest.map(Digest) }),
        Just(EntryKind::Directory),
        target().prop_map(|target| EntryKind::Link { target }),
        Just(EntryKind::Other),
    ];
    (name(), kind, mode(), mtime()).prop_map(|(name, kind, mode, mtime)| Entry {
        name,
        kind,
        mode,
        mtime,
    })
}

/// A `hello` that says as little as may be said.
pub(crate) fn sound_hello() -> Hello {
    let (agent, client) = ("test/1".to_string(), "c".to_string());
    Hello {
        version: 1,
        agent,
        client,
        slot: 0,
        identity: None,
        publish: None,
        must: Vec::new(),
        token: None,
    }
}
