//! Servers that mean harm, or are stuck: no number of theirs sizes anything at the client, and none keeps it for ever.

use haul_tests::fake::{Fake, hello_answer, opened, refusal};
use haul_tests::prelude::*;

/// The most requests without an answer, whatever the server allows.
const WINDOW: usize = 16_384;

/// A client that does not outlive a test that fails.
struct Haul(Child);

impl Drop for Haul {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn haul(directory: &Path, words: &[&str]) -> Haul {
    let mut command = haul_command();
    command.current_dir(directory).args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
    Haul(command.spawn().unwrap())
}

/// A source with one file, `s/a`.
fn source() -> TempDir {
    let source = TempDir::new().unwrap();
    fs::create_dir(source.path().join("s")).unwrap();
    fs::write(source.path().join("s/a"), "x").unwrap();
    source
}

/// Waits for a client to end, and returns its messages.
#[track_caller]
fn ends(mut haul: Haul, code: i32) -> String {
    let mut said = String::new();
    eventually("the client ends", || haul.0.try_wait().unwrap().is_some());
    haul.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(haul.0.wait().unwrap().code(), Some(code), "{said}");
    said
}

/// Greets every connection with this answer, and does this to it then, until the client closes it.
fn server(
    hello: Value,
    then: impl Fn(&mut Peer) -> std::io::Result<()> + Send + 'static,
) -> String {
    let fake = Fake::start().unwrap();
    let address = fake.address().unwrap();
    std::thread::spawn(move || {
        while let Ok(mut peer) = fake.accept() {
            let greeted = peer.receive().and_then(|_| peer.send(&hello, b""));
            // The client closes when it has had enough.
            let _ = greeted.and_then(|()| then(&mut peer));
        }
    });
    address
}

fn with_limit(limit: &str, value: u64) -> Value {
    let mut hello = hello_answer();
    hello["limits"][limit] = value.into();
    hello
}

#[test]
fn server_that_announces_any_window_is_sent_no_more_than_the_clients_own() {
    let source = source();
    for index in 0..WINDOW + 4000 {
        fs::write(source.path().join(format!("s/{index}")), "").unwrap();
    }
    let fake = Fake::start().unwrap();
    let most = (1_u64 << 53) - 1;
    let mut hello = with_limit("window_requests", most);
    for limit in ["window_bytes", "max_file"] {
        hello["limits"][limit] = most.into();
    }
    let address = fake.address().unwrap();
    let haul = haul(source.path(), &["put", "s/", &address, "--connections", "1"]);
    let mut peer = fake.accept().unwrap();
    peer.receive().unwrap();
    peer.send(&hello, b"").unwrap();
    for _ in 0..WINDOW {
        peer.receive().unwrap();
    }
    assert!(!peer.has_word().unwrap(), "more than the client's own window");
    peer.send(&json!({"ack": WINDOW}), b"").unwrap();
    let mut more = 0;
    while let Ok((request, _)) = peer.receive() {
        more += 1;
        peer.send(&json!({"ack": request["id"]}), b"").unwrap();
    }
    assert!(more > 0, "the source is larger than the window");
    ends(haul, 0);
}

#[test]
fn server_whose_limits_are_of_no_use_is_named_with_the_limit() {
    for (limit, value) in
        [("window_requests", 0), ("window_bytes", 0), ("max_body", 0), ("max_header", 64)]
    {
        let address = server(with_limit(limit, value), |_| Ok(()));
        for verb in ["put", "sync"] {
            let said = ends(haul(source().path(), &[verb, "s", &address]), 3);
            assert!(said.contains(&format!("`{limit}` is {value}")), "{said}");
            assert!(said.contains("this haul can't work with"), "{said}");
        }
        assert!(ends(haul(Path::new("/"), &["ls", &address]), 3).contains(limit));
    }
}

/// A later version may mean anything by what follows.
#[test]
fn server_that_answers_with_another_version_is_left() {
    for version in [0, 2] {
        let mut hello = hello_answer();
        hello["hello"] = version.into();
        let address = server(hello, |peer| peer.receive().map(drop));
        for words in [&["put", "s", &address][..], &["ls", &address]] {
            let said = ends(haul(source().path(), words), 3);
            assert!(said.contains(&format!("answers with version {version}")), "{words:?}: {said}");
        }
    }
}

/// A letter that is missing tells nothing about its entry, and one more may have moved all others.
#[test]
fn check_without_one_letter_for_each_entry_ends_the_run() {
    for letters in ["", "++", "?+="] {
        let address = server(hello_answer(), move |peer| {
            let (check, _) = peer.receive()?;
            let answer = json!({"answer": check["id"], "length": letters.len()});
            peer.send(&answer, letters.as_bytes())?;
            peer.receive().map(drop)
        });
        let said = ends(haul(source().path(), &["sync", "s/a", &format!("{address}/a")]), 3);
        assert!(said.contains("letters for 1 entries"), "{letters}: {said}");
    }
}

/// A server with a slow disk repeats its last ack; one that does nothing else is left.
#[test]
fn server_that_repeats_its_last_ack_without_end_is_left() {
    let flood = |peer: &mut Peer| {
        peer.receive()?;
        let acks = frame(&json!({"ack": 0}), b"").repeat(100);
        loop {
            peer.stream.write_all(&acks)?;
        }
    };
    let address = server(hello_answer(), flood);
    for words in [&["put", "s", &address][..], &["sync", "s", &address], &["ls", &address]] {
        let said = ends(haul(source().path(), words), 3);
        assert!(said.contains("repeats its last acknowledgement"), "{words:?}: {said}");
    }
}

/// Frames that answer nothing or break a bound, in answer to the first request.
#[test]
fn answers_that_make_no_sense_end_the_run() {
    let answers = [
        65_537_i32.to_le_bytes().to_vec(),
        (-1_i32).to_le_bytes().to_vec(),
        frame(&json!({"ack": (1_u64 << 53) - 1}), b""),
        frame(&json!({"answer": 777}), b""),
        frame(&json!({"answer": 1, "length": 8_388_609}), b""),
        frame(&json!({"answer": 1, "ack": 1}), b""),
        frame(&json!({"answer": 1, "upload": "00".repeat(16), "part_size": 1024}), b""),
        frame(&hello_answer(), b""),
        frame(&json!({"answer": 1, "more": true}), b""),
    ];
    for answer in answers {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let address = server(hello_answer(), move |peer| {
            peer.receive()?;
            peer.stream.write_all(&answer)?;
            peer.receive().map(drop)
        });
        for words in [&["put", "s", &address][..], &["ls", &address]] {
            let said = ends(haul(source().path(), words), 3);
            assert!(said.contains("makes no sense"), "{words:?} {shown}: {said}");
        }
    }
}

/// Pages of a list have to go on: each name after all before it, and more only after some name.
#[test]
fn list_that_does_not_go_on_is_an_error() {
    let page = |names: &[&str]| -> Vec<u8> {
        let line = |name: &&str| {
            json!({"kind": "file", "filename": name, "filesize": 1}).to_string() + "\n"
        };
        names.iter().map(line).collect::<String>().into_bytes()
    };
    for body in [page(&[]), page(&["b"]), page(&["b", "a"]), page(&["d/b"]), page(&["../b"])] {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let address = server(hello_answer(), move |peer| {
            loop {
                let (request, asked) = peer.receive()?;
                let id = &request["id"];
                if request["cmd"] == "list" {
                    let answer = json!({"answer": id, "more": true, "length": body.len()});
                    peer.send(&answer, &body)?;
                } else if request["cmd"] == "check" {
                    let letters = asked.iter().filter(|byte| **byte == b'\n').map(|_| b'=');
                    let letters: Vec<u8> = letters.collect();
                    peer.send(&json!({"answer": id, "length": letters.len()}), &letters)?;
                } else {
                    peer.send(&json!({"ack": id}), b"")?;
                }
            }
        });
        for words in [&["sync", "--delete", "s/", &address][..], &["ls", &address]] {
            let said = ends(haul(source().path(), words), 3);
            assert!(said.contains("makes no sense"), "{words:?} {shown}: {said}");
        }
    }
}

/// It acknowledges a part of a large file, and does not know the upload any more, again and again.
#[test]
fn server_that_forgets_a_large_file_without_end_is_not_sent_it_without_end() {
    let source = source();
    fs::write(source.path().join("large"), vec![b'x'; 3 << 20]).unwrap();
    for (forgotten, code) in
        [("part", "unknown_upload"), ("commit", "incomplete"), ("commit", "unknown_upload")]
    {
        let address = server(hello_answer(), move |peer| {
            loop {
                let (request, _) = peer.receive()?;
                let (id, cmd) = (&request["id"], &request["cmd"]);
                if cmd == "open" {
                    opened(peer, id, 1 << 20, &[])?;
                } else if cmd == forgotten && (cmd == "commit" || request["offset"] != 0) {
                    peer.send(&refusal(id, code, true), b"")?;
                } else if cmd == "part" {
                    peer.send(&json!({"ack": id}), b"")?;
                } else {
                    peer.send(&json!({"answer": id}), b"")?;
                }
            }
        });
        let said = ends(haul(source.path(), &["put", "large", &address, "--connections", "1"]), 1);
        assert!(said.contains("large: refused by the server"), "{said}");
    }
}
