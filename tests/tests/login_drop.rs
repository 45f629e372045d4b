//! A large file of a drop account goes on after an interruption, though each run has a fresh directory.

use haul_tests::login::{Pair, text};
use haul_tests::prelude::*;

use crate::login_secret::begin;

const SIZE: u64 = 12 << 20;

/// The file in the root of the account, which is there once.
fn only(pair: &Pair) -> PathBuf {
    let runs = fs::read_dir(pair.server.root().join("alice")).unwrap();
    let files = runs.map(|run| run.unwrap().path().join("big"));
    let files: Vec<_> = files.filter(|file| file.exists()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// Puts the file again, which sends none of the parts that the server holds.
fn goes_on(pair: &Pair, token: &str) {
    let held = pair.server.partials().unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
    let output = pair.haul(&["put", "big", "%", "--json"]).env("HAUL_TOKEN", token.trim()).output();
    assert!(output.status.success(), "{output:?}");
    let summary = last(&output.stdout);
    let [sent, resumed] =
        ["bytes_sent", "bytes_resumed"].map(|field| summary[field].as_u64().unwrap());
    assert!(resumed >= 1 << 20 && sent + resumed == SIZE, "{}", text(&output.stdout));
    let big = fs::read(pair.directory.path().join("big")).unwrap();
    assert!(fs::read(only(pair)).unwrap() == big);
    // The next run is a drop of its own.
    let first = only(pair);
    fs::remove_file(&first).unwrap();
    let output = pair.haul(&["put", "big", "%"]).env("HAUL_TOKEN", token.trim()).output();
    assert!(output.status.success(), "{output:?}");
    assert_ne!(only(pair), first);
}

#[test]
fn killed_client_of_a_drop_account_goes_on_where_it_stopped() {
    let (pair, token) = Pair::start("drop", &[]);
    pair.haul(&["login", "%"]).write_stdin(token.clone()).assert().success();
    let mut running = begin(&pair);
    running.kill().unwrap();
    running.wait().unwrap();
    goes_on(&pair, &token);
}

#[test]
fn killed_server_goes_on_with_the_file_of_a_drop_account() {
    let (mut pair, token) = Pair::start("drop", &[]);
    pair.haul(&["login", "%"]).write_stdin(token.clone()).assert().success();
    let mut running = begin(&pair);
    pair.server.signal(Signal::KILL).unwrap();
    pair.server.wait().unwrap();
    running.kill().unwrap();
    running.wait().unwrap();
    let (root, config) = (pair.server.root().to_owned(), pair.directory.path().join("server"));
    let words = ["--durability", "none", "--config-dir", config.to_str().unwrap()];
    let log = pair.directory.path().join("log");
    let again = Hauld::start_at(&root, &log, hauld_command(), &words).unwrap();
    pair.server.becomes(again);
    goes_on(&pair, &token);
}

/// The first run is still at work: the second one has the file for its own directory.
#[test]
fn second_run_of_a_drop_account_has_a_large_file_in_its_own_directory() {
    let pair = Pair::logged_in("drop", &[]);
    let mut running = begin(&pair);
    let output = pair.haul(&["put", "big", "%", "--as", "big"]).output();
    assert!(output.status.success(), "{output:?}");
    let big = fs::read(pair.directory.path().join("big")).unwrap();
    assert!(fs::read(only(&pair)).unwrap() == big);
    running.kill().unwrap();
    running.wait().unwrap();
}
