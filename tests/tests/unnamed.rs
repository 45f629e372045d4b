//! Entries of the server whose paths are over 4,096 bytes: no request can name them, and nobody takes them for none.

use haul_tests::prelude::*;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags};

/// Directories above one another, with a path that a request can still name.
const LEVELS: usize = 16;

/// The lowest of the directories, which are made if they are missing.
fn lowest(above: &Path) -> OwnedFd {
    let name = "x".repeat(250);
    let open = |at: &OwnedFd, name: &str| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        rustix::fs::openat(at, name, flags, Mode::empty()).unwrap()
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut at = rustix::fs::openat(CWD, above, flags, Mode::empty()).unwrap();
    for _ in 0..LEVELS {
        // It may be there.
        let _ = rustix::fs::mkdirat(&at, &*name, Mode::from_raw_mode(0o755));
        at = open(&at, &name);
    }
    at
}

/// The name of an entry in the lowest directory that no request can name.
fn unnamed() -> String {
    "y".repeat(200)
}

fn make_unnamed(above: &Path) {
    let flags = OFlags::WRONLY | OFlags::CREATE;
    let mode = Mode::from_raw_mode(0o644);
    rustix::fs::openat(lowest(above), &*unnamed(), flags, mode).unwrap();
}

fn has_unnamed(above: &Path) -> bool {
    rustix::fs::accessat(
        lowest(above),
        &*unnamed(),
        rustix::fs::Access::EXISTS,
        rustix::fs::AtFlags::empty(),
    )
    .is_ok()
}

/// A server whose `s` has an entry that no request can name, and one that can be named.
fn setting() -> Setting {
    let setting = Setting::start();
    setting.write_there("a", "a");
    make_unnamed(&setting.target());
    setting
}

const TOLD: &str = "1 entry in it can't be named in a request";

#[test]
fn entry_that_no_request_can_name_is_a_failure_of_get_and_the_others_come() {
    let setting = setting();
    let from = format!("haul://{}", setting.at("s"));
    setting.haul(&["get", &from, "d"]).assert().code(1).stderr(contains(TOLD));
    assert_eq!(fs::read(setting.place.path().join("d/s/a")).unwrap(), b"a");
}

#[test]
fn entry_here_that_the_server_can_not_list_is_not_removed() {
    let setting = setting();
    let from = format!("haul://{}", setting.at("s"));
    setting.haul(&["get", &from, "d"]).assert().code(1);
    let here = setting.place.path().join("d/s");
    make_unnamed(&here);
    fs::write(here.join("extra"), "x").unwrap();
    setting
        .haul(&["sync", "--delete", "--force-delete", &from, "d"])
        .assert()
        .code(1)
        .stderr(contains(TOLD));
    assert!(has_unnamed(&here), "removed though the server has it");
    assert!(!here.join("extra").exists());
}

#[test]
fn list_and_sync_to_the_server_tell_of_an_entry_that_no_request_can_name() {
    let setting = setting();
    let at = setting.at("s");
    setting.haul(&["ls", "-R", &at]).assert().code(1).stderr(contains(TOLD));
    let empty = setting.place.path().join("e");
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("a"), "a").unwrap();
    setting
        .haul(&["sync", "--delete", "e/", &format!("haul://{at}/")])
        .assert()
        .code(1)
        .stderr(contains(TOLD));
    assert!(has_unnamed(&setting.target()));
}

#[test]
fn copy_over_http_tells_of_an_entry_that_no_request_can_name() {
    let setting = setting();
    let address = setting.server.address().to_owned();
    let reply = haul_tests::http::ask(&address, "COPY /s", "Destination: /copy\r\n", b"");
    assert_eq!(reply.status, 207, "{}", reply.text());
    assert!(reply.text().contains("not copied"), "{}", reply.text());
    assert_eq!(fs::read(setting.server.root().join("copy/a")).unwrap(), b"a");
}

/// A list over HTTP goes on without it, and says so: a client that copies what is listed, and removes the rest, can know.
#[test]
fn lists_over_http_tell_how_many_entries_they_leave_out() {
    let setting = setting();
    let address = setting.server.address().to_owned();
    let above = format!("/s/{}", format!("{}/", "x".repeat(250)).repeat(LEVELS));
    let list = haul_tests::http::ask(&address, &format!("GET {above}?json"), "", b"");
    let list: Value = serde_json::from_str(&list.text()).unwrap();
    assert_eq!(list, json!({"entries": [], "left_out": 1}));
    let told = "1 entry is left out, because no request can name it.";
    let page = haul_tests::http::ask(&address, &format!("GET {above}"), "", b"").text();
    assert!(page.contains(told) && !page.contains("Nothing is here yet"), "{page}");
    let found = haul_tests::http::ask(&address, &format!("PROPFIND {above}"), "Depth: 1\r\n", b"");
    let end = format!("<D:responsedescription>{told}</D:responsedescription></D:multistatus>\n");
    assert!(found.text().ends_with(&end), "{}", found.text());
    // Of others nothing is said.
    for request in ["GET /s/", "GET /s/?json", "PROPFIND /s/"] {
        let whole = haul_tests::http::ask(&address, request, "Depth: 1\r\n", b"").text();
        assert!(!whole.contains("left out") && !whole.contains("left_out"), "{whole}");
    }
}
