//! The congestion control that a user asks for, and lines that `-v` tells of.

use haul_tests::prelude::*;

fn put(options: &[&str]) -> Assert {
    let setting = Setting::start();
    setting.write("a", "a");
    setting.command("put", &[&["-v"], options].concat()).assert()
}

#[test]
fn congestion_control_that_is_asked_for_is_used_and_told() {
    // Every process may have it.
    let line = predicate::str::is_match("connection 1: reno, round trip [0-9.]+ ms, 0 retransmits");
    put(&["--congestion", "reno"]).code(0).stderr(line.unwrap());
}

#[test]
fn congestion_control_that_can_not_be_had_is_told_once_and_nothing_fails() {
    let said =
        "haul: congestion control `nonsense` can't be had, and is not used: the system has no";
    put(&["--congestion", "nonsense", "--connections", "3"])
        .code(0)
        .stderr(contains(said).count(1).and(contains("connection 1: reno")));
}

#[test]
fn line_within_the_machine_is_nobodys_business_unless_asked_for() {
    put(&[]).code(0).stderr(contains("round trip").not());
}

/// Without a line there is nothing to control.
#[test]
fn unix_socket_has_no_congestion_control() {
    let (source, directory) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::write(source.path().join("a"), "a").unwrap();
    let socket = format!("unix:{}", directory.path().join("socket").display());
    let _server = server_with(&["--listen", &socket]);
    haul()
        .args(["put", "-v", "--congestion", "reno"])
        .arg(source.path().join("a"))
        .arg(&socket)
        .assert()
        .code(0)
        .stderr(contains("a Unix socket has none").and(contains("round trip").not()));
}
