//! Digests that the server keeps with large files: believed while the file is the one that came, and never of another one.

use std::os::unix::fs::FileExt;

use haul_tests::mounts::hauld_after;
use haul_tests::prelude::*;
use rustix::fs::XattrFlags;

const ATTRIBUTE: &str = "user.haul.blake3";

/// Files whose digests are kept: one comes in one body, one in parts.
const FILES: [(&str, usize); 2] = [("middle", 300_000), ("large", 20_000_000)];

/// The mtime of all files.
const MTIME: Duration = Duration::from_secs(1_500_000_000);

fn kept(path: impl AsRef<Path>) -> Option<Vec<u8>> {
    let mut value = vec![0; 100];
    let len = rustix::fs::getxattr(path.as_ref(), ATTRIBUTE, &mut value[..]).ok()?;
    value.truncate(len);
    Some(value)
}

fn set(path: impl AsRef<Path>, value: &[u8]) {
    rustix::fs::setxattr(path.as_ref(), ATTRIBUTE, value, XattrFlags::empty()).unwrap();
}

fn mtime() -> SystemTime {
    SystemTime::UNIX_EPOCH + MTIME
}

/// Other bytes of the same length.
fn change(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 200_000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 200_000).unwrap();
}

/// The same, and the mtime as it was: what a disk does that rots.
fn rot(path: &Path) {
    change(path);
    set_mtime(path, mtime());
}

/// A source with [`FILES`] and a small file, and a server with these options that has it.
fn filled(words: &[&str]) -> Setting {
    let setting = Setting::start_with(words);
    for (name, len) in FILES.into_iter().chain([("small", 131_072)]) {
        let bytes: Vec<u8> = (0..=u8::MAX).flat_map(|byte| [byte; 7]).cycle().take(len).collect();
        fs::write(setting.source().join(name), bytes).unwrap();
        set_mtime(setting.source().join(name), mtime());
    }
    setting.sync(&[]);
    setting
}

fn verify(setting: &Setting, words: &[&str], different: &[&str]) {
    let assert = setting.command("verify", words).assert();
    let output = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    for (name, _) in FILES {
        let line = format!("differs s/{name}: bytes differ");
        assert_eq!(output.contains(&line), different.contains(&name), "{words:?} {output}");
    }
    assert.code(i32::from(!different.is_empty()));
}

/// Bytes that the server has read since it started, from files and from peers.
fn read(server: &Hauld) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/io", server.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    line.parse().unwrap()
}

#[test]
fn verify_reads_no_file_whose_digest_is_kept_unless_it_is_told_to() {
    let setting = filled(&[]);
    for (name, len) in FILES {
        let path = setting.target().join(name);
        let (value, found) = (kept(&path).unwrap(), path.metadata().unwrap());
        let digest = blake3::hash(&fs::read(&path).unwrap());
        let expected = [
            &[1][..],
            &(len as u64).to_be_bytes()[1..],
            &MTIME.as_secs().to_be_bytes(),
            &[0; 4],
            &found.ino().to_be_bytes(),
            digest.as_bytes(),
        ];
        assert_eq!(value, expected.concat(), "{name}");
    }
    assert_eq!(kept(setting.target().join("small")), None);
    let before = read(&setting.server);
    verify(&setting, &[], &[]);
    let between = read(&setting.server);
    verify(&setting, &["--reread"], &[]);
    let after = read(&setting.server);
    for (words, expected) in [(&["--json"][..], false), (&["--json", "--reread"], true)] {
        let output = setting.command("verify", words).assert().success();
        assert_eq!(last(&output.get_output().stdout)["reread"], expected, "{words:?}");
    }
    assert!(between - before < 1_000_000, "{} bytes", between - before);
    assert!(after - between > 20_000_000, "{} bytes", after - between);
    assert!(FILES.iter().all(|(name, _)| kept(setting.target().join(name)).is_some()));
}

#[test]
fn sync_from_here_by_checksum_reads_no_file_whose_digest_is_kept() {
    let setting = filled(&[]);
    let place = setting.place.path().join("d");
    fs::create_dir(&place).unwrap();
    for (name, _) in FILES {
        fs::copy(setting.target().join(name), place.join(name)).unwrap();
        set_mtime(place.join(name), SystemTime::UNIX_EPOCH);
    }
    let before = read(&setting.server);
    let from = format!("haul://{}/", setting.at("s"));
    let output = setting.haul(&["sync", "--checksum", "--json", &from, "d"]).assert().success();
    let summary = last(&output.get_output().stdout);
    assert_eq!((&summary["files"], &summary["adjusted"]), (&json!(1), &json!(2)), "{summary}");
    let read = read(&setting.server) - before;
    assert!(read < 1_000_000, "{read} bytes");
}

#[test]
fn reread_finds_rotten_bytes_and_nobody_believes_their_digest_any_more() {
    let setting = filled(&[]);
    let both = FILES.map(|(name, _)| name);
    both.iter().for_each(|name| rot(&setting.target().join(name)));
    verify(&setting, &[], &[]);
    verify(&setting, &["--reread"], &both);
    assert!(both.iter().all(|name| kept(setting.target().join(name)).is_none()));
    verify(&setting, &[], &both);
    assert!(setting.server.log_text().contains("the bytes of a file are not those"));
    let sent = setting.sync(&["--checksum"]);
    assert_eq!(sent["files"], 2, "{sent}");
    setting.same();
    assert!(both.iter().all(|name| kept(setting.target().join(name)).is_some()));
}

#[test]
fn kept_digest_of_a_file_that_has_changed_is_not_believed() {
    let setting = filled(&[]);
    let both = FILES.map(|(name, _)| name);
    let each =
        |what: &dyn Fn(&Path)| both.iter().for_each(|name| what(&setting.target().join(name)));
    // In place.
    each(&|path| change(path));
    verify(&setting, &[], &both);
    setting.sync(&["--checksum"]);
    verify(&setting, &[], &[]);
    // A copy with the attribute, whose bytes are others and whose mtime is not.
    each(&|path| {
        let copy = path.with_file_name("copy");
        let copied = Command::new("cp").arg("--preserve=all").args([path, &copy]).status().unwrap();
        assert!(copied.success());
        set(&copy, &kept(path).unwrap());
        rot(&copy);
        fs::rename(copy, path).unwrap();
    });
    verify(&setting, &[], &both);
    setting.sync(&["--checksum"]);
    // Values that nobody can read, for bytes that are others.
    for how in 0..4 {
        each(&|path| {
            let mut value = kept(path).unwrap();
            match how {
                0 => value.truncate(59),
                1 => value.push(0),
                2 => value[0] = 2,
                _ => value.clear(),
            }
            set(path, &value);
            rot(path);
        });
        verify(&setting, &[], &both);
        setting.sync(&["--checksum"]);
        verify(&setting, &[], &[]);
    }
}

#[test]
fn old_mtime_that_a_client_sets_again_does_not_bring_the_digest_back() {
    let setting = filled(&[]);
    for (name, _) in FILES {
        change(&setting.target().join(name));
        let mut peer = setting.server.peer();
        let mtime = json!({"s": MTIME.as_secs(), "ns": 0});
        let name = format!("s/{name}");
        let request =
            json!({"cmd": "setattr", "id": 1, "kind": "file", "filename": name, "mtime": mtime});
        assert_eq!(peer.ask(&request, b"").unwrap()["ack"], 1);
    }
    verify(&setting, &[], &FILES.map(|(name, _)| name));
}

/// A server in a sandbox of the system's may see next to nothing of /proc.
#[test]
fn mtime_of_a_large_file_is_set_without_proc() {
    let directory = TempDir::new().unwrap();
    let setup = "boot=$(cat /proc/sys/kernel/random/boot_id); mount -t tmpfs none /proc; \
                 mkdir -p /proc/sys/kernel/random; echo $boot >/proc/sys/kernel/random/boot_id";
    let command = hauld_after(setup, directory.path());
    let server = Hauld::start_in(directory, command, &["--durability", "none"]).unwrap();
    for (name, mode) in [("writable", 0o644), ("read-only", 0o444)] {
        let path = server.root().join(name);
        fs::write(&path, vec![7; 300_000]).unwrap();
        set(&path, b"of other bytes");
        set_mode(&path, mode);
        let request = json!({
            "cmd": "setattr", "id": 1, "kind": "file", "filename": name, "mtime": {"s": 1, "ns": 0},
        });
        let answer = server.peer().ask(&request, b"").unwrap();
        assert_eq!(answer["ack"], 1, "{answer}");
        let found = path.metadata().unwrap();
        assert_eq!((found.mtime(), found.mode() & 0o777, kept(&path)), (1, mode, None), "{name}");
    }
}

#[test]
fn server_without_kept_digests_keeps_none_and_believes_none() {
    for words in [&["--no-kept-digests"][..], &["--durability", "none"]] {
        let setting = filled(words);
        assert!(FILES.iter().all(|(name, _)| kept(setting.target().join(name)).is_none()));
    }
    let setting = filled(&[]);
    rot(&setting.target().join("large"));
    verify(&setting, &[], &[]);
    let log = setting.place.path().join("log");
    let root = setting.server.root().to_owned();
    setting.server.signal(Signal::TERM).unwrap();
    let mut setting = setting;
    setting.server.wait().unwrap();
    let other = Hauld::start_at(&root, &log, hauld_command(), &["--no-kept-digests"]).unwrap();
    setting.server.becomes(other);
    verify(&setting, &[], &["large"]);
}

#[test]
fn get_tells_the_kept_digest_with_each_part() {
    let setting = filled(&[]);
    let path = setting.target().join("large");
    let digest = blake3::hash(&fs::read(&path).unwrap()).to_hex().to_string();
    let ask = |offset: u64| {
        let part = json!({
            "cmd": "get", "id": 1, "filename": "s/large", "offset": offset, "part_size": 1 << 20,
        });
        setting.server.peer().ask(&part, b"").unwrap()["blake3"].clone()
    };
    assert_eq!((ask(0), ask(1 << 20)), (json!(digest), json!(digest)));
    let back = setting.place.path().join("back");
    setting.haul(&["get", "--as", "back", &setting.at("s/large"), "."]).assert().success();
    assert_eq!(fs::read(&back).unwrap(), fs::read(&path).unwrap());
    assert_eq!(kept(&back), None);
    rot(&path);
    fs::remove_file(&back).unwrap();
    setting.haul(&["get", "--as", "back", &setting.at("s/large"), "."]).assert().code(1);
    assert!(!back.exists());
    change(&path);
    assert_eq!(ask(0), Value::Null);
}

#[test]
fn server_without_privileges_keeps_digests_in_its_sandbox_and_takes_files_that_it_may_not_write() {
    let user = User::new().unwrap();
    let root = user.path().join("root");
    let log = user.path().join("log");
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    let place = TempDir::new().unwrap();
    for (name, mode) in [("open", 0o644), ("closed", 0o444)] {
        let path = place.path().join(name);
        fs::write(&path, vec![7; 300_000]).unwrap();
        set_mode(&path, mode);
        set_mtime(&path, mtime());
        haul().args(["put", "-q"]).arg(&path).arg(server.address()).assert().success();
        assert_eq!(kept(root.join(name)).is_some(), mode == 0o644, "{name}");
    }
    for mode in [0o444, 0o000] {
        let path = place.path().join("open");
        haul().args(["put", "-q"]).arg(path).arg(server.address()).assert().success();
        let path = root.join("open");
        assert!(kept(&path).is_some());
        set_mode(&path, mode);
        let mtime = json!({"s": 1, "ns": 0});
        let request =
            json!({"cmd": "setattr", "id": 1, "kind": "file", "filename": "open", "mtime": mtime});
        assert_eq!(server.peer().ask(&request, b"").unwrap()["ack"], 1, "{mode:o}");
        assert_eq!((kept(&path), path.metadata().unwrap().mode() & 0o777), (None, mode));
    }
}

#[test]
fn file_that_a_version_takes_over_has_its_digest_still() {
    let setting = filled(&[]);
    let to = setting.at("site");
    let publish = || setting.haul(&["publish", "s", &to]).assert().success();
    publish();
    setting.write("new", "in the second version");
    publish();
    for (name, _) in FILES {
        let path = setting.server.root().join("site").join(name);
        assert!(kept(path).is_some(), "{name}");
    }
}
