//! A large file whose bytes somebody has changed at the server, and whose mtime is the old one again: `haul put` does not
//! take it for the file that it was.

use haul_tests::bytes::{counted, repeated};
use haul_tests::fake::{Fake, PART_SIZE, opened};
use haul_tests::prelude::*;
use std::os::unix::fs::FileExt;

const SIZE: usize = 20 << 20;

/// A large file that was put, and whose bytes differ at the server by now.
fn damaged() -> (Setting, Vec<u8>) {
    let setting = Setting::start_with(&["--durability", "group"]);
    let bytes = counted(SIZE);
    fs::write(setting.source().join("large"), &bytes).unwrap();
    setting.haul(&["put", "s/large", &setting.at("")]).assert().success();
    let there = setting.server.root().join("large");
    let mtime = fs::metadata(&there).unwrap().modified().unwrap();
    let file = File::options().write(true).open(&there).unwrap();
    file.write_all_at(b"damaged", 3 << 20).unwrap();
    file.set_modified(mtime).unwrap();
    (setting, bytes)
}

#[test]
fn file_that_was_damaged_at_the_server_is_sent_anew() {
    for (mode, other) in [(None, "nothing else"), (Some(0o600), "the mode as well")] {
        let (setting, bytes) = damaged();
        let there = setting.server.root().join("large");
        if let Some(mode) = mode {
            set_mode(&there, mode);
        }
        let told = setting.haul(&["put", "--json", "s/large", &setting.at("")]).assert().success();
        let told = last(&told.get_output().stdout);
        assert!(fs::read(&there).unwrap() == bytes, "{other}");
        assert_eq!((&told["files"], &told["unchanged"]), (&json!(1), &json!(0)), "{other}: {told}");
        assert_eq!((&told["bytes_sent"], &told["bytes_resumed"]), (&json!(SIZE), &json!(0)));
        // Nothing is sent of the file that is whole.
        let told = setting.haul(&["put", "--json", "s/large", &setting.at("")]).assert().success();
        let told = last(&told.get_output().stdout);
        assert_eq!((&told["unchanged"], &told["bytes_sent"]), (&json!(1), &json!(0)), "{told}");
    }
}

#[test]
fn source_of_a_file_that_was_damaged_at_the_server_goes_only_when_its_bytes_are_there() {
    let (setting, bytes) = damaged();
    let receipt = setting.place.path().join("receipt");
    let words = ["put", "--remove-source", "--receipt", receipt.to_str().unwrap(), "s/large"];
    setting.haul(&[&words[..], &[&setting.at("")]].concat()).assert().success();
    assert!(!setting.source().join("large").exists());
    let there = fs::read(setting.server.root().join("large")).unwrap();
    assert!(there == bytes);
    let digest = blake3::hash(&there).to_string();
    assert!(fs::read_to_string(&receipt).unwrap().starts_with(&digest));
}

/// Another file stands there with the same size and mtime, and an upload was interrupted before its commit: its parts are
/// not sent again, if the server says that it has them all the same.
#[test]
fn parts_of_an_interrupted_upload_are_committed_though_a_similar_file_stands_there() {
    for held in [&[0, 1, 2][..], &[]] {
        let (fake, source) = (Fake::start().unwrap(), TempDir::new().unwrap());
        fs::write(
            source.path().join("large"),
            vec![7; 2 * usize::try_from(PART_SIZE).unwrap() + 5],
        )
        .unwrap();
        let haul = haul_command()
            .current_dir(source.path())
            .args(["put", "large", &fake.address().unwrap(), "--connections", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut peer, _) = fake.greet().unwrap();
        let expect = |peer: &mut Peer, cmd: &str| {
            let (header, body) = peer.receive().unwrap();
            assert_eq!(header["cmd"], cmd, "{header}");
            (header, String::from_utf8_lossy(&body).into_owned())
        };
        let (open, _) = expect(&mut peer, "open");
        assert_eq!(open["replace"], Value::Null);
        opened(&mut peer, &open["id"], PART_SIZE, &[0, 1, 2]).unwrap();
        for (states, letter) in [(false, b"="), (true, b"d")] {
            let (check, body) = expect(&mut peer, "check");
            assert_eq!(body.contains("blake3"), states, "{body}");
            peer.send(&json!({"answer": check["id"], "length": 1}), letter).unwrap();
        }
        let (open, _) = expect(&mut peer, "open");
        assert_eq!(open["replace"], true);
        opened(&mut peer, &open["id"], PART_SIZE, held).unwrap();
        for _ in held.len()..3 {
            let (part, _) = expect(&mut peer, "part");
            peer.send(&json!({"ack": part["id"]}), b"").unwrap();
        }
        let (commit, _) = expect(&mut peer, "commit");
        peer.send(&json!({"answer": commit["id"]}), b"").unwrap();
        let output = ended(haul);
        assert_eq!(output.status.code(), Some(0));
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(told.contains("1 file, 2.00 MiB"), "{told}");
    }
}

/// The answer about a file that is there comes in the middle of the bytes of another one.
#[test]
fn files_that_are_there_are_asked_about_between_the_bytes_of_others() {
    let (server, place) = (server(), TempDir::new().unwrap());
    let source = place.path().join("s");
    fs::create_dir(&source).unwrap();
    let sevenfold: Vec<u8> = (0..=250).flat_map(|byte| [byte; 7]).collect();
    let large = |name: String, len: usize| {
        fs::write(source.join(name), repeated(&sevenfold, len)).unwrap();
    };
    for at in 0..8 {
        large(format!("b{at}"), 3 << 20);
    }
    let put =
        || haul().args(["put", "--connections", "1"]).arg(&source).arg(server.address()).assert();
    put().success();
    for at in 0..8 {
        large(format!("a{at}"), 9 << 20);
        large(format!("c{at}"), 9 << 20);
    }
    put().success().stdout(contains("8 unchanged"));
}
