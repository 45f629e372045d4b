//! The hook `before-put`: every way in which a file comes is asked about, and whatever the program does, no file comes that it has not
//! allowed.

use haul_tests::bundles;
use haul_tests::hook::Hook;
use haul_tests::http::{HttpPeer, ask};
use haul_tests::prelude::*;

/// Refuses names with `bad` in them.
const NO_BAD: &str = r#"while read -r line; do
    echo "$line" >> asked
    id=${line#*\"id\":}
    id=${id%%,*}
    case $line in
        *bad*) echo "{\"id\":$id,\"allow\":false,\"message\":\"no bad\\u001b[2J files\"}" ;;
        *) echo "{\"id\":$id,\"allow\":true}" ;;
    esac
done"#;

/// A server whose program answers. However busy the machine is, its time is long enough.
fn answered(hook: &Hook, words: &[&str]) -> Hauld {
    hooked(hook, &[&["--hook-answer", "50s"], words].concat())
}

fn hooked(hook: &Hook, words: &[&str]) -> Hauld {
    let own = hook.words("--before-put");
    server_with(&[&[own[0].as_str(), &own[1]], words].concat())
}

/// The lines about files that the program has got.
fn asked(hook: &Hook) -> Vec<Value> {
    let text = hook.text("asked");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All names of files in the root, but for the server's own.
fn files(server: &Hauld) -> Vec<String> {
    let is_own = |entry: &walkdir::DirEntry| entry.file_name() == ".haul";
    let entries = walkdir::WalkDir::new(server.root()).sort_by_file_name().into_iter();
    let entries = entries.filter_entry(|entry| !is_own(entry)).map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    let name = |entry: walkdir::DirEntry| {
        entry.path().strip_prefix(server.root()).unwrap().to_str().unwrap().to_owned()
    };
    files.map(name).collect()
}

fn open(id: u64, name: &str) -> Value {
    json!({"cmd": "open", "id": id, "filename": name, "filesize": 3_000_000, "fingerprint": "f"})
}

/// A creation of an upload of tus that brings all bytes.
fn tus(address: &str, name_in_base64: &str) -> u16 {
    let fields = format!(
        "Tus-Resumable: 1.0.0\r\nUpload-Length: 3\r\nUpload-Metadata: filename {name_in_base64}\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: 3\r\n"
    );
    ask(address, "POST /.haul/tus/", &fields, b"abc").status
}

fn many(address: &str, rows: &[(&str, &[u8])]) -> Vec<u64> {
    let row = |(name, bytes): &(&str, &[u8])| {
        [format!("{}\n", json!({"name": name, "size": bytes.len()})).as_bytes(), bytes].concat()
    };
    let body: Vec<u8> = rows.iter().flat_map(row).collect();
    let fields =
        format!("Content-Type: application/vnd.haul.rows\r\nContent-Length: {}\r\n", body.len());
    let reply = ask(address, "POST /.haul/many?to=/", &fields, &body);
    let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("{reply:?}"));
    let entries = answer["entries"].as_array().unwrap();
    entries.iter().map(|entry| entry["status"].as_u64().unwrap()).collect()
}

fn form(address: &str, names: &[&str]) -> u16 {
    let part = |name: &&str| {
        format!(
            "--xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\nabc\r\n"
        )
    };
    let body = names.iter().map(part).collect::<String>() + "--xYz--\r\n";
    let fields = format!(
        "Content-Type: multipart/form-data; boundary=xYz\r\nContent-Length: {}\r\n",
        body.len()
    );
    ask(address, "POST /", &fields, body.as_bytes()).status
}

/// Its time to start is not that for an answer.
#[test]
fn program_that_is_slow_to_start_is_waited_for() {
    let hook = Hook::new(&format!("sleep 0.5\n{NO_BAD}"));
    let server = hooked(&hook, &["--hook-answer", "100ms"]);
    let mut peer = server.peer();
    peer.send(&put(1, "a", b"x"), b"x").unwrap();
    assert_eq!(peer.receive().unwrap().0["ack"], 1);
}

#[test]
fn file_that_is_refused_does_not_come_whichever_way_it_would() {
    for durability in ["none", "group"] {
        let hook = Hook::new(NO_BAD);
        let server = answered(&hook, &["--durability", durability]);
        let address = server.address();
        let mut peer = server.peer();
        let answer = peer.ask(&put(1, "d/bad", b"x"), b"x").unwrap();
        refused(&answer, 1, "unwanted");
        assert_eq!(answer["retry"], false);
        let said = answer["message"].as_str().unwrap();
        assert!(said.contains("no bad\\u{1b}[2J files"), "{said}");
        assert_eq!(peer.ask(&put(2, "put", b"x"), b"x").unwrap()["ack"], 2);
        assert_eq!(peer.ask(&put(3, "empty", b""), b"").unwrap()["ack"], 3);
        refused(&peer.ask(&put(4, "empty-bad", b""), b"").unwrap(), 4, "unwanted");
        refused(&peer.ask(&open(5, "bad"), b"").unwrap(), 5, "unwanted");
        assert!(peer.ask(&open(6, "opened"), b"").unwrap()["upload"].is_string());
        let mut classics = Peer::connect(address).unwrap();
        for name in ["classic-bad", "classic"] {
            classics.stream.write_all(&classic(name, b"old")).unwrap();
        }
        drop(classics.end());
        let http = |name: &str| {
            ask(address, &format!("PUT /{name}"), "Content-Length: 3\r\n", b"abc").status
        };
        assert_eq!((http("http-bad"), http("http")), (403, 201));
        // "tus-bad" and "tus".
        assert_eq!((tus(address, "dHVzLWJhZA=="), tus(address, "dHVz")), (403, 201));
        let rows: [(&str, &[u8]); 5] = [
            ("row", b"abc"),
            ("row-bad", b"abc"),
            ("row-empty", b""),
            ("row-empty-bad", b""),
            ("row-last", b"abc"),
        ];
        assert_eq!(many(address, &rows), [201, 403, 201, 403, 201]);
        assert!(form(address, &["form", "form-bad", "form-last"]) >= 400);
        let place = TempDir::new().unwrap();
        let source = place.path().join("run");
        fs::create_dir(&source).unwrap();
        for name in ["small", "small-bad", "small-last"] {
            fs::write(source.join(name), "x").unwrap();
        }
        fs::write(source.join("large"), vec![1; 9 << 20]).unwrap();
        fs::write(source.join("large-bad"), vec![1; 9 << 20]).unwrap();
        let run = haul().arg("put").arg(source).arg(address).assert();
        run.failure().stderr(contains("no bad"));
        let wanted = [
            "classic",
            "empty",
            "form",
            "form-last",
            "http",
            "put",
            "row",
            "row-empty",
            "row-last",
            "run/large",
            "run/small",
            "run/small-last",
            "tus",
        ];
        eventually("the classic file is there", || server.root().join("classic").exists());
        assert_eq!(files(&server), wanted);
        let told = asked(&hook);
        let dialects: std::collections::BTreeSet<_> =
            told.iter().map(|line| line["dialect"].as_str().unwrap()).collect();
        assert_eq!(dialects.into_iter().collect::<Vec<_>>(), ["classic", "haul", "http", "tus"]);
        let first = &told[0];
        assert_eq!((&first["event"], &first["name"]), (&json!("put"), &json!("d/bad")));
        assert_eq!((&first["size"], &first["account"]), (&json!(1), &json!(null)));
        assert!(first["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{first}");
    }
}

#[test]
fn file_of_a_draft_is_asked_about_with_its_whole_name() {
    let hook = Hook::new(NO_BAD);
    let server = answered(&hook, &[]);
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("f"), "x").unwrap();
    let target = format!("{}/site", server.address());
    haul().arg("publish").arg(source.path()).arg(&target).assert().success();
    assert!(asked(&hook).iter().any(|line| line["name"] == "site/f"), "{:?}", asked(&hook));
    fs::write(source.path().join("bad"), "x").unwrap();
    haul().arg("publish").arg(source.path()).arg(&target).assert().failure();
    assert_eq!(files(&server), ["site/f"]);
}

/// Below the root of the account the name is too long, so the client means no entry of the store.
#[test]
fn file_of_a_bundle_that_can_not_have_its_name_is_refused_unasked() {
    let hook = Hook::new(NO_BAD);
    let own = hook.words("--before-put");
    let words = [own[0].as_str(), &own[1], "--hook-answer", "50s"];
    let accounts = Accounts::start_with(&words, &["alice --root a --rights mirror"]);
    let mut peer = accounts.peer("alice");
    let long = format!("{}x", "y/".repeat(2047));
    let of_others: &[&str] = &[&long, "first", "bad", "last"];
    for (first, names) in [(1, of_others), (5, &[&long])] {
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (*name, &b"x"[..])).collect();
        let body = bundles::body(&files);
        peer.send(&bundles::header(first, files.len(), &body), &body).unwrap();
        let answers = std::iter::from_fn(|| Some(peer.receive().unwrap().0));
        let answer = answers.into_iter().find(|answer| answer["refused"] == first).unwrap();
        refused(&answer, first, "bad_name");
    }
    let asked: Vec<Value> = asked(&hook).into_iter().map(|line| line["name"].clone()).collect();
    assert_eq!(asked, ["a/first", "a/bad", "a/last"]);
    eventually("the others are there", || files(&accounts.server) == ["a/first", "a/last"]);
}

/// No byte of a body is asked for before the hook has allowed the file.
#[test]
fn client_of_http_that_waits_is_told_to_go_on_only_when_its_file_may_come() {
    let hook = Hook::new(NO_BAD);
    let server = answered(&hook, &[]);
    for (name, status) in [("bad", 403), ("good", 100)] {
        let mut peer = HttpPeer::connect(server.address());
        let fields = "Content-Length: 3\r\nExpect: 100-continue\r\n";
        peer.ask(&format!("PUT /{name}"), fields, b"");
        assert_eq!(peer.receive_of("PUT").status, status);
    }
}

/// All that a program can do instead of answering.
#[test]
fn program_that_does_not_answer_lets_no_file_in_and_holds_no_worker() {
    let scripts = [
        ("hangs", "while read -r line; do sleep 1000; done"),
        ("ends", "read -r line; exit 3"),
        ("never begins", "exit 0"),
        ("says what is no answer", "while read -r line; do echo yes; done"),
        (
            "answers another question",
            "while read -r line; do echo '{\"id\":999,\"allow\":true}'; done",
        ),
        ("says no whole line", "read -r line; printf '{\"id\":0,\"allow\":true}'; sleep 1000"),
    ];
    for (what, script) in scripts {
        let hook = Hook::new(script);
        let server = hooked(&hook, &["--workers", "1"]);
        let address = server.address();
        let mut peer = server.peer();
        peer.send(&put(1, "put", b"x"), b"x").unwrap();
        // The only worker serves others meanwhile.
        let mut other = server.peer();
        let answer = other.ask(&json!({"cmd": "list", "id": 1}), b"").unwrap();
        assert_eq!(answer["answer"], 1, "{what}: {answer}");
        let answer = peer.receive().unwrap().0;
        refused(&answer, 1, "busy");
        assert_eq!(answer["retry"], true, "{what}");
        refused(&peer.ask(&open(2, "opened"), b"").unwrap(), 2, "busy");
        let mut classics = Peer::connect(address).unwrap();
        classics.stream.write_all(&classic("classic", b"old")).unwrap();
        drop(classics.end());
        assert_eq!(ask(address, "PUT /http", "Content-Length: 3\r\n", b"abc").status, 503);
        assert_eq!(tus(address, "dHVz"), 503, "{what}");
        assert_eq!(many(address, &[("row", b"abc")]), [503], "{what}");
        assert!(files(&server).is_empty(), "{what}: {:?}", files(&server));
        let log = server.log_text();
        assert!(log.contains("before-put") && log.contains("failed"), "{what}: {log}");
        // Once the program is right, it is started again without a restart of the server.
        hook.becomes(NO_BAD);
        let mut id = 2;
        eventually("files come", || {
            id += 1;
            peer.ask(&put(id, "again", b"x"), b"x").unwrap()["ack"] == id
        });
        assert_eq!(files(&server), ["again"], "{what}");
    }
}

#[test]
fn client_tries_again_until_the_program_answers() {
    let hook = Hook::new("exit 1");
    let server = hooked(&hook, &[]);
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("f"), "x").unwrap();
    let target = server.address();
    thread::scope(|scope| {
        let source = source.path().join("f");
        let putting = scope.spawn(|| haul().arg("put").arg(source).arg(target).assert());
        eventually("a file is refused", || server.log_text().contains("failed"));
        hook.becomes(NO_BAD);
        putting.join().unwrap().success();
    });
    assert_eq!(files(&server), ["f"]);
}

#[test]
fn program_is_asked_once_about_a_file_that_it_refuses() {
    let hook = Hook::new(NO_BAD);
    let server = answered(&hook, &[]);
    let source = TempDir::new().unwrap();
    let sizes = [("a-bad", 3), ("b-bad", 3), ("c", 3), ("d-bad", 100_000), ("e-bad", 9 << 20)];
    for (name, size) in sizes {
        fs::write(source.path().join(name), vec![b'x'; size]).unwrap();
    }
    let mut put = haul();
    put.arg("put").arg(format!("{}/", source.path().display())).arg(server.address());
    put.assert().code(1).stderr(contains("no bad\\u{1b}[2J files (unwanted)"));
    let mut names: Vec<_> =
        asked(&hook).iter().map(|line| line["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, sizes.map(|(name, _)| name));
    assert_eq!(files(&server), ["c"]);
}

#[test]
fn answers_are_counted() {
    let hook = Hook::new(NO_BAD);
    let server = answered(&hook, &["--metrics", "127.0.0.1:0"]);
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "a", b"x"), b"x").unwrap()["ack"], 1);
    refused(&peer.ask(&put(2, "bad", b"x"), b"x").unwrap(), 2, "unwanted");
    let log = server.log_text();
    let line = log.lines().find(|line| line.contains("tells metrics")).unwrap();
    let text = ask(line.rsplit_once("address=").unwrap().1.trim(), "GET /metrics", "", b"").text();
    for (answer, count) in [("allowed", 1), ("refused", 1), ("none", 0)] {
        let line = format!("hauld_before_put_answers_total{{answer=\"{answer}\"}} {count}\n");
        assert!(text.contains(&line), "{line}: {text}");
    }
}
