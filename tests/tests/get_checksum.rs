//! `haul sync --checksum` from a server: bytes are compared, and not mtimes.

use std::os::unix::fs::FileExt;

use haul_tests::bytes::counted;
use haul_tests::prelude::*;

const MIB: usize = 1 << 20;

/// `haul sync --checksum` from the directory `s` at the server into `l`; returns the code, the summary and the output.
#[track_caller]
fn sync(setting: &Setting, words: &[&str]) -> (Option<i32>, Value, String) {
    let from = format!("haul://{}/", setting.at("s"));
    let output = setting
        .haul(&["sync", "--checksum", "--json", "--verbose"])
        .args(words)
        .args([&*from, "l"])
        .output();
    let told = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), last(told.as_bytes()), told)
}

/// The names of the events of one kind.
fn names(told: &str, kind: &str) -> Vec<String> {
    let events = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let names = events.filter(|event| event["event"] == kind);
    let mut names: Vec<_> = names.map(|event| event["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn moment(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A server with files, and `l` with the same bytes, some other bytes of the same size, and other mtimes.
fn setting() -> (Setting, PathBuf) {
    let setting = Setting::start();
    let here = setting.place.path().join("l");
    for (name, size) in [("small", 100), ("part", 200_000), ("large", 3 * MIB + 5), ("empty", 0)] {
        for kind in ["same", "other", "mtime", "mode"] {
            let name = format!("{name}/{kind}");
            let mut bytes = counted(size);
            for root in [setting.target(), here.clone()] {
                let path = root.join(&name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &bytes).unwrap();
                set_mode(&path, 0o644);
                set_mtime(&path, moment(1_000_000_000));
                if kind == "other" && size > 0 {
                    // Only the last byte, and no mtime, tells that it is another one.
                    bytes[size - 1] ^= 1;
                }
            }
            match kind {
                "mtime" => set_mtime(here.join(&name), moment(1_100_000_000)),
                "mode" => set_mode(here.join(&name), 0o600),
                _ => {}
            }
        }
    }
    for name in ["longer", "only/here"] {
        setting.write_there(name, "at the server");
    }
    fs::write(here.join("longer"), "here").unwrap();
    (setting, here)
}

const OTHER: [&str; 3] = ["s/large/other", "s/part/other", "s/small/other"];

#[test]
fn only_files_with_other_bytes_come_and_the_others_get_mode_and_mtime() {
    let (setting, here) = setting();
    let inode = |name: &str| here.join(name).metadata().unwrap().ino();
    let kept = ["large/same", "large/mtime", "large/mode", "small/mtime"];
    let before = kept.map(inode);
    let coming = [&OTHER[..], &["s/longer", "s/only/here"]].concat();
    for words in [&["--dry-run"][..], &[]] {
        let (code, counts, told) = sync(&setting, words);
        assert_eq!(code, Some(0), "{told}");
        assert_eq!(counts["files"], 5, "{told}");
        assert_eq!((&counts["adjusted"], &counts["unchanged"]), (&json!(8), &json!(5)), "{told}");
        // All files of one size are read, and no others.
        assert_eq!(
            counts["bytes_compared"].as_u64(),
            Some(4 * (100 + 200_000 + 3 * MIB as u64 + 5))
        );
        if words.is_empty() {
            let mut found = names(&told, "committed");
            found.retain(|name| coming.contains(&&**name));
            assert_eq!(found.len(), 5, "{told}");
            let bytes = 100 + 200_000 + 3 * MIB as u64 + 5 + 2 * 13;
            assert_eq!(counts["bytes_received"].as_u64(), Some(bytes), "{told}");
        } else {
            let would: Vec<_> = names(&told, "would");
            for name in &coming {
                assert!(would.iter().any(|would| would == name), "{name}: {told}");
            }
            assert!(told.contains("its bytes are others"), "{told}");
            assert_eq!(counts["bytes_received"], 0);
        }
    }
    assert_eq!(kept.map(inode), before);
    tree::compare(&setting.target(), &here).unwrap();
    let (code, counts, told) = sync(&setting, &[]);
    assert_eq!(
        (code, &counts["files"], &counts["adjusted"]),
        (Some(0), &json!(0), &json!(0)),
        "{told}"
    );
}

/// The other name keeps its mode and mtime.
#[test]
fn mode_and_mtime_of_a_hard_link_stay_under_its_other_name() {
    let (setting, here) = setting();
    let outside = setting.place.path().join("outside");
    fs::hard_link(here.join("small/mtime"), &outside).unwrap();
    let (code, counts, told) = sync(&setting, &[]);
    assert_eq!((code, &counts["files"]), (Some(0), &json!(6)), "{told}");
    assert_eq!(outside.metadata().unwrap().modified().unwrap(), moment(1_100_000_000));
    assert_eq!(outside.metadata().unwrap().nlink(), 1);
    tree::compare(&setting.target(), &here).unwrap();
}

/// Nobody can tell whether it is the same, and a get replaces what is here.
#[test]
fn file_that_can_not_be_read_here_comes() {
    let setting = Setting::start();
    setting.write_there("f", "bytes");
    let user = User::new().unwrap();
    let place = user.path().join("l");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("f"), "other").unwrap();
    user.own_all(place.clone()).unwrap();
    set_mode(place.join("f"), 0);
    let mut command = user.command("haul");
    let from = format!("haul://{}/", setting.at("s"));
    command.args(["sync", "--checksum", &from, "l"]).env("HAUL_CONFIG_DIR", user.path());
    assert_eq!(output_of(&mut command).status.code(), Some(0));
    assert_eq!(fs::read_to_string(place.join("f")).unwrap(), "bytes");
}

/// Its verdict comes while the file is hashed: threads read it, and no connection waits for them.
#[test]
fn connection_goes_on_while_a_large_file_is_read_here() {
    let setting = Setting::start();
    let here = setting.place.path().join("l");
    fs::create_dir(&here).unwrap();
    fs::create_dir_all(setting.target()).unwrap();
    // Sparse, so that only reading them takes time.
    for root in [&setting.target(), &here] {
        File::create(root.join("a-large")).unwrap().set_len(3 << 30).unwrap();
    }
    File::options().write(true).open(here.join("a-large")).unwrap().write_at(b"x", 5).unwrap();
    for number in 0..50 {
        setting.write_there(&format!("small{number}"), "x");
    }
    let mut command = haul_command();
    command.current_dir(setting.place.path());
    let from = format!("haul://{}/", setting.at("s"));
    let command = command.args(["sync", "--checksum", "--json", "--connections=1", &*from, "l"]);
    let client = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("small files come", || here.join("small49").exists());
    // All of them long before the large one is read.
    assert!(fs::metadata(here.join("a-large")).unwrap().blocks() < 1000);
    signal(&client, Signal::INT);
    assert_eq!(ended(client).status.code(), Some(130));
}

#[test]
fn receipt_has_lines_of_files_that_are_the_same() {
    let (setting, here) = setting();
    let receipt = setting.place.path().join("receipt");
    let (code, _, told) = sync(&setting, &["--receipt", "receipt"]);
    assert_eq!(code, Some(0), "{told}");
    let text = fs::read_to_string(receipt).unwrap();
    for (path, digest) in text.lines().map(|line| (&line[66..], &line[..64])) {
        let bytes = fs::read(here.join(path)).unwrap();
        assert_eq!(blake3::hash(&bytes).to_hex().as_str(), digest, "{path}");
    }
    let files = tree::compare(&setting.target(), &here).unwrap().files;
    assert_eq!(u64::try_from(text.lines().count()).unwrap(), files);
}
