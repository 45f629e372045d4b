//! The audit log.

use haul_tests::prelude::*;

/// The lines of a log, each without its time, which was looked at.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let time = line.as_object_mut().unwrap().remove("time").unwrap();
        assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
        line
    };
    text.lines().map(line).collect()
}

fn named(lines: &[Value], event: &str) -> Vec<Value> {
    lines.iter().filter(|line| line["event"] == event).cloned().collect()
}

/// A server with accounts and a log.
fn audited(words: &[&str], users: &[&str]) -> (Accounts, TempDir, PathBuf) {
    let place = TempDir::new().unwrap();
    let path = place.path().join("audit");
    let accounts =
        Accounts::start_with(&[words, &["--audit", path.to_str().unwrap()]].concat(), users);
    (accounts, place, path)
}

const ALL: &str = "alice --root a --rights mirror";

#[test]
fn every_login_change_and_refusal_is_a_line_before_its_answer_comes() {
    for durability in ["none", "group"] {
        let (accounts, _place, path) = audited(&["--durability", durability], &[ALL]);
        let mut peer = accounts.peer("alice");
        let address = peer.stream.local_addr().unwrap().to_string();
        let ask = |peer: &mut Peer, header: &Value, body: &[u8]| {
            let answer = peer.ask(header, body).unwrap();
            assert!(answer["ack"].is_u64() || answer["answer"].is_u64(), "{answer}");
            let lines = lines(&path);
            let last = lines.last().unwrap().clone();
            assert_eq!(last["account"], "alice");
            assert_eq!(last["address"], *address);
            assert_eq!(last["token"], accounts.token("alice")[5..13]);
            last
        };
        assert_eq!(named(&lines(&path), "login").len(), 1);
        let digest = |bytes: &[u8]| blake3::hash(bytes).to_string();
        let last = ask(&mut peer, &put(1, "d/x", b"xyz"), b"xyz");
        assert_eq!((&last["event"], &last["name"]), (&json!("file"), &json!("a/d/x")));
        assert_eq!((&last["size"], &last["digest"]), (&json!(3), &json!(digest(b"xyz"))));
        let link = json!({"cmd": "symlink", "id": 2, "filename": "l", "target": "d/x"});
        let last = ask(&mut peer, &link, b"");
        assert_eq!((&last["event"], &last["target"]), (&json!("symlink"), &json!("d/x")));
        let last = ask(&mut peer, &json!({"cmd": "mkdir", "id": 3, "filename": "new"}), b"");
        assert_eq!((&last["event"], &last["name"]), (&json!("directory"), &json!("a/new")));
        let rename = json!({"cmd": "rename", "id": 4, "filename": "d/x", "to": "y"});
        let last = ask(&mut peer, &rename, b"");
        assert_eq!((&last["event"], &last["to"]), (&json!("rename"), &json!("a/y")));
        let last = ask(&mut peer, &json!({"cmd": "remove", "id": 5, "filename": "y"}), b"");
        assert_eq!((&last["event"], &last["name"]), (&json!("remove"), &json!("a/y")));
        let mut wrong = put(6, "z", b"z");
        wrong["blake3"] = json!(digest(b"other"));
        refused(&peer.ask(&wrong, b"z").unwrap(), 6, "digest_mismatch");
        let told = lines(&path);
        let last = told.last().unwrap();
        assert_eq!((&last["event"], &last["code"]), (&json!("refused"), &json!("digest_mismatch")));
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&accounts.token("alice")[14..]), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }
}

#[test]
fn client_s_files_are_told_whichever_way_they_come() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("audit");
    let server = server_with(&["--audit", path.to_str().unwrap()]);
    let source = place.path().join("s");
    let mut wanted = Vec::new();
    for at in 0..50 {
        let file = source.join(format!("{}/{at}", at % 3));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let bytes = vec![b'x'; at * 1000];
        fs::write(&file, &bytes).unwrap();
        let name = file.strip_prefix(place.path()).unwrap().to_str().unwrap().to_owned();
        wanted.push((name, bytes.len(), blake3::hash(&bytes).to_string()));
    }
    let large = vec![b'y'; 9 << 20];
    fs::write(source.join("large"), &large).unwrap();
    wanted.push((String::from("s/large"), large.len(), blake3::hash(&large).to_string()));
    haul().arg("put").arg(&source).arg(server.address()).assert().success();
    let mut peer = Peer::connect(server.address()).unwrap();
    peer.stream.write_all(&classic("classic", b"old")).unwrap();
    wanted.push((String::from("classic"), 3, blake3::hash(b"old").to_string()));
    drop(peer.end());
    eventually("all are told", || named(&lines(&path), "file").len() == wanted.len());
    let mut told: Vec<_> = named(&lines(&path), "file")
        .iter()
        .map(|line| {
            assert!(line["account"].is_null() && line["token"].is_null(), "{line}");
            let text = |field: &str| line[field].as_str().unwrap().to_owned();
            let size = usize::try_from(line["size"].as_u64().unwrap()).unwrap();
            (text("name"), size, text("digest"))
        })
        .collect();
    told.sort();
    wanted.sort();
    assert_eq!(told, wanted);
}

#[test]
fn classic_file_that_is_refused_at_its_header_is_told() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("audit");
    let server = server_with(&["--audit", path.to_str().unwrap(), "--max-file", "10"]);
    let mut peer = Peer::connect(server.address()).unwrap();
    peer.stream.write_all(&classic("../a", b"old")).unwrap();
    peer.stream.write_all(&classic("large", &[7; 11])).unwrap();
    drop(peer.end());
    eventually("both are told", || named(&lines(&path), "refused").len() == 2);
    let codes: Vec<_> =
        named(&lines(&path), "refused").iter().map(|line| line["code"].clone()).collect();
    assert_eq!(codes, ["bad_name", "too_large"]);
}

#[test]
fn publish_and_rollback_are_told_and_files_of_a_draft_are_marked() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("audit");
    let server = server_with(&["--audit", path.to_str().unwrap()]);
    let source = place.path().join("s");
    fs::create_dir(&source).unwrap();
    for text in ["one", "two"] {
        fs::write(source.join("f"), text).unwrap();
        let target = format!("{}/s", server.address());
        haul().arg("publish").arg(&source).arg(target).assert().success();
    }
    haul()
        .args(["publish", "--rollback"])
        .arg(format!("{}/s", server.address()))
        .assert()
        .success();
    let told = lines(&path);
    for file in named(&told, "file") {
        assert_eq!((&file["name"], &file["in"]), (&json!("s/f"), &json!("draft")));
    }
    assert_eq!(named(&told, "file").len(), 2);
    assert_eq!(named(&told, "publish").len(), 2);
    let back = named(&told, "rollback");
    assert_eq!((back.len(), &back[0]["name"]), (1, &json!("s")));
}

#[test]
fn hangup_opens_the_log_anew_and_the_server_goes_on() {
    let (accounts, place, path) = audited(&["--durability", "none"], &[ALL]);
    let mut peer = accounts.peer("alice");
    let old = place.path().join("audit.1");
    fs::rename(&path, &old).unwrap();
    assert_eq!(peer.ask(&put(1, "x", b"x"), b"x").unwrap()["ack"], 1);
    accounts.server.signal(Signal::HUP).unwrap();
    eventually("there is a new file", || path.exists());
    assert_eq!(peer.ask(&put(2, "y", b"y"), b"y").unwrap()["ack"], 2);
    let file = |path: &Path| named(&lines(path), "file")[0]["name"].clone();
    assert_eq!((file(&old), file(&path)), (json!("a/x"), json!("a/y")));
    assert_eq!(named(&lines(&path), "file").len(), 1);
}

#[test]
fn refused_logins_and_changes_of_the_accounts_are_told() {
    let (accounts, _place, path) = audited(&["--durability", "none"], &[ALL, "bob"]);
    let mut hello = accounts.hello("alice", "c");
    hello["token"] = json!("haul_aaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for _ in 0..30 {
        // The last of them are not answered.
        drop(Peer::connect(accounts.server.address()).unwrap().ask(&hello, b""));
    }
    let count = |lines: &[Value]| {
        let untold = named(lines, "not_told");
        assert!(untold.iter().all(|line| line["kind"] == "login_refused"));
        let untold: u64 = untold.iter().map(|line| line["count"].as_u64().unwrap()).sum();
        named(lines, "login_refused").len() as u64 + untold
    };
    eventually("all are counted", || count(&lines(&path)) == 30);
    let refused = named(&lines(&path), "login_refused");
    assert!(refused.len() < 30);
    assert_eq!((&refused[0]["token"], &refused[0]["account"]), (&json!("aaaaaaaa"), &Value::Null));
    let users = accounts.users().replace("[user.bob", "[user.carol").replace("mirror", "reader");
    let users = users.replace("rights = [\"put\", ", "rights = [");
    accounts.set_users(&users);
    let told = || named(&lines(&path), "account");
    eventually("changes are told", || told().len() >= 3);
    let changes: Vec<_> =
        told().iter().map(|line| format!("{} {}", line["account"], line["change"])).collect();
    for change in ["\"alice\" \"changed\"", "\"bob\" \"went\"", "\"carol\" \"came\""] {
        assert!(changes.iter().any(|told| told == change), "{changes:?}");
    }
}

/// Over loopback the first `hello` of a run brings no token: haul waits until the server asks for one.
#[test]
fn hello_without_a_token_is_no_refused_login() {
    let (accounts, place, path) = audited(&["--durability", "none"], &[ALL]);
    fs::write(place.path().join("f"), "x").unwrap();
    let mut put = haul();
    let put = put.env("HAUL_TOKEN", accounts.token("alice")).arg("put").arg(place.path().join("f"));
    put.arg(accounts.server.address()).assert().success();
    let mut hello = accounts.hello("alice", "c");
    hello.as_object_mut().unwrap().remove("token");
    let ask = |hello: &Value| Peer::connect(accounts.server.address()).unwrap().ask(hello, b"");
    for _ in 0..20 {
        assert_eq!(ask(&hello).unwrap()["code"], "unauthorized");
    }
    let told = lines(&path);
    assert!(!named(&told, "login").is_empty(), "{told:?}");
    assert_eq!(named(&told, "login_refused"), Vec::<Value>::new());
    // Nor are they among the ten failures in a minute that are answered.
    hello["token"] = json!("haul_aaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for number in 1..=10 {
        assert_eq!(ask(&hello).unwrap()["message"], "no account has this token");
        eventually("it is told", || named(&lines(&path), "login_refused").len() == number);
    }
    assert!(ask(&hello).is_err());
}

/// Trap of P13: a name with control characters moves no cursor of whoever reads the log.
#[test]
fn log_has_no_control_characters_of_names() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("audit");
    let server = server_with(&["--audit", path.to_str().unwrap()]);
    let name = "a\u{1b}[31m\u{7f}\u{202e}\n\"\\b";
    assert_eq!(server.peer().ask(&put(1, name, b"x"), b"x").unwrap()["ack"], 1);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'));
    assert_eq!(named(&lines(&path), "file")[0]["name"], name);
}

/// Every file that was acknowledged before the server was killed has its line.
#[test]
fn killed_server_has_told_all_that_it_has_acknowledged() {
    let (mut accounts, _place, path) = audited(&["--durability", "group"], &[ALL]);
    let mut peer = accounts.peer("alice");
    let mut bytes = Vec::new();
    for id in 1..=2000 {
        bytes.extend(frame(&put(id, &format!("{}/{id}", id % 7), b"x"), b"x"));
    }
    let mut writer = peer.stream.try_clone().unwrap();
    let sender = thread::spawn(move || drop(writer.write_all(&bytes)));
    let first = peer.receive().unwrap().0;
    accounts.server.signal(Signal::KILL).unwrap();
    let mut acknowledged = first["ack"].as_u64().unwrap();
    while let Ok((answer, _)) = peer.receive() {
        acknowledged = answer["ack"].as_u64().unwrap();
    }
    sender.join().unwrap();
    accounts.server.wait().unwrap();
    let told = named(&lines(&path), "file").len() as u64;
    assert!(told >= acknowledged, "{told} of {acknowledged}");
}

#[test]
fn log_below_the_root_is_refused() {
    let place = TempDir::new().unwrap();
    let mut command = hauld_command();
    command.current_dir(place.path());
    command.args(["--listen", "127.0.0.1:0", "--root", "r", "--audit", "r/audit"]);
    fs::create_dir(place.path().join("r")).unwrap();
    let output = output_of(&mut command);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("below the root"), "{said}");
}

/// `before` in the first lines of all runs.
fn starts(path: &Path) -> Vec<String> {
    let starts = named(&lines(path), "start");
    starts.iter().map(|line| line["before"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn run_that_was_cut_short_is_told_by_the_next_one() {
    let (mut accounts, place, path) = audited(&["--durability", "none"], &[ALL]);
    let mut peer = accounts.peer("alice");
    assert_eq!(peer.ask(&put(1, "x", b"x"), b"x").unwrap()["ack"], 1);
    accounts.server.signal(Signal::TERM).unwrap();
    assert!(accounts.server.wait().unwrap().success());
    assert_eq!(lines(&path).last().unwrap()["event"], "stop");
    let mut server = server_with(&["--audit", path.to_str().unwrap()]);
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
    let server = server_with(&["--audit", path.to_str().unwrap()]);
    assert_eq!(starts(&path), ["none", "stopped", "unknown"]);
    // The same after the file has another name.
    fs::rename(&path, place.path().join("audit.1")).unwrap();
    server.signal(Signal::HUP).unwrap();
    eventually("there is a new file", || !lines(&path).is_empty());
    assert_eq!(lines(&path)[0]["event"], "reopen");
    drop(server);
    let _server = server_with(&["--audit", path.to_str().unwrap()]);
    assert_eq!(starts(&path), ["unknown"]);
}

/// Lines that could not be written are told by the server, or by the next one: here a limit of the size of files takes the
/// place of a full disk. The limit holds for the server's own log as well, whose errors must not end the server.
#[test]
fn server_that_ends_while_its_log_can_not_be_written_is_told_by_the_next_one() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("audit");
    fs::write(&path, "").unwrap();
    let mut server = server_with(&["--audit", path.to_str().unwrap(), "--durability", "none"]);
    let pid = rustix::process::Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let limit = |bytes: Option<u64>| {
        let limit = rustix::process::Rlimit { current: bytes, maximum: None };
        rustix::process::prlimit(pid, rustix::process::Resource::Fsize, limit).unwrap();
    };
    let mut peer = server.peer();
    let len = fs::metadata(&path).unwrap().len();
    limit(Some(len + 10));
    assert_eq!(
        peer.ask(&json!({"cmd": "mkdir", "id": 1, "filename": "d"}), b"").unwrap()["ack"],
        1
    );
    limit(None);
    eventually("lines are written again", || {
        fs::read_to_string(&path).unwrap().contains("\"event\":\"lost\",\"lines\":1")
    });
    let len = fs::metadata(&path).unwrap().len();
    limit(Some(len));
    assert_eq!(
        peer.ask(&json!({"cmd": "mkdir", "id": 2, "filename": "e"}), b"").unwrap()["ack"],
        2
    );
    server.signal(Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    assert_eq!(fs::metadata(&path).unwrap().len(), len);
    let _server = server_with(&["--audit", path.to_str().unwrap()]);
    let text = fs::read_to_string(&path).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["before"]), (&json!("start"), &json!("unknown")));
}
