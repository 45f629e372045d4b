//! Two clients of one identity that send the same large file at once, and cut each other off.

use std::sync::mpsc::channel;

use haul_tests::prelude::*;

/// How often the file is committed while another connection opens it again.
const ROUNDS: u32 = 200;

/// Trap `lock_order`: the `open` of a file within microseconds of its `commit` once stopped all workers for good.
#[test]
fn lock_order_of_an_open_within_the_commit_of_the_same_file_stops_nobody() {
    let mut server = server_with(&["--durability", "none"]);
    let large = Large::new(0);
    // A panic on one side ends the other's waiting.
    let (begin, begun) = channel();
    let (end, ended) = channel();
    let (server_there, large_there) = (&server, &large);
    thread::scope(|scope| {
        scope.spawn(move || {
            let (server, large) = (server_there, large_there);
            for _ in 0..ROUNDS {
                let mut upload = Upload::open(server, large).unwrap();
                for index in 0..large.cvs.len() {
                    if !upload.held.contains(&index) {
                        upload.good(large, index).unwrap();
                    }
                }
                begin.send(()).unwrap();
                let answer = upload.commit(&large.digest).unwrap();
                let code = answer["code"].as_str();
                assert!(matches!(code, None | Some("taken_over" | "busy")), "{answer}");
                ended.recv().unwrap();
            }
        });
        let mut rival = Peer::connect(server.address()).unwrap();
        rival.say_hello("rival", 0, Some("somebody")).unwrap();
        let mut id = 0;
        for round in 0..ROUNDS {
            begun.recv().unwrap();
            // The commit is decided somewhere in the first half of a millisecond.
            let pause = Duration::from_micros(u64::from(round * 7 % 500));
            let begin = Instant::now();
            while begin.elapsed() < pause {
                std::hint::spin_loop();
            }
            for _ in 0..3 {
                id += 1;
                let open = json!({
                    "cmd": "open", "id": id, "filename": "dir/large", "mode": large.mode,
                    "filesize": large.bytes.len(), "mtime": {"s": -5, "ns": 999_999_999},
                    "fingerprint": large.fingerprint,
                });
                let answer = rival.ask(&open, b"");
                let answer =
                    answer.unwrap_or_else(|error| panic!("{error}: {}", server.log_text()));
                let code = answer["code"].as_str();
                assert!(matches!(code, None | Some("busy")), "{answer}");
            }
            let mut third = server.peer();
            assert_eq!(third.ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap()["answer"], 1);
            end.send(()).unwrap();
        }
    });
    // The server cuts one of both off last, and lets the file be committed once it is done with that.
    let mut opened = None;
    eventually("the last commit is over", || {
        match Upload::open(&server, &large) {
            Ok(upload) => opened = Some(upload),
            Err(error) => assert!(error.to_string().contains("\"busy\""), "{error}"),
        }
        opened.is_some()
    });
    let mut upload = opened.unwrap();
    for index in 0..large.cvs.len() {
        if !upload.held.contains(&index) {
            upload.good(&large, index).unwrap();
        }
    }
    assert_eq!(upload.commit(&large.digest).unwrap()["answer"], upload.id);
    drop(upload);
    assert_eq!(fs::read(server.root().join("dir/large")).unwrap(), large.bytes);
    server.signal(Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
}
