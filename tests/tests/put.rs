//! `haul put`: what a user sends arrives the same.

use std::os::unix::ffi::OsStrExt;

use haul_tests::bytes::counted;
use haul_tests::prelude::*;

/// A tree with everything in it that haul carries.
fn everything(root: &Path) {
    let before_1970 = SystemTime::UNIX_EPOCH - Duration::new(1000, 1);
    let odd = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 987_654_321);
    fs::create_dir_all(root.join("deep/er/and/deeper")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::create_dir(root.join("read only")).unwrap();
    fs::write(root.join("empty file"), b"").unwrap();
    fs::write(root.join(".dotfile"), b"dot").unwrap();
    fs::write(root.join("deep/er/and/deeper/file"), b"deep").unwrap();
    fs::write(root.join("read only/file"), b"inside").unwrap();
    fs::write(root.join("line\nfeed"), b"name").unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"not \xff\xfe UTF-8")), b"name").unwrap();
    for (size, name) in [
        (1, "1"),
        (64 * 1024 + 1, "64k+1"),
        (1 << 20, "1M"),
        ((1 << 20) + 1, "1M+1"),
        (5 * (1 << 20) + 17, "5M+17"),
    ] {
        let bytes = counted(size);
        fs::write(root.join(name), bytes).unwrap();
    }
    for bits in [0o000, 0o200, 0o444, 0o555, 0o640, 0o777] {
        let path = root.join(format!("mode {bits:o}"));
        fs::write(&path, format!("{bits:o}")).unwrap();
        set_mtime(&path, odd);
        set_mode(&path, bits);
    }
    symlink("1", root.join("link")).unwrap();
    symlink("/does/not/exist", root.join("dangling")).unwrap();
    symlink(".", root.join("loop")).unwrap();
    symlink("loop/loop", root.join("deep/loop")).unwrap();
    set_mtime(root.join("1"), before_1970);
    set_mtime(root.join("empty"), odd);
    set_mtime(root.join("read only"), before_1970);
    set_mode(root.join("read only"), 0o555);
    set_mode(root.join("empty"), 0o711);
}

#[test]
fn directory_arrives_the_same() {
    let (server, source) = (server(), TempDir::new().unwrap());
    let root = source.path().join("tree");
    everything(&root);
    if !rustix::process::geteuid().is_root() {
        for unreadable in ["mode 0", "mode 200"] {
            fs::remove_file(root.join(unreadable)).ok();
        }
    }
    for connections in ["1", "2", "7"] {
        haul()
            .args(["put", "--connections", connections])
            .arg(&root)
            .arg(format!("{}/{connections}", server.address()))
            .assert()
            .success()
            .stdout(contains("failed").not());
        let there = server.root().join(connections).join("tree");
        let compared = tree::compare(&root, &there).unwrap();
        assert_eq!(compared.links, 4);
        assert!(compared.directories >= 7 && compared.files >= 15);
    }
    set_mode(root.join("read only"), 0o755);
}

#[test]
fn empty_directory_and_empty_file_arrive() {
    let (server, source) = (server(), TempDir::new().unwrap());
    let root = source.path().join("empty");
    fs::create_dir(&root).unwrap();
    fs::write(source.path().join("file"), b"").unwrap();
    haul()
        .arg("put")
        .args([&root, &source.path().join("file")])
        .arg(server.address())
        .assert()
        .success();
    assert!(server.root().join("empty").is_dir());
    assert_eq!(fs::read(server.root().join("file")).unwrap(), b"");
}

#[test]
fn one_file_and_several_go_under_a_path() {
    let (server, source) = (server(), TempDir::new().unwrap());
    for name in ["a", "b"] {
        fs::write(source.path().join(name), name).unwrap();
    }
    let destination = format!("{}/to/here/", server.address());
    haul()
        .current_dir(&source)
        .args(["put", "a", "b", &destination])
        .assert()
        .success()
        .stdout(predicate::str::starts_with("2 files"));
    assert_eq!(fs::read(server.root().join("to/here/a")).unwrap(), b"a");
    assert_eq!(fs::read(server.root().join("to/here/b")).unwrap(), b"b");
}

#[test]
fn as_renames_a_single_file_only() {
    let (server, source) = (server(), TempDir::new().unwrap());
    fs::write(source.path().join("a"), "a").unwrap();
    let put = |sources: &[&str]| {
        let mut haul = haul();
        haul.current_dir(&source).args(["put", "--as", "x/y"]).args(sources).arg(server.address());
        haul.assert()
    };
    put(&["a"]).success();
    assert_eq!(fs::read(server.root().join("x/y")).unwrap(), b"a");
    put(&["a", "a"]).code(2).stderr(contains("--as takes a single file"));
    put(&["."]).code(2);
}

#[test]
fn slash_puts_contents_and_follows_a_link() {
    let (server, source) = (server(), TempDir::new().unwrap());
    fs::create_dir(source.path().join("dir")).unwrap();
    fs::write(source.path().join("dir/file"), "x").unwrap();
    symlink("dir", source.path().join("link")).unwrap();
    for (what, path) in [("dir/", "slash"), ("link/", "followed"), ("dir/.", "dot")] {
        let destination = format!("{}/{path}", server.address());
        haul().current_dir(&source).args(["put", what, &destination]).assert().success();
        assert_eq!(fs::read(server.root().join(path).join("file")).unwrap(), b"x", "{what}");
    }
    haul().current_dir(&source).args(["put", "link", server.address()]).assert().success();
    assert_eq!(server.root().join("link").read_link().unwrap(), Path::new("dir"));
    haul()
        .current_dir(source.path().join("dir"))
        .args(["put", ".", server.address()])
        .assert()
        .success();
    assert_eq!(fs::read(server.root().join("file")).unwrap(), b"x");
}

#[test]
fn sockets_and_fifos_are_skipped_and_named() {
    let (server, source) = (server(), TempDir::new().unwrap());
    let _socket = std::os::unix::net::UnixListener::bind(source.path().join("socket")).unwrap();
    let fifo = source.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    fs::write(source.path().join("file"), "x").unwrap();
    haul()
        .arg("put")
        .arg(source.path().join("."))
        .arg(server.address())
        .assert()
        .success()
        .stdout(contains("1 file,").and(contains("2 skipped")))
        .stderr(contains("socket: a socket").and(contains("fifo: a FIFO")));
    assert!(!server.root().join("fifo").exists());
}

#[test]
fn json_has_one_object_a_line_and_a_summary() {
    let (server, source) = (server(), TempDir::new().unwrap());
    fs::write(source.path().join("a"), "abc").unwrap();
    let output = haul()
        .args(["put", "--json", "-v"])
        .args([source.path().join("a"), source.path().join("missing")])
        .arg(server.address())
        .assert()
        .code(1)
        .get_output()
        .clone();
    let lines: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |event: &str| lines.iter().find(|line| line["event"] == event).unwrap().clone();
    assert_eq!(of("committed")["name"], "a");
    assert!(of("failed")["source"].as_str().unwrap().ends_with("missing"));
    let summary = lines.last().unwrap();
    for (key, value) in
        [("files", 1), ("bytes_total", 3), ("bytes_sent", 3), ("bytes_resumed", 0), ("failed", 1)]
    {
        assert_eq!(summary[key], value, "{key}");
    }
    assert_eq!(summary["durability"], "group");
    assert!(summary["seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn quiet_tells_failures_only_and_verbose_every_name() {
    let (server, source) = (server(), TempDir::new().unwrap());
    fs::write(source.path().join("a"), "abc").unwrap();
    let put = |flag: &str| {
        haul().current_dir(&source).args(["put", flag, "a", server.address()]).assert().success()
    };
    put("--quiet").stdout("").stderr("");
    put("-v").stderr("a\n").stdout(predicate::str::starts_with("1 file, 3 B in "));
    haul()
        .current_dir(&source)
        .args(["put", "--quiet", "b", server.address()])
        .assert()
        .code(1)
        .stdout("")
        .stderr(predicate::str::starts_with("haul: b: could not "));
}

#[test]
fn two_sources_of_one_name_are_refused_before_anything_is_sent() {
    let (server, source) = (server(), TempDir::new().unwrap());
    for directory in ["x", "y"] {
        fs::create_dir(source.path().join(directory)).unwrap();
        fs::write(source.path().join(directory).join("same"), directory).unwrap();
    }
    haul()
        .current_dir(&source)
        .args(["put", "x/same", "y/same", server.address()])
        .assert()
        .code(2)
        .stderr(contains("`x/same` and `y/same` would both be stored as `same`"));
    assert!(!server.root().join("same").exists());
}

#[test]
fn put_merges_replaces_and_deletes_nothing() {
    let (server, source) = (server(), TempDir::new().unwrap());
    let tree = source.path().join("t");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("new"), "new").unwrap();
    fs::write(tree.join("both"), "newer").unwrap();
    fs::create_dir(server.root().join("t")).unwrap();
    fs::write(server.root().join("t/old"), "old").unwrap();
    fs::write(server.root().join("t/both"), "older and longer").unwrap();
    haul().arg("put").arg(&tree).arg(server.address()).assert().success();
    let read = |name: &str| fs::read_to_string(server.root().join("t").join(name)).unwrap();
    assert_eq!(
        (read("new"), read("both"), read("old")),
        ("new".into(), "newer".into(), "old".into())
    );
}

/// Traps `one_file_at_a_time` and `hand_tuned_streams`: without any option several connections work.
#[test]
fn one_file_at_a_time_and_hand_tuned_streams() {
    let source = TempDir::new().unwrap();
    let log = Hauld::start_in(TempDir::new().unwrap(), debug(&binaries::get().hauld), &[]).unwrap();
    for index in 0..500 {
        fs::write(source.path().join(index.to_string()), "x").unwrap();
    }
    haul().arg("put").arg(source.path()).arg(log.address()).assert().success();
    let connections = log.log_text().lines().filter(|line| line.contains("hello")).count();
    assert!(connections >= 2, "{connections} connections");
}

fn debug(hauld: &Path) -> Command {
    let mut command = Command::new(hauld);
    command.env("HAUL_LOG", "debug");
    command
}

/// Trap `wrong_totals`: what the summary counts is what there is.
#[test]
fn wrong_totals() {
    let (server, source) = (server(), TempDir::new().unwrap());
    everything(source.path());
    let output = haul()
        .args(["put", "--json"])
        .arg(source.path().join("."))
        .arg(format!("{}/x", server.address()))
        .output();
    let text = String::from_utf8(output.stdout).unwrap();
    let summary: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    // The destination is made as well.
    let there = walkdir::WalkDir::new(server.root().join("x"));
    let metadata: Vec<_> =
        there.into_iter().map(|entry| entry.unwrap().metadata().unwrap()).collect();
    let count = |kind: fn(&fs::Metadata) -> bool| {
        metadata.iter().filter(|metadata| kind(metadata)).count() as u64
    };
    assert_eq!(summary["files"], count(fs::Metadata::is_file));
    assert_eq!(summary["directories"], count(fs::Metadata::is_dir));
    assert_eq!(summary["links"], count(fs::Metadata::is_symlink));
    let bytes: u64 = metadata.iter().filter(|m| m.is_file()).map(fs::Metadata::len).sum();
    assert_eq!(summary["bytes_total"], bytes);
    set_mode(source.path().join("read only"), 0o755);
}
