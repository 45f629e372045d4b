//! `hauld --stdio` ends with its client, whatever the disk does, and leaves nothing behind that nobody needs.

use haul_tests::prelude::*;
use haul_tests::stdio::{Stdio, host, is_left};
use rustix::process::{Pid, kill_process};

fn root() -> (TempDir, PathBuf) {
    let place = TempDir::new().unwrap();
    let root = place.path().join("root");
    (place, root)
}

fn pid(pid: i32) -> Pid {
    Pid::from_raw(pid).unwrap()
}

/// Opens an upload and sends its first part.
fn interrupted(stdio: &mut Stdio, large: &Large) {
    let open = json!({
        "cmd": "open", "id": 1, "filename": "large", "filesize": large.bytes.len(),
        "fingerprint": large.fingerprint,
    });
    let (answer, _) = stdio.asks(&open, b"");
    let part = json!({
        "cmd": "part", "id": 2, "length": PART, "upload": answer["upload"], "offset": 0,
        "cv": large.cvs[0],
    });
    let answer = stdio.ask(&part, large.part(0));
    assert_eq!(answer["ack"], 2, "{answer}");
}

#[test]
fn interrupted_upload_is_kept_and_goes_on() {
    let (_place, root) = root();
    let large = Large::new(1);
    let mut stdio = Stdio::serving(&root, "one");
    interrupted(&mut stdio, &large);
    stdio.end().is_well();
    eventually("the lock is free", || !root.join(".haul/socket").exists());
    assert_eq!(fs::read_dir(root.join(".haul/partials")).unwrap().count(), 2);

    let mut stdio = Stdio::serving(&root, "one");
    let open = json!({
        "cmd": "open", "id": 1, "filename": "large", "filesize": large.bytes.len(),
        "fingerprint": large.fingerprint,
    });
    let (answer, bitmap) = stdio.asks(&open, b"");
    assert_eq!(bitmap[0].count_ones(), 1, "{answer}");
    for index in [1, 2] {
        let part = json!({
            "cmd": "part", "id": 1 + index, "length": large.part(index).len(),
            "upload": answer["upload"], "offset": index * PART, "cv": large.cvs[index],
        });
        let answer = stdio.ask(&part, large.part(index));
        assert_eq!(answer["ack"], 1 + index, "{answer}");
    }
    let commit =
        json!({"cmd": "commit", "id": 4, "upload": answer["upload"], "blake3": large.digest});
    let answer = stdio.ask(&commit, b"");
    assert_eq!(answer["answer"], 4, "{answer}");
    stdio.end().is_well();
    assert_eq!(fs::read(root.join("large")).unwrap(), large.bytes);
    is_left(&root);
}

/// A process that stands still is like a disk that does not answer.
#[test]
fn end_of_input_ends_the_process_though_the_disk_does_not_answer() {
    let (_place, root) = root();
    let mut stdio = Stdio::start(&["--grace", "300ms"]);
    stdio.greet(&json!({"root": root, "make": true}));
    stdio.hello("one");
    let host = pid(host(&root));
    kill_process(host, Signal::STOP).unwrap();
    stdio.send(&frame(&put(1, "file", b"x"), b"x"));
    stdio.closes_input();
    // The other process has standard error, too.
    let code = stdio.child.wait().unwrap().code();
    assert_eq!(code, Some(1));
    kill_process(host, Signal::CONT).unwrap();
    let end = stdio.ended();
    assert!(end.error.contains("the disk is not done"), "{end:?}");
    is_left(&root);
    // It came whole before the end, so it was stored.
    assert_eq!(fs::read(root.join("file")).unwrap(), b"x");
}

#[test]
fn process_ends_when_nobody_reads_its_output() {
    let (_place, root) = root();
    let mut stdio = Stdio::serving(&root, "one");
    stdio.closes_output();
    let end = stdio.ended();
    assert_eq!((end.code, end.error.as_str()), (Some(0), ""), "{end:?}");
    is_left(&root);
}

#[test]
fn signal_ends_it_in_order() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let (_place, root) = root();
        let mut stdio = Stdio::serving(&root, "one");
        stdio.put(1, "file", b"x");
        kill_process(Pid::from_child(&stdio.child), signal).unwrap();
        let end = stdio.ended();
        assert_eq!((end.code, end.error.as_str()), (Some(0), ""), "{end:?}");
        is_left(&root);
    }
}

#[test]
fn server_ends_when_the_process_before_it_is_killed() {
    let (_place, root) = root();
    let mut stdio = Stdio::serving(&root, "one");
    stdio.put(1, "file", b"x");
    let host = host(&root);
    stdio.child.kill().unwrap();
    stdio.child.wait().unwrap();
    is_left(&root);
    eventually("it is gone", || !Path::new(&format!("/proc/{host}")).exists());
}

#[test]
fn client_is_told_of_a_server_that_has_died() {
    let (_place, root) = root();
    let mut stdio = Stdio::serving(&root, "one");
    kill_process(pid(host(&root)), Signal::KILL).unwrap();
    let end = stdio.ended();
    assert_eq!(end.code, Some(1), "{end:?}");
    assert!(end.error.contains("the server has ended with"), "{end:?}");
    // The next one tidies up.
    let mut next = Stdio::serving(&root, "one");
    next.put(1, "file", b"x");
    next.end().is_well();
    is_left(&root);
}

#[test]
fn earlier_version_is_kept_and_the_one_before_it_removed() {
    let (place, root) = root();
    let hauld = binaries::get().hauld.clone();
    for text in ["one", "two", "three"] {
        let server = Hauld::start_at(&root, &place.path().join("log"), Command::new(&hauld), &[]);
        let mut server = server.unwrap();
        let source = place.path().join("source");
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("file"), text).unwrap();
        let target = format!("{}/site", server.address());
        haul().arg("publish").arg(&source).arg(&target).assert().success();
        server.signal(Signal::TERM).unwrap();
        server.wait().unwrap();
    }
    let mut stdio = Stdio::serving(&root, "one");
    stdio.put(1, "other", b"x");
    stdio.end().is_well();
    eventually("it has ended", || !root.join(".haul/socket").exists());
    assert_eq!(fs::read_dir(root.join(".haul/trees")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(root.join(".haul/trash")).unwrap().count(), 0);
    assert_eq!(fs::read(root.join("site/file")).unwrap(), b"three");
}
