//! Comparing by digest: `haul verify` and `haul sync --checksum`.

use haul_tests::fake::Fake;
use haul_tests::prelude::*;

/// Other bytes of the same length, mode and mtime: what no quick check sees.
fn rot(setting: &Setting, name: &str) {
    let path = setting.target().join(name);
    let mtime = path.metadata().unwrap().modified().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::File::open(&path).unwrap().set_modified(mtime).unwrap();
}

fn filled() -> Setting {
    let setting = Setting::start();
    for index in 0..50 {
        setting.write(&format!("d{}/f{index}", index % 5), &format!("file {index}"));
    }
    setting.write("empty", "");
    setting.write("large", &"0123456789abcdef".repeat(300_000));
    symlink("d0", setting.source().join("link")).unwrap();
    setting.sync(&[]);
    setting
}

#[test]
fn verify_names_each_difference_and_changes_nothing() {
    let setting = filled();
    setting.command("verify", &[]).assert().success().stdout(contains("53 the same, 0 different"));
    rot(&setting, "large");
    rot(&setting, "d0/f0");
    fs::remove_file(setting.target().join("d1/f1")).unwrap();
    fs::remove_dir_all(setting.target().join("d2")).unwrap();
    setting.write_there("d3/f3", "longer than it was");
    setting.write_there("extra/in/it", "x");
    fs::remove_file(setting.target().join("link")).unwrap();
    symlink("d1", setting.target().join("link")).unwrap();
    fs::remove_file(setting.target().join("empty")).unwrap();
    fs::create_dir(setting.target().join("empty")).unwrap();
    // Neither counts.
    set_mode(setting.target().join("d4/f4"), 0o600);
    let other = fs::File::open(setting.target().join("d4/f9")).unwrap();
    other.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let output = setting.command("verify", &[]).assert().code(1).get_output().stdout.clone();
    let output = String::from_utf8(output).unwrap();
    let mut lines: Vec<_> = output.lines().collect();
    assert!(lines.pop().unwrap().contains("21 different"), "{output}");
    lines.sort_unstable();
    let mut expected = vec![
        "differs s/d0/f0: bytes differ",
        "differs s/d3/f3: size differs",
        "differs s/empty: something of another kind is there",
        "differs s/large: bytes differ",
        "differs s/link: points elsewhere",
        "extra s/extra",
        "extra s/extra/in",
        "extra s/extra/in/it",
        "missing s/d1/f1",
        "missing s/d2",
    ];
    let missing: Vec<_> = (0..10).map(|index| format!("missing s/d2/f{}", index * 5 + 2)).collect();
    expected.extend(missing.iter().map(String::as_str));
    // The empty directory in the file's place is what the source lacks.
    expected.push("extra s/empty");
    expected.sort_unstable();
    assert_eq!(lines, expected);
    assert!(setting.there("extra/in/it") && !setting.there("d2"));
    let json = setting.command("verify", &["--json"]).assert().code(1).get_output().clone();
    assert_eq!(last(&json.stdout)["different"], expected.len());
}

#[test]
fn verify_of_a_source_that_can_not_be_read_is_no_success() {
    let user = User::new().unwrap();
    let setting = filled();
    let source = user.path().join("s");
    tree::copy(&setting.source(), &source);
    let source = user.own_all(source).unwrap();
    set_mode(source.join("d0/f0"), 0o0);
    let mut command = user.command("haul");
    command.arg("verify").arg(&source).arg(setting.server.address());
    Client::from_std(command)
        .assert()
        .code(1)
        .stderr(contains("f0").and(contains("ermission denied")))
        .stdout(contains("52 the same, 0 different"));
}

#[test]
fn what_is_left_out_is_neither_compared_nor_extra() {
    let setting = filled();
    rot(&setting, "d0/f0");
    setting.write_there("d1/log", "x");
    setting.command("verify", &["--exclude", "/d0/f0", "--exclude", "log"]).assert().success();
}

#[test]
fn checksum_sends_what_has_other_bytes_and_only_that() {
    let setting = filled();
    rot(&setting, "large");
    rot(&setting, "d0/f0");
    assert_eq!(setting.sync(&[])["unchanged"], 53, "a quick check sees nothing");
    // Touched, but the same: only its mtime is set.
    let touched = fs::File::open(setting.source().join("d1/f1")).unwrap();
    touched.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(7)).unwrap();
    let inode = fs::metadata(setting.target().join("d1/f1")).unwrap().ino();
    let told = setting.command("sync", &["--checksum", "-n"]).assert().success();
    told.stdout(
        contains("would send s/large: bytes differ")
            .and(contains("would adjust s/d1/f1: mtime differs")),
    );
    let summary = setting.sync(&["--checksum"]);
    let sent = 4_800_000 + "file 0".len();
    assert_eq!((&summary["files"], &summary["bytes_sent"]), (&2.into(), &sent.into()), "{summary}");
    assert_eq!((&summary["adjusted"], &summary["unchanged"]), (&1.into(), &50.into()));
    setting.same();
    assert_eq!(fs::metadata(setting.target().join("d1/f1")).unwrap().ino(), inode);
    let again = setting.sync(&["--checksum"]);
    assert_eq!((&again["unchanged"], &again["bytes_sent"]), (&53.into(), &0.into()));
}

#[test]
fn checksum_reads_nothing_that_is_sent_anyway() {
    let setting = Setting::start();
    setting.write("new", &"x".repeat(3_000_000));
    let summary = setting.sync(&["--checksum"]);
    assert_eq!((&summary["files"], &summary["bytes_compared"]), (&1.into(), &0.into()));
}

#[test]
fn mode_alone_leaves_the_other_names_of_a_file_alone() {
    let setting = Setting::start();
    setting.write("file", "bytes");
    setting.sync(&[]);
    fs::hard_link(setting.target().join("file"), setting.server.root().join("other")).unwrap();
    set_mode(setting.source().join("file"), 0o600);
    // So it is sent whole, and the name gets a file of its own.
    assert_eq!(setting.sync(&[])["files"], 1);
    setting.same();
    let other = fs::metadata(setting.server.root().join("other")).unwrap();
    assert_eq!((other.mode() & 0o777, other.nlink()), (0o644, 1));
}

/// What is to be sent does not wait in the client until a large file has been read.
#[test]
fn connection_is_looked_after_while_a_large_file_is_read() {
    let (fake, source) = (Fake::start().unwrap(), tempfile::TempDir::new().unwrap());
    fs::write(source.path().join("small"), b"x").unwrap();
    let large = fs::File::create(source.path().join("large")).unwrap();
    large.set_len(2 << 30).unwrap();
    fs::write(source.path().join("list"), b"small\nlarge\n").unwrap();
    let mut client = haul_command()
        .args(["sync", "--checksum", "--quiet", "--connections", "1", "--files-from"])
        .arg(source.path().join("list"))
        .args([source.path(), std::path::Path::new(&fake.address().unwrap())])
        .spawn()
        .unwrap();
    let (mut peer, _) = fake.greet().unwrap();
    loop {
        let (request, body) = peer.receive().unwrap();
        if request["cmd"] == "put" {
            break;
        }
        assert_eq!(request["cmd"], "check");
        let body = String::from_utf8(body).unwrap();
        assert!(!body.contains("blake3"), "all of it was read before anything was sent");
        let letters: String =
            body.lines().map(|line| if line.contains("small") { '+' } else { '=' }).collect();
        let answer = json!({"answer": request["id"], "length": letters.len()});
        peer.send(&answer, letters.as_bytes()).unwrap();
    }
    // What comes next has the digest of 2 GiB, which takes a while.
    peer.stream.set_nonblocking(true).unwrap();
    let next = peer.stream.peek(&mut [0]).map_err(|error| error.kind());
    assert_eq!(next, Err(std::io::ErrorKind::WouldBlock));
    client.kill().unwrap();
    client.wait().unwrap();
}

/// The client sends no FIFO, so a file of its name at the server is another entry.
#[test]
fn file_of_the_server_in_the_place_of_a_fifo_here_is_extra() {
    let setting = filled();
    let fifo = setting.source().join("d0/fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    setting.command("verify", &[]).assert().success().stdout(contains("53 the same, 0 different"));
    setting.write_there("d0/fifo", "x");
    setting
        .command("verify", &[])
        .assert()
        .code(1)
        .stdout(contains("extra").and(contains("d0/fifo")).and(contains("1 different")));
    let there = setting.target().join("d0/fifo");
    fs::remove_file(&there).unwrap();
    assert!(Command::new("mkfifo").arg(&there).status().unwrap().success());
    setting.command("verify", &[]).assert().success();
}
