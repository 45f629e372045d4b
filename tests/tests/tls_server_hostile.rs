//! Peers of `hauld` that break the rules of TLS, listen to the line, or ask for what is not TLS 1.3.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use haul_tests::needed::has_openssl;
use haul_tests::prelude::*;

use crate::tls_fake::haul_in;
use crate::tls_peer::{self, TlsPeer};

fn tls_server() -> Hauld {
    server_with(&["--tls", "always"])
}

/// Sends bytes as they are, and returns all that comes until the server ends the stream.
fn answer_to(server: &Hauld, bytes: &[u8]) -> Vec<u8> {
    let mut peer = Peer::connect(server.address()).unwrap();
    // The server may end the stream before it has read all.
    let _ = peer.stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = peer.stream.read_to_end(&mut answer);
    answer
}

fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3], &len[..], payload].concat()
}

fn client_hello() -> Vec<u8> {
    let mut hello = Vec::new();
    tls_peer::session(tls_peer::usual()).write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn broken_handshakes_end_alone_and_with_an_alert() {
    let server = tls_server();
    let mut witness = TlsPeer::hello(server.address());
    let sockets = server.sockets().unwrap();
    let hello = client_hello();
    // The length of the list of cipher suites, behind the version, the random bytes and the session.
    let mut changed = hello.clone();
    changed[76] ^= 0x7f;
    let mut huge = vec![1, 0xff, 0xff, 0xff];
    huge.resize(16_000, 0);
    let huge: Vec<u8> = huge.chunks(4000).flat_map(|piece| record(22, piece)).collect();
    let mut slow_huge = vec![1, 0, 0xff, 0xff];
    slow_huge.resize(65_000, 0);
    let slow_huge: Vec<u8> = slow_huge.chunks(100).flat_map(|piece| record(22, piece)).collect();
    for (what, bytes) in [
        ("a client hello with another byte", changed),
        ("garbage behind the first bytes", [&[22, 3, 1, 0, 200][..], &[9; 200]].concat()),
        ("a record that is too long", vec![22, 3, 1, 0xff, 0xff, 1, 0, 0, 0]),
        ("an empty record", record(22, b"")),
        ("a handshake message of another kind", record(22, &[20, 0, 0, 1, 0])),
        ("a huge handshake message", huge),
        ("a long handshake message in many records", slow_huge),
        ("two client hellos", [&hello[..], &hello[..]].concat()),
        ("application data before its time", [&hello[..], &record(23, &[7; 100])].concat()),
    ] {
        let answer = answer_to(&server, &bytes);
        // In clear, or encrypted as the last record.
        let is_alert = |bytes: &[u8]| {
            bytes.len() >= 7 && bytes[bytes.len() - 7..].starts_with(&[21, 3, 3, 0, 2, 2])
        };
        let is_encrypted =
            answer.len() > 24 && answer[answer.len() - 24..].starts_with(&[23, 3, 3, 0, 19]);
        assert!(is_alert(&answer) || is_encrypted, "{what}: {answer:?}");
    }
    eventually("all have ended", || server.sockets().unwrap() == sockets);
    witness.put(1, "a", b"b");
    let log = server.log_text();
    assert!(log.matches("TLS failed").count() >= 9 && !log.contains("panicked"), "{log}");
}

/// Records that fail to decrypt end the connection in whose middle they come, and what had come before stays unseen.
#[test]
fn changed_record_in_the_middle_of_a_body_ends_the_connection() {
    let server = tls_server();
    let mut peer = TlsPeer::hello(server.address());
    let body = vec![7; 300_000];
    peer.stream.write_all(&frame(&put(1, "a", &body), &body[..100_000])).unwrap();
    peer.stream.flush().unwrap();
    peer.stream.conn.writer().write_all(&body[..10_000]).unwrap();
    let mut bytes = Vec::new();
    peer.stream.conn.write_tls(&mut bytes).unwrap();
    bytes[100] ^= 1;
    peer.stream.sock.write_all(&bytes).unwrap();
    let error = peer.try_receive().unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    eventually("nothing is left of it", || server.staged().unwrap().is_empty());
    assert!(!server.root().join("a").exists());
    assert!(server.log_text().contains("TLS failed"));
}

/// The client's end of the stream may be that of an attacker: it is no end of the body, and is logged.
#[test]
fn stream_that_is_cut_is_no_end_of_a_file() {
    let server = tls_server();
    let mut peer = TlsPeer::hello(server.address());
    let body = vec![7; 300_000];
    peer.stream.write_all(&frame(&put(1, "a", &body), &body[..100_000])).unwrap();
    peer.stream.flush().unwrap();
    peer.stream.sock.shutdown(Shutdown::Write).unwrap();
    eventually("it is logged", || server.log_text().contains("without the words of TLS"));
    eventually("nothing is left of it", || server.staged().unwrap().is_empty());
    assert!(!server.root().join("a").exists());
}

/// The end of TLS is read together with what ends the connection: no event of the socket tells of it again.
#[test]
fn peer_that_ends_tls_behind_its_last_frame_is_not_waited_for_beyond_the_timeout() {
    let server = server_with(&["--tls", "always", "--header-timeout", "1s"]);
    let sockets = server.sockets().unwrap();
    let hello = frame(&tls_peer::hello_of("a"), b"");
    let other_version = frame(&json!({"cmd": "hello", "version": 99}), b"");
    let malformed = [&hello[..], &frame(&json!({"cmd": 7}), b"")].concat();
    let http = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    for bytes in [other_version, malformed, http] {
        let mut peer = TlsPeer::connect(server.address());
        peer.stream.conn.writer().write_all(&bytes).unwrap();
        peer.stream.conn.send_close_notify();
        let mut records = Vec::new();
        while peer.stream.conn.wants_write() {
            peer.stream.conn.write_tls(&mut records).unwrap();
        }
        peer.stream.sock.write_all(&records).unwrap();
        // The server says all, and ends its side; this side stays open.
        peer.stream.read_to_end(&mut Vec::new()).unwrap();
        eventually("it is gone", || server.sockets().unwrap() == sockets);
    }
    let log = server.log_text();
    assert_eq!(log.matches("peer was silent for too long").count(), 3, "{log}");
}

/// Records of no or one byte are work for the server, but no more than for one turn at a time.
#[test]
fn flood_of_small_records_keeps_nobody_waiting() {
    let server = server_with(&["--tls", "always", "--workers", "1"]);
    let mut flood = TlsPeer::hello(server.address());
    let mut witness = TlsPeer::hello(server.address());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let header = put(1, "a", &[7; 1_000_000]);
            flood.stream.write_all(&frame(&header, b"")).unwrap();
            while !over.load(Ordering::Relaxed) {
                flood.stream.conn.set_buffer_limit(None);
                for _ in 0..500 {
                    flood.stream.conn.writer().write_all(&[7]).unwrap();
                }
                if flood.stream.flush().is_err() {
                    break;
                }
            }
        });
        for id in 1..=20 {
            witness.put(id, &format!("w{id}"), b"x");
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// The bytes of a connection that a relay sees.
#[test]
fn nothing_passes_in_clear() {
    let server = tls_server();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, target) = (listener.local_addr().unwrap(), server.address().to_owned());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&seen);
    thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = TcpStream::connect(target).unwrap();
        let pass = |mut from: TcpStream, mut to: TcpStream| {
            let all = Arc::clone(&all);
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(len @ 1..) = from.read(&mut buffer) {
                    all.lock().unwrap().extend_from_slice(&buffer[..len]);
                    to.write_all(&buffer[..len]).unwrap();
                }
                let _ = to.shutdown(Shutdown::Write);
            })
        };
        pass(client.try_clone().unwrap(), server.try_clone().unwrap());
        pass(server, client);
    });
    let mut peer = TlsPeer::hello(&address.to_string());
    let body = b"a very secret word, many times. ".repeat(2000);
    peer.put(1, "secret-name/of-a-file", &body);
    let list = peer.ask(&json!({"cmd": "list", "id": 2, "filename": "secret-name"}), b"");
    assert_eq!(list["answer"], 2);
    assert_eq!(peer.end().unwrap(), b"");
    assert!(fs::read(server.root().join("secret-name/of-a-file")).unwrap() == body);
    let seen = seen.lock().unwrap();
    assert!(seen.len() > body.len());
    for word in ["secret", "of-a-file", "filename", "hello", "hauld/", "blake3", "very", "ack"] {
        let is_seen = seen.windows(word.len()).any(|bytes| bytes == word.as_bytes());
        // The names in the certificate are encrypted, too.
        assert!(!is_seen, "{word}");
    }
}

/// `openssl s_client` with these words and this input.
fn s_client(server: &Hauld, words: &[&str], input: &[u8]) -> (bool, String) {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", server.address()]).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn openssl_gets_tls_1_3_and_the_three_cipher_suites_and_nothing_else() {
    if !has_openssl() {
        return;
    }
    let server = tls_server();
    for suite in
        ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
    {
        let (_, text) = s_client(&server, &["-tls1_3", "-ciphersuites", suite], b"Q\n");
        assert!(text.contains(&format!("New, TLSv1.3, Cipher is {suite}")), "{text}");
        assert!(text.contains("Verify return code: 18") && text.contains("CN = hauld"), "{text}");
        // No ticket, and so nothing before the handshake.
        assert!(!text.contains("New Session Ticket"), "{text}");
    }
    for words in [
        &["-tls1_2"][..],
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"],
        &["-no_tls1_3"],
    ] {
        let (succeeded, text) = s_client(&server, words, b"Q\n");
        assert!(!succeeded && text.contains("alert"), "{words:?}: {text}");
        assert!(text.contains("Cipher is (NONE)"), "{words:?}: {text}");
    }
}

#[test]
fn openssl_gets_a_key_exchange_of_three_curves_and_of_no_other_group() {
    if !has_openssl() {
        return;
    }
    let server = tls_server();
    for (group, key) in [("X25519", "X25519"), ("P-256", "prime256v1"), ("P-384", "secp384r1")] {
        let (succeeded, text) = s_client(&server, &["-tls1_3", "-groups", group], b"Q\n");
        let agreed = text.lines().find(|line| line.starts_with("Server Temp Key: ")).unwrap_or("");
        assert!(succeeded && agreed.contains(key), "{group}: {text}");
    }
    for group in ["P-521", "X448", "ffdhe2048", "ffdhe3072", "brainpoolP256r1"] {
        let (succeeded, text) = s_client(&server, &["-tls1_3", "-groups", group], b"Q\n");
        assert!(!succeeded && text.contains("Cipher is (NONE)"), "{group}: {text}");
    }
}

#[test]
fn openssl_may_renew_its_keys() {
    if !has_openssl() {
        return;
    }
    let server = tls_server();
    let (_, text) = s_client(&server, &["-tls1_3"], b"K\n");
    assert!(text.contains("KEYUPDATE"), "{text}");
    assert!(!server.log_text().contains("TLS failed"), "{}", server.log_text());
}

/// A session of another server, with which a client may send bytes before the handshake: hauld takes none of them.
#[test]
fn bytes_before_the_handshake_are_not_taken() {
    if !has_openssl() {
        return;
    }
    let server = tls_server();
    let place = TempDir::new().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=hauld", "-keyout", &path("key"), "-out", &path("cert")])
        .output();
    assert!(made.unwrap().status.success());
    let mut other = Command::new("openssl")
        .args(["s_server", "-tls1_3", "-early_data", "-max_early_data", "16384", "-accept", "0"])
        .args(["-cert", &path("cert"), "-key", &path("key")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(other.stdout.take().unwrap()).lines();
    let port = said.find_map(|line| {
        let line = line.unwrap();
        Some(line.strip_prefix("ACCEPT ")?.rsplit_once(':')?.1.to_owned())
    });
    let client = Command::new("openssl")
        .args(["s_client", "-tls1_3", "-connect", &format!("127.0.0.1:{}", port.unwrap())])
        .args(["-sess_out", &path("session")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("there is a session", || {
        fs::read_to_string(path("session")).is_ok_and(|text| text.contains("END SSL SESSION"))
    });
    for mut process in [client, other] {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    let early = [
        frame(
            &json!({"cmd": "hello", "version": 1, "agent": "a", "client": "c", "slot": 0, "must": []}),
            b"",
        ),
        frame(&put(1, "early", b"x"), b"x"),
    ];
    fs::write(path("early"), early.concat()).unwrap();
    let words = ["-tls1_3", "-sess_in", &path("session"), "-early_data", &path("early")];
    let (_, text) = s_client(&server, &words, b"Q\n");
    assert!(text.contains("Early data was rejected"), "{text}");
    assert!(text.contains("New, TLSv1.3"), "{text}");
    TlsPeer::hello(server.address()).put(1, "late", b"x");
    assert!(server.root().join("late").exists() && !server.root().join("early").exists());
}

/// The log tells its reader why a peer was sent away, and from where the peer came.
#[test]
fn log_tells_why_tls_has_failed_in_words_and_with_the_address() {
    let server = tls_server();
    let told = |peer: &str, words: &str| {
        let mut log = String::new();
        eventually(words, || {
            log = server.log_text();
            log.lines()
                .any(|line| line.contains(words) && line.ends_with(&format!("peer=\"{peer}\"")))
        });
    };
    let send = |bytes: &[u8]| {
        let mut peer = Peer::connect(server.address()).unwrap();
        let address = peer.stream.local_addr().unwrap().to_string();
        let _ = peer.stream.write_all(bytes);
        let _ = peer.stream.shutdown(Shutdown::Write);
        let _ = peer.stream.read_to_end(&mut Vec::new());
        address
    };
    let plain = "at an address that takes only TLS";
    told(&send(&frame(&json!({"cmd": "hello", "version": 1}), b"")), plain);
    told(&send(b"GET / HTTP/1.1\r\n\r\n"), plain);
    told(&send(&classic("a", b"b")), plain);
    let garbage = [&[22, 3, 1, 0, 200][..], &[9; 200]].concat();
    told(&send(&garbage), "TLS failed: the peer sent bytes that are no TLS");
    told(&send(&client_hello()), "broke the TLS handshake off");
    told(&send(&client_hello()[..50]), "broke the TLS handshake off");
    let hello = client_hello();
    let alert = |description| [&hello[..], &record(21, &[2, description])].concat();
    for description in [48, 42, 46] {
        let words = "TLS failed: the peer does not trust the certificate of this server";
        told(&send(&alert(description)), words);
    }
    told(&send(&alert(90)), "TLS failed: the peer gave up");
    if has_openssl() {
        let _ = s_client(&server, &["-tls1_2"], b"");
        let words = "the peer offers no TLS 1.3, and this server takes nothing older";
        eventually("it is told", || server.log_text().contains(words));
    }
    // A real client that trusts no such key.
    let configuration = TempDir::new().unwrap();
    let output = haul_in(configuration.path(), &["ls", server.address()]).output();
    assert_eq!(output.status.code(), Some(4));
    let words = "does not trust the certificate of this server";
    eventually("it is told", || server.log_text().matches(words).count() == 4);
    let log = server.log_text();
    assert!(!log.contains("InvalidMessage") && !log.contains("AlertReceived"), "{log}");
}

#[test]
fn log_does_not_grow_with_each_peer_that_breaks_off() {
    let server = tls_server();
    let garbage = [&[22, 3, 1, 0, 200][..], &[9; 200]].concat();
    for _ in 0..200 {
        assert!(!answer_to(&server, &garbage).is_empty());
    }
    let left_out = || {
        let log = server.log_text();
        let left = log
            .lines()
            .filter_map(|line| line.rsplit_once("broke off lines=")?.1.parse::<usize>().ok());
        (log.matches("TLS failed").count(), left.sum::<usize>())
    };
    eventually("the others are counted", || left_out().0 + left_out().1 == 200);
}
