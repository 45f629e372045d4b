//! A failing test prints the last client, and log and root of its servers.

use std::env;

use haul_tests::prelude::*;

/// Set in a process in which a test is to fail.
const FAIL: &str = "HAUL_TESTS_FAIL";

/// Whether this is the process in which the test is to fail.
fn is_to_fail() -> bool {
    env::var_os(FAIL).is_some()
}

/// Runs a test of this file in a process of its own in which it fails, and returns what is printed then.
fn printed(name: &str) -> String {
    let mut test = Command::new(env::current_exe().unwrap());
    let output = test.args(["--exact", &format!("failing::{name}")]).env(FAIL, "1").output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(101), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn has(text: &str, all: &[&str]) {
    for wanted in all {
        assert!(text.contains(wanted), "{wanted:?} is not in:\n{text}");
    }
}

#[test]
fn last_client_and_log_and_root_of_the_server_are_printed() {
    if is_to_fail() {
        let setting = Setting::start();
        setting.write("d/file", "12345");
        set_mode(setting.source().join("d/file"), 0o640);
        symlink("d/file", setting.source().join("link")).unwrap();
        setting.sync(&[]);
        setting.command("put", &["--connections", "many"]).assert().code(2);
        panic!("the reason why it fails");
    }
    let text = printed("last_client_and_log_and_root_of_the_server_are_printed");
    let client = [
        "/haul\" \"put\" \"--connections\" \"many\" ",
        "--- exit status: 2\n--- its standard output:\n--- its standard error:\n",
        "invalid value 'many'",
    ];
    let root = [
        "\ndirectory ",
        "\nfile               5 0640 \"s/d/file\"\n",
        "\nsymlink            6 0777 \"s/link\"\n",
        " 0700 \".haul\"\n",
    ];
    has(&text, &["the reason why it fails\n", "was running; its log:\n", "INFO serving root="]);
    has(&text, &client);
    has(&text, &root);
    assert_eq!(text.matches("--- last client").count(), 1, "{text}");
}

#[test]
fn client_that_was_only_waited_for_and_server_that_had_ended_are_printed() {
    if is_to_fail() {
        let mut server = server();
        let mut haul = haul_command();
        haul.args(["put", "-", server.address(), "--as", "x"]).stdin(Stdio::piped());
        let mut haul = haul.stdout(Stdio::piped()).spawn().unwrap();
        haul.stdin.take().unwrap().write_all(b"123").unwrap();
        let output = ended(haul);
        server.signal(Signal::TERM).unwrap();
        server.wait().unwrap();
        assert!(!output.status.success(), "it has succeeded");
    }
    let text = printed("client_that_was_only_waited_for_and_server_that_had_ended_are_printed");
    let client = ["--- last client: ", "--- exit status: 0\n--- its standard output:\n1 file"];
    has(&text, &client);
    has(&text, &["it has succeeded\n", "had ended with exit status: 0; its log:\n"]);
    has(&text, &["\nfile               3 "]);
}
