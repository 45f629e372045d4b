//! A `hauld --stdio` among others: what it says and to whom, and how it makes room.

use haul_tests::over_ssh::OverSsh;
use haul_tests::prelude::*;
use haul_tests::stdio::Stdio as Pipes;

fn root() -> (TempDir, PathBuf) {
    let place = TempDir::new().unwrap();
    let root = place.path().join("root");
    (place, root)
}

#[test]
fn client_that_ends_within_a_frame_is_no_warning() {
    let (_place, root) = root();
    let mut stdio = Pipes::serving(&root, "one");
    let bytes = frame(&put(1, "f", b"xyz"), b"xyz");
    stdio.send(&bytes[..bytes.len() - 1]);
    let end = stdio.end();
    assert_eq!((end.code, end.error.as_str()), (Some(0), ""));
}

/// A server of this root that listens.
fn listening(root: &Path) -> Child {
    let mut command = hauld_command();
    command.args(["--listen", "127.0.0.1:0", "--root"]).arg(root);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn server_that_begins_waits_shortly_for_one_that_ends() {
    let (_place, root) = root();
    let mut stdio = Pipes::serving(&root, "one");
    let started = Instant::now();
    let refused = listening(&root).wait_with_output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(started.elapsed() > Duration::from_millis(1500), "it has waited");
    let started = Instant::now();
    let mut hauld = listening(&root);
    eventually("it waits", || started.elapsed() > Duration::from_millis(500));
    assert_eq!(hauld.try_wait().unwrap(), None);
    stdio.put(1, "f", b"x");
    stdio.end().is_well();
    let mut line = String::new();
    BufReader::new(hauld.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on"), "{line}");
    hauld.kill().unwrap();
    hauld.wait().unwrap();
}

#[test]
fn directory_of_another_server_is_refused_in_a_draft_as_elsewhere() {
    let machine = OverSsh::new();
    machine.write("sub/.haul/f", "x");
    machine.write("g", "x");
    let words = ["publish", "s", "box:www/site"];
    let _ =
        machine.haul(&words).assert().failure().stderr(contains("`.haul` are those of servers"));
    assert!(!machine.home().join("www/site").exists());
}

#[test]
fn dry_run_to_a_missing_directory_tells_what_the_run_would_do() {
    let machine = OverSsh::new();
    machine.write("f", "x");
    let told = machine.haul(&["put", "--dry-run", "s", "box:in"]).assert().code(1);
    let _ = told.stderr(contains(
        "there is no directory in at box; without --dry-run, haul makes it and sends everything",
    ));
    let verify = machine.haul(&["verify", "s", "box:in"]).assert().code(1);
    let _ = verify.stderr(contains("there is no directory in at box").and(contains("makes").not()));
    assert!(!machine.home().join("in").exists());
}
