//! `haul get`: what can't come is told, and what is here stays.

use haul_tests::bytes::counted;
use haul_tests::login::{Pair, Place, TOKEN, answer, told};
use haul_tests::prelude::*;

const MIB: usize = 1 << 20;

/// Trap `exit_code_says_too_little`.
#[test]
fn source_that_is_not_there_is_told_and_the_others_come() {
    let setting = Setting::start();
    setting.write_there("file", "x");
    let words = ["get", &setting.at("s/none"), &setting.at("no/where"), &setting.at("s/file"), "d"];
    let told = setting.haul(&words).assert().code(1);
    told.stderr(contains("haul: s/none: no such entry").and(contains("haul: no/where: ")))
        .stdout(contains("1 file,").and(contains("2 failed")));
    assert_eq!(tree::names(&setting.place.path().join("d")), ["file"]);
    let words = ["get", &setting.at("s/file/"), "d"];
    setting.haul(&words).assert().code(1).stderr(contains("no directory at the server"));
    setting.haul(&["get", "127.0.0.1:1/x", "d"]).assert().code(3).stderr(contains("reach"));
}

#[test]
fn file_in_the_place_of_the_target_is_told_and_stays() {
    let setting = Setting::start();
    setting.write_there("file", "new");
    let path = setting.place.path().join("d");
    fs::write(&path, "old").unwrap();
    for place in ["d", "d/below"] {
        for dry in [&[][..], &["-n"]] {
            let from = setting.at("s/");
            let told = setting.haul(&[&["get", &from, place], dry].concat()).assert().code(1);
            told.stderr(contains(format!("haul: {place}: ")));
        }
    }
    assert_eq!(fs::read_to_string(path).unwrap(), "old");
}

#[test]
fn entry_of_another_kind_that_does_not_make_way_is_told_and_stays() {
    let setting = Setting::start();
    setting.write_there("dir-small", "small");
    fs::write(setting.target().join("dir-large"), counted(3 * MIB)).unwrap();
    symlink("x", setting.target().join("dir-link")).unwrap();
    for name in ["file/x", "link/x", "fifo/x"] {
        setting.write_there(name, "x");
    }
    setting.write_there("good", "good");
    let place = setting.place.path().join("d");
    for name in ["dir-small", "dir-large", "dir-link"] {
        fs::create_dir_all(place.join(name)).unwrap();
    }
    fs::write(place.join("file"), "file").unwrap();
    let outside = setting.place.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, place.join("link")).unwrap();
    setting.script("mkfifo d/fifo").assert().success();
    for dry in [&["-n"][..], &[]] {
        let from = setting.at("s/");
        let output = setting.haul(&[&["get", "--json", &from, "d"], dry].concat()).assert().code(1);
        let out = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        for name in ["dir-small", "dir-large", "dir-link", "file", "link", "fifo"] {
            assert!(out.contains(&format!("d/{name}\"")), "{dry:?} {name}: {out}");
        }
        assert_eq!(last(out.as_bytes())["failed"], 6, "{dry:?}");
    }
    assert_eq!(fs::read_to_string(place.join("good")).unwrap(), "good");
    assert_eq!(fs::read_to_string(place.join("file")).unwrap(), "file");
    assert!(tree::names(&outside).is_empty());
    // No parts of a file that can't get its name are left.
    assert_eq!(fs::read_dir(&place).unwrap().count(), 7, "{:?}", tree::names(&place));
}

#[test]
fn target_that_the_user_may_not_write_to_is_told() {
    let setting = Setting::start();
    setting.write_there("small", "new");
    fs::write(setting.target().join("large"), counted(3 * MIB)).unwrap();
    let user = User::new().unwrap();
    let place = user.path().join("d");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("small"), "old").unwrap();
    set_mode(&place, 0o555);
    user.own_all(place.clone()).unwrap();
    let run = |place: &str| {
        let mut command = user.command("haul");
        command.args(["get", &setting.at("s/"), place]).env("HAUL_CONFIG_DIR", user.path());
        let output = output_of(&mut command);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = run("d");
    assert_eq!(code, Some(1), "{told}");
    for name in ["small", "large"] {
        assert!(told.contains(&format!("haul: d/{name}: could not make the file")), "{told}");
    }
    assert_eq!(fs::read_to_string(place.join("small")).unwrap(), "old");
    assert_eq!(tree::names(&place), ["small"]);
    let (code, told) = run("d/new");
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("haul: d/new: could not make the directory"), "{told}");
}

#[test]
fn file_that_the_server_may_not_read_is_told_and_the_others_come() {
    let user = User::new().unwrap();
    let place = user.path().join("server");
    fs::create_dir(&place).unwrap();
    user.own(&place).unwrap();
    let log = place.join("log");
    let command = user.command("hauld");
    let root = place.join("root");
    let server = Hauld::start_at(&root, &log, command, &["--durability", "none"]).unwrap();
    for name in ["open", "closed"] {
        fs::write(root.join(name), name).unwrap();
    }
    fs::write(root.join("closed-large"), counted(3 * MIB)).unwrap();
    user.own_all(root.clone()).unwrap();
    for name in ["closed", "closed-large"] {
        set_mode(root.join(name), 0);
    }
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("closed"), "old").unwrap();
    let mut client = haul();
    client.current_dir(here.path()).args(["get", server.address(), "."]);
    let told = client.assert().code(1);
    told.stderr(contains("haul: ./closed: ").and(contains("haul: ./closed-large: ")));
    assert_eq!(fs::read_to_string(here.path().join("closed")).unwrap(), "old");
    assert_eq!(fs::read_to_string(here.path().join("open")).unwrap(), "open");
    assert_eq!(tree::names(here.path()), ["closed", "open"]);
}

/// Trap `old_file_truncated_first`.
/// The target is a small disk in a mount namespace, in which a shell runs `haul` several times.
#[test]
fn full_disk_is_told_and_after_room_is_made_the_same_command_goes_on() {
    let setting = Setting::start();
    fs::create_dir(setting.target()).unwrap();
    for index in 0..40 {
        fs::write(setting.target().join(format!("small {index}")), counted(100_000)).unwrap();
    }
    fs::write(setting.server.root().join("large"), counted(12 * MIB)).unwrap();
    fs::create_dir(setting.place.path().join("d")).unwrap();
    let script = "
        mount -t tmpfs -o size=8m tmpfs d
        head -c 6m /dev/zero >d/room; echo old >d/small\\ 7
        $H get $A/s/ d; echo small $?
        cat d/small\\ 7 | head -c 3
        find d -name '.haul*'
        rm d/small*; rm d/room
        $H get $A/large d; echo large $?
        test ! -e d/large
        mount -o remount,size=32m d
        $H get --json $A/large d >out; echo again $?
        cmp d/large $A_ROOT/large && ls -A d";
    let mut command = Command::new("unshare");
    command.args(["-rm", "bash", "-c", script]).current_dir(setting.place.path());
    command.env("H", &binaries::get().haul).env("A", setting.server.address());
    command.env("A_ROOT", setting.server.root());
    let output = output_of(&mut command);
    let told = String::from_utf8(output.stderr).unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("small 1\n") && out.contains("large 1\n"), "{out}{told}");
    assert!(told.contains("haul: d/small") && told.contains("haul: d/large: "), "{told}");
    assert!(told.contains("No space left") || told.contains("no space"), "{told}");
    assert!(out.ends_with("again 0\nlarge\n"), "{out}{told}");
    let summary = last(&fs::read(setting.place.path().join("out")).unwrap());
    assert!(summary["bytes_resumed"].as_u64() >= Some(4 * MIB as u64), "{summary}");
}

/// The target has no room for more entries, of whatever kind.
#[test]
fn file_system_without_room_for_entries_is_told_and_once_it_has_some_the_same_command_goes_on() {
    let setting = Setting::start();
    for index in 0..10 {
        setting.write_there(&format!("dir {index}/file"), "x");
        symlink("x", setting.target().join(format!("link {index}"))).unwrap();
        fs::write(setting.target().join(format!("large {index}")), counted(2 * MIB)).unwrap();
    }
    fs::create_dir(setting.place.path().join("d")).unwrap();
    let script = "
        mount -t tmpfs -o nr_inodes=8 d d
        $H get $A/s/ d; echo full $?
        mount -o remount,nr_inodes=1000 d
        $H get $A/s/ d; echo again $?
        diff -r --no-dereference d $A_ROOT/s && find d -name '.haul*'";
    let mut command = Command::new("unshare");
    command.args(["-rm", "bash", "-c", script]).current_dir(setting.place.path());
    command.env("H", &binaries::get().haul).env("A", setting.server.address());
    let output = output_of(command.env("A_ROOT", setting.server.root()).env("HAUL_CONFIG", ""));
    let told = String::from_utf8(output.stderr).unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("full 1\n") && out.ends_with("again 0\n"), "{out}{told}");
    for name in ["dir", "link", "large"] {
        let is_told = |line: &str| {
            line.starts_with(&format!("haul: d/{name} ")) && line.contains("No space left")
        };
        assert!(told.lines().any(is_told), "{name}: {told}");
    }
}

/// Trap `limit_signal_ends_server`, at the client: the system sends SIGXFSZ to who writes beyond its limit.
#[test]
fn limit_signal_ends_server_and_client_never() {
    let setting = Setting::start();
    setting.write_there("small", "small");
    fs::write(setting.target().join("large"), counted(5 * MIB)).unwrap();
    fs::create_dir(setting.place.path().join("d")).unwrap();
    fs::write(setting.place.path().join("d/large"), "old").unwrap();
    let told = setting.script("ulimit -c 0; ulimit -f 2000; $H get $A/s/ d").assert().code(1);
    told.stderr(contains("haul: d/large: could not write it: File too large"));
    let place = setting.place.path().join("d");
    assert_eq!(fs::read_to_string(place.join("small")).unwrap(), "small");
    assert_eq!(fs::read_to_string(place.join("large")).unwrap(), "old");
}

#[test]
fn server_that_gives_nothing_back_is_told() {
    let place = Place::start();
    for words in [&["get", "%/file", "d"][..], &["cat", "%/file"]] {
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut peer, _) = place.fake.greet().unwrap();
                let request = peer.receive();
                assert!(request.is_err(), "{request:?}");
            });
            let output = place.haul(words).output();
            assert_eq!(output.status.code(), Some(3), "{}", told(&output));
            assert!(told(&output).contains("back"), "{}", told(&output));
        });
    }
    assert!(!place.directory.path().join("d").exists());
}

#[test]
fn account_without_the_right_to_read_is_told_and_asks_for_nothing() {
    let place = Place::start();
    place.write(&format!("% alice {TOKEN}\n"));
    for (rights, words, right) in [
        (&["put", "list"][..], &["get", "%/file", "d"][..], "get"),
        (&["get", "put"], &["get", "%/file", "d"], "list"),
        (&["put", "list"], &["cat", "%/file"], "get"),
    ] {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut peer = place.fake.accept().unwrap();
                peer.receive().unwrap();
                let mut answer = answer("alice", rights);
                answer["features"] = json!(["accounts", "get"]);
                peer.send(&answer, b"").unwrap();
                let request = peer.receive();
                assert!(request.is_err(), "{request:?}");
            });
            let output = place.haul(words).output();
            assert_eq!(output.status.code(), Some(3), "{}", told(&output));
            let lacks = format!("lacks the right `{right}`, which {} needs", words[0]);
            assert!(told(&output).contains(&lacks), "{}", told(&output));
        });
    }
    assert!(!place.directory.path().join("d").exists());
}

#[test]
fn account_reads_only_below_its_root() {
    let pair = Pair::logged_in("get,list", &["--root", "alice"]);
    let root = pair.server.root().to_owned();
    fs::create_dir_all(root.join("alice/in")).unwrap();
    fs::write(root.join("alice/in/file"), "alice").unwrap();
    fs::write(root.join("secret"), "secret").unwrap();
    pair.haul(&["get", "alice@%", "d"]).assert().success();
    assert_eq!(tree::names(&pair.directory.path().join("d")), ["in/file"]);
    let output = pair.haul(&["cat", "alice@%/in/file"]).assert().success();
    drop(output.stdout("alice"));
    drop(pair.haul(&["get", "alice@%/secret", "d"]).assert().code(1));
    drop(pair.haul(&["get", "alice@%/../secret", "d"]).assert().code(2));
}
