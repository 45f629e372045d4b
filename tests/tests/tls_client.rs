//! The client over TLS: every byte arrives once, and nothing arrives where it should not.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use haul_tests::fake::refusal;
use haul_tests::prelude::*;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustls::{CipherSuite, ProtocolVersion};

use crate::tls_fake::{Caller, Identity, TlsFake, config, haul_in, trusting};

/// A source with a file of so many bytes; returns the file's bytes too.
fn source(bytes: u32) -> (TempDir, String, Vec<u8>) {
    let source = TempDir::new().unwrap();
    let path = source.path().join("f");
    let contents: Vec<u8> = (0..bytes / 4).flat_map(u32::to_le_bytes).collect();
    fs::write(&path, &contents).unwrap();
    (source, path.to_str().unwrap().to_owned(), contents)
}

#[test]
fn files_arrive_over_tls_at_a_pinned_server() {
    let identity = Identity::own();
    let pin = identity.pin();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let address = TlsFake::start(config(&identity)).serve(move |header, body| {
        let name = header["filename"].as_str().unwrap_or_default().to_owned();
        noted.lock().unwrap().push((name, body.to_vec()));
    });
    let (source, _, contents) = source(900_000);
    fs::write(source.path().join("small"), "x").unwrap();
    let configuration = trusting(&[(&address, &pin)]);
    let from = format!("{}/", source.path().display());
    haul_in(configuration.path(), &["put", &from, &address]).assert().success();
    let seen = seen.lock().unwrap();
    assert!(seen.contains(&("f".into(), contents)));
    assert!(seen.contains(&("small".into(), b"x".to_vec())));
}

/// Lets the client put a file of 900 KB over one connection, which `server` serves behind `hello`.
fn puts(
    words: &[&str],
    receive_buffer: Option<usize>,
    server: impl FnOnce(&mut Caller, &Value) -> io::Result<Vec<u8>> + Send + 'static,
) -> (Output, Vec<u8>, Vec<u8>) {
    let identity = Identity::own();
    let pin = identity.pin();
    let fake = TlsFake::start(config(&identity));
    if let Some(size) = receive_buffer {
        set_socket_recv_buffer_size(fake.listening.socket(), size).unwrap();
    }
    let address = fake.address();
    let (_source, path, contents) = source(900_000);
    let serving = thread::spawn(move || {
        let mut caller = fake.accept().unwrap();
        let hello = caller.greet().unwrap();
        server(&mut caller, &hello).unwrap()
    });
    let configuration = trusting(&[(&address, &pin)]);
    let words = [&["put", "--connections", "1"], words, &[&path, &address]].concat();
    let output = haul_in(configuration.path(), &words).output();
    (output, serving.join().unwrap(), contents)
}

/// Reads the header of a put, then its body in pieces, with something done between two of them.
fn in_pieces(
    caller: &mut Caller,
    piece: usize,
    mut between: impl FnMut(&mut Caller) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    let header = caller.header()?;
    let mut body = vec![0; usize::try_from(header["length"].as_u64().unwrap()).unwrap()];
    for piece in body.chunks_mut(piece) {
        caller.0.read_exact(piece)?;
        between(caller)?;
    }
    caller.send(&json!({"ack": header["id"]}), b"")?;
    Ok(body)
}

#[test]
fn server_that_reads_slowly_gets_each_byte_once_and_the_last_ones_too() {
    // The socket takes a part of what was encrypted, again and again.
    for words in [&[][..], &["--limit-rate", "2MB"]] {
        let (output, body, contents) =
            puts(words, Some(4096), |caller, _| in_pieces(caller, 1000, |_| Ok(())));
        assert!(output.status.success() && body == contents, "{output:?}");
    }
}

#[test]
fn limit_counts_bytes_of_files_and_not_those_that_wait() {
    let began = Instant::now();
    let (output, body, contents) = puts(&["--limit-rate", "450KB"], Some(4096), |caller, _| {
        in_pieces(caller, 10_000, |_| Ok(()))
    });
    assert!(output.status.success() && body == contents, "{output:?}");
    // Bytes that are counted twice would take twice as long; how long a busy machine takes is no bound.
    assert!(began.elapsed() > Duration::from_millis(1500), "{:?}", began.elapsed());
}

#[test]
fn key_update_in_the_middle_of_a_body_is_answered() {
    let (output, body, contents) = puts(&[], Some(4096), |caller, _| {
        let mut left = 5;
        in_pieces(caller, 100_000, |caller| {
            if left > 0 {
                left -= 1;
                // The client has to change its keys before its next bytes; otherwise nobody can read them.
                caller.0.conn.refresh_traffic_keys().map_err(io::Error::other)?;
                caller.0.conn.complete_io(&mut caller.0.sock)?;
            }
            Ok(())
        })
    });
    assert!(output.status.success() && body == contents, "{output:?}");
}

#[test]
fn only_tls_1_3_is_offered_and_the_end_is_told() {
    let (output, body, contents) = puts(&[], None, |caller, _| {
        let suite = caller.0.conn.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(caller.0.conn.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("aes") {
            assert_eq!(suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
        }
        assert_ne!(suite, CipherSuite::Unknown(0));
        let body = in_pieces(caller, 100_000, |_| Ok(()))?;
        // Without close_notify, reading would fail.
        assert_eq!(caller.0.read(&mut [0])?, 0);
        Ok(body)
    });
    assert!(output.status.success() && body == contents, "{output:?}");
}

/// The extensions in a client's first message, which waits to be read, by their types.
fn extensions(stream: &std::net::TcpStream) -> BTreeMap<u16, Vec<u8>> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let mut record = vec![0; 5];
    let mut look = |len: usize| {
        record.resize(len, 0);
        eventually("the first message is there", || stream.peek(&mut record).unwrap() == len);
        record.clone()
    };
    let hello = look(5);
    let hello = look(5 + number(&hello[3..]));
    // Behind the headers, the version and the random bytes: session, suites and compression.
    let mut at = 5 + 4 + 2 + 32;
    at += 1 + number(&hello[at..=at]);
    at += 2 + number(&hello[at..at + 2]);
    at += 1 + number(&hello[at..=at]);
    at += 2;
    let mut found = BTreeMap::new();
    while at < hello.len() {
        let end = at + 4 + number(&hello[at + 2..at + 4]);
        found.insert(u16::from_be_bytes([hello[at], hello[at + 1]]), hello[at + 4..end].to_vec());
        at = end;
    }
    found
}

/// A server gives tickets and takes early data, and the connection is lost: the next one of the same run uses neither.
#[test]
fn no_connection_goes_on_with_the_session_of_another_or_sends_before_the_handshake() {
    const EARLY_DATA: u16 = 42;
    const PRE_SHARED_KEY: u16 = 41;
    const GROUPS: u16 = 10;
    // X25519 with ML-KEM-768, X25519, P-256.
    const OFFERED: [u8; 8] = [0, 6, 0x11, 0xec, 0, 29, 0, 23];
    let identity = Identity::own();
    let mut offers = config(&identity);
    offers.max_early_data_size = 16_384;
    offers.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    let fake = TlsFake::start(offers);
    let configuration = trusting(&[(&fake.address(), &identity.pin())]);
    let address = fake.address();
    let serving = thread::spawn(move || -> io::Result<Vec<BTreeMap<u16, Vec<u8>>>> {
        let mut seen = Vec::new();
        for is_last in [false, true] {
            let stream = fake.accept_plain()?;
            seen.push(extensions(&stream));
            let mut caller = fake.shake_hands(stream);
            caller.greet()?;
            let (header, _) = caller.receive()?;
            if is_last {
                caller.send(&json!({"ack": header["id"]}), b"")?;
                let _ = caller.obey(&|_, _| ());
            }
        }
        Ok(seen)
    });
    let output = haul_in(configuration.path(), &["mkdir", &format!("{address}/d")]).output();
    let seen = serving.join().unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    for extensions in seen {
        assert_eq!(extensions.get(&GROUPS).map(Vec::as_slice), Some(&OFFERED[..]));
        let used = [EARLY_DATA, PRE_SHARED_KEY].map(|kind| extensions.contains_key(&kind));
        assert_eq!(used, [false; 2], "{extensions:?}");
    }
}

#[test]
fn answer_that_comes_in_one_record_or_in_many_is_read_whole() {
    let entry = |name: &str| json!({"filename": name, "kind": "directory"}).to_string() + "\n";
    let list: String = (10_000..20_000).map(|name| entry(&name.to_string())).collect();
    let wanted: String = (10_000..20_000).map(|name| format!("{name}/\n")).collect();
    for record in [11, 1000, 16_384, 100_000] {
        let identity = Identity::own();
        let fake = TlsFake::start(config(&identity));
        let configuration = trusting(&[(&fake.address(), &identity.pin())]);
        let (address, list) = (fake.address(), list.clone());
        let serving = thread::spawn(move || -> io::Result<()> {
            let mut caller = fake.accept()?;
            caller.greet()?;
            let id = caller.header()?["id"].clone();
            let answer = json!({"answer": id, "more": false, "length": list.len()});
            for record in frame(&answer, list.as_bytes()).chunks(record) {
                caller.0.write_all(record)?;
            }
            caller.0.flush()
        });
        haul_in(configuration.path(), &["ls", &address]).assert().success().stdout(wanted.clone());
        serving.join().unwrap().unwrap();
    }
}

#[test]
fn garbage_in_the_middle_is_a_lost_connection() {
    let (output, ..) = puts(&["--retry-for", "0"], None, |caller, _| {
        // The client waits for an answer: no bytes are in the way of its last word.
        let header = caller.header()?;
        let len = usize::try_from(header["length"].as_u64().unwrap()).unwrap();
        caller.0.read_exact(&mut vec![0; len])?;
        caller.0.sock.write_all(&[0x17, 3, 3, 0, 30])?;
        caller.0.sock.write_all(&[7; 30])?;
        // The client tells why.
        let mut rest = Vec::new();
        let error = caller.0.read_to_end(&mut rest).unwrap_err();
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
        Ok(Vec::new())
    });
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("the connection to the server broke: cannot decrypt"), "{told}");
}

#[test]
fn last_words_of_a_server_are_heard_though_garbage_follows_them() {
    let (output, ..) = puts(&["--retry-for", "0"], None, |caller, _| {
        caller.header()?;
        // Both at once: the client may end as soon as it has the last words.
        let mut bytes = Vec::new();
        caller
            .0
            .conn
            .writer()
            .write_all(&frame(&refusal(&json!(0), "shutting_down", false), b""))?;
        caller.0.conn.write_tls(&mut bytes)?;
        bytes.extend([0x17, 3, 3, 0, 30]);
        bytes.extend([7; 30]);
        caller.0.sock.write_all(&bytes)?;
        // Until the client has had enough.
        let _ = caller.0.read_to_end(&mut Vec::new());
        Ok(Vec::new())
    });
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("the test says so"), "{told}");
}
