//! The hook `on-commit`: who is told of which changes, and a program that does not do what it should.

use haul_tests::hook::Hook;
use haul_tests::http::ask;
use haul_tests::prelude::*;

const DURABILITIES: [&str; 2] = ["none", "group"];

/// A server with this hook.
fn hooked(hook: &Hook, words: &[&str]) -> Hauld {
    let own = hook.words("--on-commit");
    server_with(&[&[own[0].as_str(), &own[1]], words].concat())
}

/// Puts a file; the answer.
fn putting(peer: &mut Peer, id: u64, name: &str, bytes: &[u8]) -> Value {
    peer.ask(&put(id, name, bytes), bytes).unwrap()
}

#[track_caller]
fn tells(hook: &Hook, count: usize) -> Vec<Value> {
    eventually("all changes are told", || hook.told().len() >= count);
    let told = hook.told();
    assert_eq!(told.len(), count, "{told:?}");
    told
}

#[test]
fn every_change_is_told_with_its_client_and_in_order() {
    for durability in DURABILITIES {
        let hook = Hook::taking();
        let own = hook.words("--on-commit");
        let words = [&own[0], &own[1], "--durability", durability];
        let accounts = Accounts::start_with(&words, &["alice --root a --rights mirror"]);
        let mut peer = accounts.peer("alice");
        let address = peer.stream.local_addr().unwrap().to_string();
        assert_eq!(putting(&mut peer, 1, "d/x", b"xyz")["ack"], 1);
        for request in [
            json!({"cmd": "symlink", "id": 2, "filename": "l", "target": "d/x"}),
            json!({"cmd": "mkdir", "id": 3, "filename": "new"}),
            json!({"cmd": "rename", "id": 4, "filename": "d/x", "to": "y"}),
            json!({"cmd": "remove", "id": 5, "filename": "y"}),
        ] {
            let answer = peer.ask(&request, b"").unwrap();
            assert!(answer["ack"].is_u64(), "{answer}");
        }
        let mut wrong = put(6, "z", b"z");
        wrong["blake3"] = json!(blake3::hash(b"other").to_string());
        refused(&peer.ask(&wrong, b"z").unwrap(), 6, "digest_mismatch");
        refused(&peer.ask(&put(7, "new", b"z"), b"z").unwrap(), 7, "conflict");
        assert_eq!(putting(&mut peer, 8, "last", b"")["ack"], 8);
        let told = tells(&hook, 6);
        let kinds: Vec<_> = told.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["file", "symlink", "directory", "rename", "remove", "file"]);
        let first = &told[0];
        assert_eq!((&first["name"], &first["size"]), (&json!("a/d/x"), &json!(3)));
        assert_eq!(first["digest"], blake3::hash(b"xyz").to_string());
        assert_eq!((&told[1]["target"], &told[3]["to"]), (&json!("d/x"), &json!("a/y")));
        for event in &told {
            assert_eq!((&event["account"], &event["dialect"]), (&json!("alice"), &json!("haul")));
            assert_eq!(event["address"], *address);
            assert!(event["time"].as_str().unwrap().ends_with('Z'), "{event}");
            assert!(event.get("uncertain").is_none(), "{event}");
        }
        let ids: std::collections::BTreeSet<_> =
            told.iter().map(|event| event["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), told.len());
    }
}

#[test]
fn file_is_told_whichever_way_it_comes() {
    for durability in DURABILITIES {
        let hook = Hook::taking();
        let server = hooked(&hook, &["--durability", durability]);
        let source = TempDir::new().unwrap();
        let mut wanted = Vec::new();
        for at in 0..50 {
            let file = source.path().join(format!("s/{}/{at}", at % 3));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, vec![b'x'; at * 1000]).unwrap();
            let digest = blake3::hash(&vec![b'x'; at * 1000]).to_string();
            wanted.push((format!("s/{}/{at}", at % 3), digest, "haul"));
        }
        let large = vec![b'y'; 9 << 20];
        fs::write(source.path().join("s/large"), &large).unwrap();
        wanted.push((String::from("s/large"), blake3::hash(&large).to_string(), "haul"));
        haul().arg("put").arg(source.path().join("s")).arg(server.address()).assert().success();
        let digest = blake3::hash(b"old").to_string();
        let mut peer = Peer::connect(server.address()).unwrap();
        peer.stream.write_all(&classic("classic", b"old")).unwrap();
        drop(peer.end());
        wanted.push((String::from("classic"), digest.clone(), "classic"));
        let reply = ask(server.address(), "PUT /http", "Content-Length: 3\r\n", b"old");
        assert_eq!(reply.status, 201, "{}", reply.text());
        wanted.push((String::from("http"), digest.clone(), "http"));
        // "tus" in base64.
        let fields = "Tus-Resumable: 1.0.0\r\nUpload-Length: 3\r\nUpload-Metadata: filename dHVz\r\n\
                      Content-Type: application/offset+octet-stream\r\nContent-Length: 3\r\n";
        let reply = ask(server.address(), "POST /.haul/tus/", fields, b"old");
        assert_eq!(reply.status, 201, "{}", reply.text());
        wanted.push((String::from("tus"), digest, "tus"));
        let files = || {
            let told = hook.told();
            let files = told.iter().filter(|event| event["event"] == "file");
            let mut files: Vec<_> = files
                .map(|event| {
                    let text = |field: &str| event[field].as_str().unwrap().to_owned();
                    (text("name"), text("digest"), text("dialect"))
                })
                .collect();
            files.sort();
            files
        };
        eventually("all files are told", || files().len() >= wanted.len());
        wanted.sort();
        let wanted: Vec<_> =
            wanted.into_iter().map(|(name, digest, by)| (name, digest, by.to_owned())).collect();
        assert_eq!(files(), wanted);
    }
}

#[test]
fn draft_is_told_when_it_is_published() {
    let hook = Hook::taking();
    let server = hooked(&hook, &[]);
    let source = TempDir::new().unwrap();
    let target = format!("{}/s", server.address());
    fs::write(source.path().join("f"), "one").unwrap();
    haul().arg("publish").arg(source.path()).arg(&target).assert().success();
    fs::write(source.path().join("f"), "two").unwrap();
    haul().arg("publish").arg(source.path()).arg(&target).assert().success();
    haul().args(["publish", "--rollback"]).arg(&target).assert().success();
    let told = tells(&hook, 3);
    let told: Vec<_> = told.iter().map(|event| [&event["event"], &event["name"]]).collect();
    assert_eq!(told, [["publish", "s"], ["publish", "s"], ["rollback", "s"]]);
}

#[test]
fn name_that_is_no_text_comes_in_base64_and_no_control_character_comes_raw() {
    use std::os::unix::ffi::OsStrExt;

    let hook = Hook::taking();
    let server = hooked(&hook, &[]);
    let place = TempDir::new().unwrap();
    let source = place.path().join("s");
    fs::create_dir(&source).unwrap();
    for name in [&b"a\xff"[..], b"b\n\x1b[2J"] {
        fs::write(source.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    haul().arg("put").arg(source).arg(server.address()).assert().success();
    let files = || {
        let told = hook.told();
        told.into_iter().filter(|event| event["event"] == "file").collect::<Vec<_>>()
    };
    eventually("both are told", || files().len() == 2);
    assert!(!hook.text("told").contains('\u{1b}'));
    let names: Vec<_> = files().iter().map(|event| event["name"].clone()).collect();
    assert!(names.contains(&json!("s/b\n\u{1b}[2J")), "{names:?}");
    assert!(files().iter().any(|event| event["name_b64"] == "cy9h/w=="), "{:?}", files());
}

#[test]
fn program_has_a_clean_environment_and_is_not_in_the_sandbox() {
    let hook = Hook::new("env > env; umask > umask; pwd > pwd; cat >> told");
    let own = hook.words("--on-commit");
    let place = TempDir::new().unwrap();
    let mut hauld = hauld_command();
    hauld.env("SECRET", "word").env("HAULD_KEEP_FREE", "1MiB").env("HOME", "/nowhere");
    let server = Hauld::start_in(place, hauld, &[&own[0], &own[1]]).unwrap();
    assert!(server.log_text().contains("confined to the root"), "{}", server.log_text());
    let mut peer = server.peer();
    assert_eq!(putting(&mut peer, 1, "x", b"x")["ack"], 1);
    tells(&hook, 1);
    let env = hook.text("env");
    let root = format!("HAULD_ROOT={}", server.root().display());
    for line in ["HAULD_HOOK=on-commit", &root, "HOME=/nowhere"] {
        assert!(env.lines().any(|found| found == line), "{line}: {env}");
    }
    for name in ["SECRET", "HAULD_KEEP_FREE", "HAULD_CONFIG_DIR"] {
        assert!(!env.contains(name), "{name}: {env}");
    }
    assert_eq!(hook.text("umask").trim(), "0022");
}

/// The program fails first, and writes without end what no terminal should see.
#[test]
fn program_that_fails_and_floods_the_log_is_run_again_and_loses_nothing() {
    let noise =
        "i=0; while [ $i -lt 3000 ]; do printf 'noise \\033[2J %s\\n' $i >&2; i=$((i+1)); done";
    let hook = Hook::new(&format!("{noise}\ncat > /dev/null; exit 3"));
    let server = hooked(&hook, &[]);
    let mut peer = server.peer();
    for id in 1..=20 {
        let text = id.to_string();
        assert_eq!(putting(&mut peer, id, "same", text.as_bytes())["ack"], id);
    }
    eventually("the failure is told", || server.log_text().contains("ended with exit code 3"));
    let status = || {
        let mut hauld = hauld_command();
        let output = output_of(hauld.arg("status").arg("--json").arg("--root").arg(server.root()));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["on_commit"].clone()
    };
    let told = status();
    assert_eq!(
        (&told["waiting"], &told["failure"]["error"]),
        (&json!(20), &json!("ended with exit code 3"))
    );
    hook.becomes("cat >> told");
    let told = tells(&hook, 20);
    let digests: Vec<_> = told.iter().map(|event| event["digest"].clone()).collect();
    let wanted = (1..=20).map(|id: u64| blake3::hash(id.to_string().as_bytes()).to_string());
    assert_eq!(digests, wanted.map(Value::from).collect::<Vec<_>>());
    eventually("it works again", || server.log_text().contains("works again"));
    assert_eq!((&status()["waiting"], &status()["failure"]), (&json!(0), &json!(null)));
    let log = server.log_text();
    assert!(!log.contains('\u{1b}') && log.contains("noise \\u{1b}[2J 0"), "{log}");
    assert!(log.lines().filter(|line| line.contains("noise")).count() <= 200, "{log}");
}

#[test]
fn program_that_hangs_is_killed_with_all_that_it_has_started_and_run_again() {
    let hook = Hook::new("sleep 1000 & echo $! >> children; wait");
    let server = hooked(&hook, &["--hook-timeout", "1s"]);
    let mut peer = server.peer();
    assert_eq!(putting(&mut peer, 1, "x", b"x")["ack"], 1);
    eventually("it is killed", || {
        server.log_text().contains("was killed after") && !hook.text("children").is_empty()
    });
    hook.becomes("cat >> told");
    // On a busy machine this program may be killed as well before it ends, and the change be told twice.
    eventually("the change is told", || !hook.told().is_empty());
    assert_eq!(hook.told()[0]["name"], "x");
    eventually("it works again", || server.log_text().contains("works again"));
    hook.text("children").lines().for_each(is_gone);
}

/// The program hangs if it gets more than four changes at once.
#[test]
fn program_that_is_too_slow_for_many_changes_gets_fewer_at_once() {
    let hook = Hook::new("exit 1");
    let server = hooked(&hook, &["--hook-timeout", "1s"]);
    let mut peer = server.peer();
    for id in 1..=12 {
        assert_eq!(putting(&mut peer, id, &format!("f{id}"), b"x")["ack"], id);
    }
    hook.becomes("cat > run; [ $(wc -l < run) -gt 4 ] && sleep 1000\ncat run >> told");
    eventually("all changes are told", || hook.names().contains(&String::from("f12")));
    // On a busy machine a run may be killed once it has taken its changes, and these are told twice.
    let mut once = Vec::new();
    for name in hook.names() {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    assert_eq!(once, (1..=12).map(|id| format!("f{id}")).collect::<Vec<_>>());
    eventually("it works again", || server.log_text().contains("works again"));
}

#[test]
fn last_words_of_a_program_that_is_killed_are_told_and_are_no_part_of_the_next_ones() {
    let hook = Hook::new("printf half; sleep 1000");
    let server = hooked(&hook, &["--hook-timeout", "1s"]);
    let mut peer = server.peer();
    assert_eq!(putting(&mut peer, 1, "x", b"x")["ack"], 1);
    eventually("it is killed", || server.log_text().contains("was killed after"));
    hook.becomes("echo whole; cat >> told");
    eventually("the change is told", || !hook.told().is_empty());
    let says = |word: &str| {
        let log = server.log_text();
        log.lines().any(|line| line.split_whitespace().any(|found| found == word))
    };
    eventually("all is in the log", || says("half") && says("whole"));
}

/// Waits until a process is gone, or only its parent has not looked yet.
#[track_caller]
fn is_gone(pid: &str) {
    let status = format!("/proc/{}/stat", pid.trim());
    eventually("the process is gone", || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        text.is_empty() || text.contains(") Z ")
    });
}

#[test]
fn program_ends_with_a_server_that_is_killed() {
    let hook = Hook::new("sleep 1000 & echo $! > next; mv next child; wait");
    let mut server = hooked(&hook, &[]);
    let mut peer = server.peer();
    assert_eq!(putting(&mut peer, 1, "x", b"x")["ack"], 1);
    eventually("the program runs", || !hook.text("child").is_empty());
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
    is_gone(&hook.text("child"));
}

#[test]
fn server_stops_though_its_hook_hangs_and_tells_the_next_one_what_is_left() {
    let hook = Hook::new("sleep 1000");
    let own = hook.words("--on-commit");
    let words = [own[0].as_str(), &own[1], "--grace", "300ms"];
    let mut server = server_with(&words);
    let mut peer = server.peer();
    assert_eq!(putting(&mut peer, 1, "x", b"x")["ack"], 1);
    drop(peer);
    server.signal(Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    let log = server.log_text();
    assert!(log.contains("are told when hauld is started again"), "{log}");
    hook.becomes("cat >> told");
    let root = server.root().to_owned();
    let next = Hauld::start_at(&root, &server.log, hauld_command(), &words).unwrap();
    server.becomes(next);
    assert_eq!(tells(&hook, 1)[0]["name"], "x");
}

#[test]
fn full_spool_refuses_changes_until_the_hook_takes_what_waits() {
    for durability in DURABILITIES {
        let hook = Hook::new("exit 1");
        let words =
            ["--hook-spool", "64KiB", "--durability", durability, "--metrics", "127.0.0.1:0"];
        let server = hooked(&hook, &words);
        let mut peer = server.peer();
        let mut id = 0;
        let mut next = |peer: &mut Peer| {
            id += 1;
            (id, putting(peer, id, &format!("f{id}"), b"x"))
        };
        let (last, answer) = loop {
            let (id, answer) = next(&mut peer);
            assert!(id < 2000, "the spool is never full");
            if answer["ack"].is_null() {
                break (id, answer);
            }
        };
        refused(&answer, last, "busy");
        assert_eq!(answer["retry"], true);
        assert!(!server.root().join(format!("f{last}")).exists());
        let log = server.log_text();
        let line = log.lines().find(|line| line.contains("tells metrics")).unwrap();
        let metrics = line.rsplit_once("address=").unwrap().1.trim();
        let text = ask(metrics, "GET /metrics", "", b"").text();
        assert!(text.contains("hauld_on_commit_refused_total 1\n"), "{text}");
        assert_eq!(ask(metrics, "GET /ready", "", b"").status, 503);
        hook.becomes("cat >> told");
        let taken = usize::try_from(last - 1).unwrap();
        eventually("what waits is told", || hook.told().len() == taken);
        eventually("there is room", || !next(&mut peer).1["ack"].is_null());
        assert!(!hook.names().contains(&format!("f{last}")));
    }
}

#[test]
fn change_is_refused_and_counted_if_its_record_can_not_be_written() {
    for durability in DURABILITIES {
        let hook = Hook::taking();
        let server = hooked(&hook, &["--durability", durability, "--metrics", "127.0.0.1:0"]);
        // A file of the spool is made here when the first record comes.
        fs::remove_dir_all(server.root().join(".haul/hooks")).unwrap();
        let mut peer = server.peer();
        refused(&putting(&mut peer, 1, "x", b"x"), 1, "no_space");
        assert!(!server.root().join("x").exists());
        let log = server.log_text();
        let line = log.lines().find(|line| line.contains("tells metrics")).unwrap();
        let metrics = line.rsplit_once("address=").unwrap().1.trim();
        let text = ask(metrics, "GET /metrics", "", b"").text();
        for line in [
            "hauld_on_commit_refused_total 1",
            "hauld_changes_total{kind=\"file\",result=\"failed\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{durability}, {line}: {text}");
        }
    }
}

#[test]
fn program_that_can_not_be_one_is_told_at_the_start() {
    let place = TempDir::new().unwrap();
    let root = place.path().join("root");
    fs::create_dir(&root).unwrap();
    for path in ["root/hook", "text"] {
        fs::write(place.path().join(path), "#!/bin/sh\n").unwrap();
    }
    set_mode(root.join("hook"), 0o755);
    let cases = [
        ("root/hook", "is below the root, where clients could replace it"),
        ("text", "is no program: not a file that may be run"),
        ("none", "No such file or directory"),
        ("root", "is no program"),
    ];
    for (path, said) in cases {
        let mut hauld = hauld_command();
        hauld.arg("--listen").arg("127.0.0.1:0").arg("--root").arg(&root);
        let output = output_of(hauld.arg("--on-commit").arg(place.path().join(path)));
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(said) && text.contains("--on-commit"), "{path}: {text}");
    }
}
