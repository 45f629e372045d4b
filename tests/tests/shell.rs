//! `haul shell`: the prompt on a terminal, and commands from a pipe.

use std::fs;

use assert_cmd::Command as Assert;
use haul_tests::binaries;
use haul_tests::hauld::Hauld;
use predicates::prelude::*;
use tempfile::TempDir;

fn shell(server: &Hauld, directory: &TempDir, input: &str) -> assert_cmd::assert::Assert {
    Assert::new(&binaries::get().haul)
        .current_dir(directory)
        .args(["shell", server.address()])
        .write_stdin(input)
        .assert()
}

#[test]
fn piped_commands_are_obeyed() {
    let server = Hauld::start(&binaries::get().hauld, &[]).unwrap();
    let source = TempDir::new().unwrap();
    fs::create_dir(source.path().join("dir")).unwrap();
    for name in ["a", "b c", "dir/d"] {
        fs::write(source.path().join(name), name).unwrap();
    }
    shell(&server, &source, "help\n\nput a 'b c'\nput dir\n")
        .success()
        .stdout(predicate::str::contains("put FILE...").and(predicate::str::contains("2 files")));
    for name in ["a", "b c", "dir/d"] {
        assert_eq!(fs::read_to_string(server.root().join(name)).unwrap(), name);
    }
}

#[test]
fn mistakes_are_named_and_the_rest_goes_on() {
    let server = Hauld::start(&binaries::get().hauld, &[]).unwrap();
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("a"), "x").unwrap();
    shell(&server, &source, "get a\nput missing\nput\nput a\nquit\nput b\n").code(1).stderr(
        predicate::str::contains("`get` is not a command")
            .and(predicate::str::contains("missing: could not read"))
            .and(predicate::str::contains("put what?"))
            .and(predicate::str::contains("haul: b").not()),
    );
    assert!(server.root().join("a").exists());
}

/// `script` gives it a terminal, where there is a prompt.
#[test]
fn prompt_is_shown_on_a_terminal() {
    let server = Hauld::start(&binaries::get().hauld, &[]).unwrap();
    let source = TempDir::new().unwrap();
    fs::write(source.path().join("a"), "x").unwrap();
    let command = format!("{} shell {}", binaries::get().haul.display(), server.address());
    Assert::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(&source)
        .env("TERM", "xterm")
        .write_stdin("put a\rquit\r")
        .assert()
        .success()
        .stdout(predicate::str::contains(">>: ").and(predicate::str::contains("1 file,")));
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"x");
}
