//! `haul publish` that is interrupted, killed, refused, or done twice at once.

use haul_tests::prelude::*;

#[test]
fn nothing_shows_before_all_is_there_and_the_next_run_goes_on() {
    let setting = Setting::start();
    setting.version(1);
    setting.published(&[]);
    let copy = setting.place.path().join("copy");
    tree::copy(&setting.source(), &copy);
    setting.version(2);
    for index in 0..2000 {
        setting.write(&format!("many/{index}"), &"version 2".repeat(1000));
    }
    let next = || setting.versions().into_iter().find(|name| name.starts_with("next-"));
    let held = setting.hold_publish(|| {
        let trees = setting.server.root().join(".haul/trees");
        next().is_some_and(|next| {
            let home = fs::read_dir(&trees).unwrap().next().unwrap().unwrap().path();
            fs::read_dir(home.join(next).join("many")).is_ok_and(|many| many.count() > 100)
        })
    });
    tree::compare(&copy, &setting.site()).unwrap();
    held.kill();
    // The server need not have noticed yet: the next run asks until it has.
    tree::compare(&copy, &setting.site()).unwrap();
    // What was in the half version and is not wanted any more does not come along.
    for index in 0..10 {
        fs::remove_file(setting.source().join(format!("many/{index}"))).unwrap();
    }
    let summary = setting.published(&[]);
    let files = summary["files"].as_u64().unwrap();
    assert!(files < 1950, "all was sent again: {summary}");
    tree::compare(&setting.source(), &setting.site()).unwrap();
}

#[test]
fn server_that_is_killed_has_one_version_whole() {
    // Only a power cut needs a disk: what a process has written outlives it.
    let place = place::in_memory().unwrap();
    let (root, log) = (place.path().join("root"), place.path().join("log"));
    let versions: Vec<PathBuf> = (0..2)
        .map(|number| {
            let source = place.path().join(format!("v{number}"));
            for index in 0..300 {
                let path = source.join(format!("d{}/f{index}", index % 9));
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                // Half of them are the same in both.
                let text = if index % 2 == 0 { String::from("same") } else { format!("{number}") };
                fs::write(&path, text).unwrap();
                let time = SystemTime::UNIX_EPOCH + Duration::from_secs(index);
                let time = if index % 2 == 0 { time } else { time + Duration::from_secs(number) };
                File::open(&path).unwrap().set_modified(time).unwrap();
            }
            source
        })
        .collect();
    let serve = || {
        let command = hauld_command();
        Hauld::start_at(&root, &log, command, &[]).unwrap()
    };
    let mut server = serve();
    let publish = |server: &Hauld, number: usize| {
        let mut command = haul_command();
        command.args(["publish", "--quiet", "--retries", "0"]).arg(&versions[number]);
        command.arg(format!("{}/site", server.address()));
        command.stderr(Stdio::null());
        command
    };
    let begun = Instant::now();
    assert!(publish(&server, 0).status().unwrap().success());
    // A busy machine takes longer.
    let longest = begun.elapsed();
    let (mut random, mut swapped, mut round) = (7_u64, 0, 0);
    while round < 40 || swapped == 0 {
        round += 1;
        assert!(round < 1000, "no swap was ever reached");
        let number = round % 2;
        let mut client = publish(&server, number).spawn().unwrap();
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // At any moment of the run; when is not waited for, but chosen.
        std::thread::park_timeout(longest.mul_f64((random >> 33) as f64 / f64::from(1 << 30)));
        server.signal(Signal::KILL).unwrap();
        server.wait().unwrap();
        client.wait().unwrap();
        let site = root.join("site");
        let is = |number: usize| tree::compare(&versions[number], &site).is_ok();
        assert!(is(0) || is(1), "round {round}: {:?}", tree::compare(&versions[number], &site));
        swapped += usize::from(is(number));
        server = serve();
        assert!(is(0) || is(1), "round {round}, after the start");
    }
    assert!(publish(&server, 1).status().unwrap().success());
    tree::compare(&versions[1], &root.join("site")).unwrap();
}

#[test]
fn second_one_at_once_is_refused_by_name_and_takes_over_what_is_left() {
    let setting = Setting::start();
    setting.write("large", &"0123456789abcdef".repeat(150_000));
    let held = setting.hold_publish(|| !setting.versions().is_empty());
    setting.publish(&[]).assert().code(1).stderr(contains("`www/site` is being published"));
    let refused = setting.publish(&["--json"]).assert().code(1).get_output().stdout.clone();
    assert_eq!(last(&refused)["reason"], "failed");
    for other in ["www", "www/site/below"] {
        let mut command = haul();
        command.arg("publish").arg(setting.source()).arg(setting.at(other));
        command.assert().code(1).stderr(contains("is being published"));
    }
    held.kill();
    eventually("the server has noticed", || {
        setting.publish(&["--quiet"]).output().status.success()
    });
    tree::compare(&setting.source(), &setting.site()).unwrap();
}

#[test]
fn what_others_put_there_meanwhile_is_refused_and_comes_later() {
    for durability in ["none", "group"] {
        let setting = Setting::start_with(&["--durability", durability]);
        setting.write("file", "1");
        setting.published(&[]);
        setting.write("large", &"0123456789abcdef".repeat(150_000));
        let held = setting
            .hold_publish(|| setting.versions().iter().any(|name| name.starts_with("next-")));
        let mut peer = setting.server.peer();
        let requests = [
            put(1, "www/site/put", b"x"),
            json!({"cmd": "mkdir", "id": 2, "filename": "www/site/made"}),
            json!({"cmd": "remove", "id": 3, "filename": "www/site/file"}),
            json!({"cmd": "setattr", "id": 4, "filename": "www/site", "mode": 0}),
            json!({"cmd": "symlink", "id": 5, "filename": "www/site/link", "target": "x"}),
            json!({"cmd": "open", "id": 6, "filename": "www/site/open", "filesize": 5_000_000,
                   "fingerprint": "x"}),
            json!({"cmd": "rollback", "id": 7, "filename": "www/site"}),
        ];
        for (id, request) in (1..).zip(&requests) {
            let body: &[u8] = if id == 1 { b"x" } else { b"" };
            let answer = peer.ask(request, body).unwrap();
            assert_eq!(
                (&answer["refused"], &answer["code"], &answer["retry"]),
                (&json!(id), &json!("busy"), &json!(true)),
                "{answer}"
            );
        }
        // Beside it everything goes on; and a client that is told so comes again.
        assert_eq!(peer.ask(&put(8, "www/beside", b"x"), b"x").unwrap()["ack"], 8);
        let other = setting.place.path().join("other");
        fs::write(&other, "other").unwrap();
        let mut waiting = haul_command()
            .arg("put")
            .arg(&other)
            .arg(setting.at("www/site"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        held.kill();
        assert!(waiting.wait().unwrap().success());
        assert_eq!(fs::read(setting.site().join("other")).unwrap(), b"other");
    }
}

#[test]
fn nothing_is_published_if_anything_could_not_be_read() {
    let (user, setting) = (User::new().unwrap(), Setting::start());
    setting.version(1);
    setting.published(&[]);
    let source = user.path().join("s");
    tree::copy(&setting.source(), &source);
    fs::write(source.join("more"), "x").unwrap();
    let source = user.own_all(source).unwrap();
    set_mode(source.join("more"), 0o0);
    let mut command = user.command("haul");
    command.arg("publish").arg(&source).arg(setting.at("www/site"));
    Client::from_std(command)
        .assert()
        .code(1)
        .stderr(contains("nothing is published").and(contains("more")));
    tree::compare(&setting.source(), &setting.site()).unwrap();
}

/// What an interrupted run has left in the tree, under other rules, is in no version.
#[test]
fn leftovers_of_an_interrupted_run_are_not_published() {
    let setting = Setting::start();
    setting.write("kept", "x");
    for index in 0..500 {
        setting.write(&format!("d/{index}.out"), &"not to be seen".repeat(2000));
    }
    symlink("kept", setting.source().join("a link")).unwrap();
    setting.write("large", &"0123456789abcdef".repeat(150_000));
    let trees = setting.server.root().join(".haul/trees");
    let held = setting.hold_publish(|| {
        walkdir::WalkDir::new(&trees)
            .into_iter()
            .filter_map(Result::ok)
            .any(|entry| entry.path().extension().is_some_and(|extension| extension == "out"))
    });
    held.kill();
    let mut summary = Value::Null;
    eventually("the server has noticed", || {
        let words = ["--json", "--exclude", "*.out", "--exclude", "/large", "--links", "skip"];
        let output = setting.publish(&words).output();
        summary = last(&output.stdout);
        output.status.success()
    });
    let mut names: Vec<_> = walkdir::WalkDir::new(setting.site())
        .min_depth(1)
        .into_iter()
        .map(|entry| entry.unwrap().file_name().to_owned())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["d", "kept"], "{summary}");
}

/// Not as root, whom no mode stops.
#[test]
fn read_only_directories_are_no_obstacle() {
    let user = User::new().unwrap();
    let (root, log) = (user.path().join("root"), user.path().join("log"));
    File::create(&log).unwrap();
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    let source = user.path().join("s");
    fs::create_dir_all(source.join("d/e")).unwrap();
    fs::write(source.join("d/e/file"), "1").unwrap();
    let source = user.own_all(source).unwrap();
    let mode = |path: &Path, mode: u32| {
        set_mode(path, mode);
    };
    for round in 0..4 {
        for directory in ["", "d", "d/e"] {
            mode(&source.join(directory), 0o755);
        }
        fs::write(source.join("d/e/file"), format!("round {round}")).unwrap();
        for directory in ["d/e", "d", ""] {
            mode(&source.join(directory), 0o555);
        }
        let mut command = user.command("haul");
        command.arg("publish").arg(&source).arg(format!("{}/site", server.address()));
        Client::from_std(command).assert().success();
        tree::compare(&source, &root.join("site")).unwrap();
    }
    eventually("old versions are removed", || {
        fs::read_dir(root.join(".haul/trash")).unwrap().count() == 0
    });
    let mut command = user.command("haul");
    command.args(["publish", "--rollback"]).arg(format!("{}/site", server.address()));
    Client::from_std(command).assert().success();
    assert_eq!(fs::read(root.join("site/d/e/file")).unwrap(), b"round 2");
    assert_eq!(fs::metadata(root.join("site")).unwrap().mode() & 0o777, 0o555);
}

#[test]
fn answer_that_was_lost_is_given_again() {
    let setting = Setting::start();
    let mut first = Peer::connect(setting.server.address()).unwrap();
    let hello = |tree: Option<&Value>| {
        let mut hello = json!({
            "cmd": "hello", "version": 1, "agent": "test/1", "client": "me", "slot": 0,
            "filename": "site", "must": ["publish"],
        });
        if let Some(tree) = tree {
            hello["upload"] = tree.clone();
        }
        hello
    };
    let answer = first.ask(&hello(None), b"").unwrap();
    assert_eq!(
        (&answer["resumed"], &answer["features"]),
        (&json!(false), &json!(["publish", "bundle", "rename", "repeated", "accounts", "get"]))
    );
    let token = answer["upload"].clone();
    assert_eq!(first.ask(&put(1, "file", b"x"), b"x").unwrap()["ack"], 1);
    assert!(!setting.server.root().join("site").exists());
    // Names are below the tree, and lead nowhere else.
    assert_eq!(first.ask(&put(2, "../x", b"x"), b"x").unwrap()["code"], "bad_name");
    let done = first.ask(&json!({"cmd": "publish", "id": 3, "mode": 0o755}), b"").unwrap();
    assert_eq!(done, json!({"answer": 3}));
    assert_eq!(fs::read(setting.server.root().join("site/file")).unwrap(), b"x");
    // As if the answer had not come: the same client connects again, and asks again.
    drop(first);
    let mut second = Peer::connect(setting.server.address()).unwrap();
    let mut answer = second.ask(&hello(Some(&token)), b"").unwrap();
    eventually("the first one is gone", || {
        if answer["refused"] == 0 {
            second = Peer::connect(setting.server.address()).unwrap();
            answer = second.ask(&hello(Some(&token)), b"").unwrap();
        }
        answer["upload"] == token
    });
    let again = second.ask(&json!({"cmd": "publish", "id": 1}), b"").unwrap();
    assert_eq!(again, json!({"answer": 1}));
    // And nothing else can be done to what everybody sees.
    assert_eq!(second.ask(&put(2, "file", b"y"), b"y").unwrap()["code"], "bad_request");
    // A tree that nobody knows is not begun in silence.
    let mut other = Peer::connect(setting.server.address()).unwrap();
    let mut unknown = hello(Some(&json!("00000000000000000000000000000000")));
    (unknown["client"], unknown["filename"]) = (json!("other"), json!("else"));
    assert_eq!(other.ask(&unknown, b"").unwrap()["code"], "taken_over");
}

#[test]
fn client_that_is_interrupted_says_so_and_leaves_nothing_to_see() {
    let setting = Setting::start();
    setting.write("large", &"0123456789abcdef".repeat(150_000));
    let mut held = setting.hold_publish(|| !setting.versions().is_empty());
    signal(held.client(), Signal::INT);
    assert_eq!(held.client().wait().unwrap().code(), Some(130));
    assert!(!setting.server.root().join("www").exists());
}

/// Begins a version of `www/site` as a raw client.
pub(crate) fn begin(setting: &Setting, client: &str, slot: u64) -> Peer {
    let mut peer = Peer::connect(setting.server.address()).unwrap();
    let hello = json!({
        "cmd": "hello", "version": 1, "agent": "test/1", "client": client, "slot": slot,
        "filename": "www/site", "must": ["publish"],
    });
    assert_eq!(peer.ask(&hello, b"").unwrap()["hello"], 1);
    peer
}

/// Directories that are filled before they appear are no way around it either.
#[test]
fn nothing_is_acknowledged_and_then_swapped_away() {
    let setting = Setting::start();
    let mut publishing = begin(&setting, "me", 0);
    let mut other = setting.server.peer();
    let mut all = Vec::new();
    for (header, body) in [
        (json!({"cmd": "mkdir", "id": 1, "filename": "www"}), &b""[..]),
        (json!({"cmd": "mkdir", "id": 2, "filename": "www/site"}), b""),
        (put(3, "www/site/x", b"x"), b"x"),
    ] {
        all.extend(haul_tests::peer::frame(&header, body));
    }
    std::io::Write::write_all(&mut other.stream, &all).unwrap();
    let refused: Vec<_> = (0..3).map(|_| other.receive().unwrap().0).collect();
    assert!(refused.iter().any(|answer| answer["refused"] == 3), "{refused:?}");
    assert!(refused.iter().all(|answer| answer["ack"] != 3), "{refused:?}");
    assert_eq!(publishing.ask(&put(1, "y", b"y"), b"y").unwrap()["ack"], 1);
    publishing.ask(&json!({"cmd": "publish", "id": 2, "mode": 0o755}), b"").unwrap();
    assert!(setting.site().join("y").exists() && !setting.site().join("x").exists());
}

/// What is asked for late, over whichever connection, changes nothing that everybody sees.
#[test]
fn tree_that_is_published_is_not_changed_any_more() {
    let setting = Setting::start();
    setting.version(1);
    setting.published(&[]);
    let (mut one, mut other) = (begin(&setting, "me", 0), begin(&setting, "me", 1));
    assert_eq!(one.ask(&put(1, "new", b"1"), b"1").unwrap()["ack"], 1);
    one.ask(&json!({"cmd": "publish", "id": 2, "mode": 0o755}), b"").unwrap();
    assert_eq!(other.ask(&put(1, "new", b"2"), b"2").unwrap()["code"], "bad_request");
    let mut entry = json!({"kind": "file", "filename": "d0/f0", "filesize": 9});
    entry["blake3"] = json!(blake3::hash(b"version 1").to_hex().as_str());
    let body = format!("{entry}\n");
    let adopt = json!({"cmd": "adopt", "id": 2, "length": body.len()});
    assert_eq!(other.ask(&adopt, body.as_bytes()).unwrap()["code"], "bad_request");
    assert_eq!(fs::read(setting.site().join("new")).unwrap(), b"1");
    assert_eq!(fs::read_dir(setting.site()).unwrap().count(), 1);
}

/// A tree that was left half done, with something else where directories are now.
#[test]
fn what_is_left_of_another_kind_is_no_obstacle() {
    let setting = Setting::start();
    setting.version(1);
    setting.published(&[]);
    let mut left = begin(&setting, "me", 0);
    assert_eq!(left.ask(&put(1, "d0", b"a file"), b"a file").unwrap()["ack"], 1);
    let link = json!({"cmd": "symlink", "id": 2, "filename": "d1", "target": "x"});
    assert_eq!(left.ask(&link, b"").unwrap()["ack"], 2);
    assert_eq!(left.ask(&put(3, "d2/f2", b"OLD BYTES"), b"OLD BYTES").unwrap()["ack"], 3);
    assert_eq!(left.ask(&put(4, "large/below", b"x"), b"x").unwrap()["ack"], 4);
    drop(left);
    eventually("the server has noticed", || {
        setting.publish(&["--quiet"]).output().status.success()
    });
    tree::compare(&setting.source(), &setting.site()).unwrap();
}

/// What is not haul's own can't have a second name; that is no reason to send it, nor anything else.
#[test]
fn file_of_somebody_else_is_copied() {
    let user = User::new().unwrap();
    let (root, log) = (user.path().join("root"), user.path().join("log"));
    File::create(&log).unwrap();
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    let setting = Setting::start();
    setting.version(1);
    let publish = || {
        let mut command = haul();
        command.args(["publish", "--json"]).arg(setting.source());
        let done = command.arg(format!("{}/site", server.address())).assert().success();
        last(&done.get_output().stdout)
    };
    publish();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(root.join("site/d0/f0"), Some(0), Some(0)).unwrap();
    }
    let summary = publish();
    assert_eq!((&summary["files"], &summary["bytes_sent"]), (&0.into(), &0.into()), "{summary}");
    tree::compare(&setting.source(), &root.join("site")).unwrap();
}

/// What has vanished may be back by now, or here under another name: the source is walked once more.
#[test]
fn version_is_what_the_source_is_after_something_has_vanished_under_way() {
    let setting = Setting::start();
    for index in 0..900 {
        setting.write(&format!("d/f{index:03}"), &"x".repeat(20_000));
    }
    let trees = setting.server.root().join(".haul/trees");
    let arrived = |name: &str| {
        let found = walkdir::WalkDir::new(&trees).into_iter().filter_map(Result::ok);
        found.filter(|entry| entry.file_name() == name).count() > 0
    };
    let held = setting.hold_publish(|| (0..900).any(|index| arrived(&format!("f{index:03}"))));
    for index in 0..900 {
        let name = format!("f{index:03}");
        if !arrived(&name) {
            fs::remove_file(setting.source().join("d").join(name)).unwrap();
        }
    }
    let output = held.go_on();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("gone since it was found"), "{told}");
    tree::compare(&setting.source(), &setting.site()).unwrap();
}
