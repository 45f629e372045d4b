//! The audit log of a disk that fails: each change that may have happened has its line.

use std::fs;

use fail::FailScenario;
use haul_protocol::{LinkTarget, Name, Op};
use haul_server::Durability;
use serde_json::Value;

use super::client::{Client, Setup, send_large};

#[test]
fn change_that_has_happened_and_may_not_last_has_a_line_that_says_so() {
    let scenario = FailScenario::setup();
    let place = tempfile::TempDir::new().unwrap();
    let path = place.path().join("audit");
    let setup = Setup::with(Durability::Group, |config| config.audit = Some(path.clone()));
    let mut client = Client::connect(&setup);
    let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
    let target = LinkTarget::parse(b"small").unwrap();
    let (from, to) = (name("l"), name("m"));
    let requests = [
        ("file", None),
        ("symlink", Some(Op::Symlink { name: from.clone(), target, mtime: None })),
        ("rename", Some(Op::Rename { name: from, to: to.clone(), replace: false })),
        ("remove", Some(Op::Remove { name: to })),
    ];
    for (event, op) in requests {
        fail::cfg("disk::fsync_directory", "return(EIO)").unwrap();
        let answer = match op {
            Some(op) => client.ask(&op, b"").0,
            None => client.put("small", b"new"),
        };
        fail::remove("disk::fsync_directory");
        assert_eq!(Client::code(&answer), "uncertain", "{event}");
        let told = told(&path);
        let last_two = &told[told.len() - 2..];
        assert_eq!(
            (&last_two[0]["event"], &last_two[0]["uncertain"]),
            (&event.into(), &true.into())
        );
        assert_eq!(last_two[1]["code"], "uncertain");
    }
    assert_eq!(Client::code(&client.put("small", b"new")), "ack");
    assert!(told(&path).last().unwrap()["uncertain"].is_null());
    // A change that has not happened has none.
    fail::cfg("disk::rename", "1*return(EIO)").unwrap();
    assert_eq!(Client::code(&client.put("small", b"newer")), "io");
    fail::remove("disk::rename");
    assert_eq!(told(&path).last().unwrap()["code"], "io");
    // A large file, too.
    let before = files(&path);
    fail::cfg("disk::fsync_directory", "return(EIO)").unwrap();
    assert_eq!(send_large(&mut client, 7).0, "uncertain");
    fail::remove("disk::fsync_directory");
    assert_eq!(files(&path), before + 1);
    drop(setup);
    assert_eq!(told(&path).last().unwrap()["event"], "stop");
    scenario.teardown();
}

fn told(path: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn files(path: &std::path::Path) -> usize {
    told(path).iter().filter(|line| line["event"] == "file").count()
}
