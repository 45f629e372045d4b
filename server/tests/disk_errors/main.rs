//! Each operation on the disk fails once, with ENOSPC and with EIO: the client is told clearly, the
//! old file is untouched, nothing is left behind, and the server goes on.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::fs;
use std::io::Write;

use fail::FailScenario;
use haul_protocol::{Answer, Attributes, Digest, LinkTarget, Mtime, Name, Op, encode};
use haul_server::Durability;

mod audit;
mod client;
mod ordered;
mod rename;
mod send;
mod slow;

use client::{Client, Setup, large, leftovers, open_large, send_large, send_large_when_free};

#[test]
fn every_operation_fails_for_a_small_file() {
    let scenario = FailScenario::setup();
    for (durability, named) in [
        (Durability::None, true),
        (Durability::None, false),
        (Durability::Group, true),
        (Durability::Group, false),
    ] {
        let setup = if named { Setup::named(durability) } else { Setup::new(durability) };
        let mut client = Client::connect(&setup);
        for (operation, skip, named_only, group_only) in [
            ("open", 0, None, false),
            ("write", 0, None, false),
            ("close", 0, Some(true), false),
            // The final name, and the one that it has for a moment because that is taken.
            ("link", 0, Some(false), false),
            ("link", 1, Some(false), false),
            ("rename", 0, None, false),
            ("fsync", 0, None, true),
        ] {
            if group_only && durability == Durability::None
                || named_only.is_some_and(|only| only != named)
            {
                continue;
            }
            for (error, code) in [("ENOSPC", "no_space"), ("EIO", "io")] {
                // What close(2) says is told as it is.
                let code = if operation == "close" { "io" } else { code };
                let point = format!("disk::{operation}");
                let action = match skip {
                    0 => format!("1*return({error})"),
                    skip => format!("{skip}*off->1*return({error})"),
                };
                fail::cfg(&point, &action).unwrap();
                let answer = client.put("small", b"new");
                let what = format!("{durability:?} {named} {point} {skip} {error}");
                assert_eq!(Client::code(&answer), code, "{what}");
                assert_eq!(setup.read("small"), b"old", "{what}");
                assert_eq!(leftovers(setup.root.path()), 0, "{what}");
                fail::remove(&point);
                // The same connection goes on, and so does everything else.
                assert_eq!(Client::code(&client.put("other", b"x")), "ack");
                assert_eq!(setup.read("other"), b"x");
            }
        }
        assert_eq!(Client::code(&client.put("small", b"new")), "ack");
        assert_eq!(setup.read("small"), b"new");
    }
    scenario.teardown();
}

/// What only the file system can know is told with the code that says what to do: `io` is for a disk that fails.
#[test]
fn what_the_file_system_does_not_take_is_told_by_its_own_code() {
    let scenario = FailScenario::setup();
    for durability in [Durability::None, Durability::Group] {
        let setup = Setup::new(durability);
        let mut client = Client::connect(&setup);
        let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
        let link = Op::Symlink {
            name: name("symlink"),
            target: LinkTarget::parse(&[b'x'; 4095]).unwrap(),
            mtime: None,
        };
        let mkdir = Op::Mkdir { name: name("directory"), mode: None, replace: false };
        for (operation, error, op, code, message) in [
            ("symlink", "ENAMETOOLONG", &link, "bad_name", "target of a symlink"),
            ("symlink", "EPERM", &link, "symlink", "has no symlinks"),
            ("symlink", "EROFS", &link, "permission", "read-only"),
            ("rename", "ENAMETOOLONG", &link, "bad_name", "no name that is so long"),
            ("mkdir", "ENAMETOOLONG", &mkdir, "bad_name", "no name that is so long"),
            ("mkdir", "EROFS", &mkdir, "permission", "read-only"),
        ] {
            // A directory is tried in two ways.
            fail::cfg(format!("disk::{operation}"), &format!("2*return({error})")).unwrap();
            let (answer, _) = client.ask(op, b"");
            fail::remove(format!("disk::{operation}"));
            let what = format!("{durability:?} {operation} {error}");
            assert_eq!(Client::code(&answer), code, "{what}");
            let Answer::Refused { refusal, .. } = answer else { panic!("{what}") };
            assert!(refusal.message.contains(message), "{what}: {}", refusal.message);
            assert_eq!(leftovers(setup.root.path()), 0, "{what}");
        }
        for (operation, error, code) in [
            ("write", "EFBIG", "too_large"),
            ("open", "EMFILE", "busy"),
            ("open", "EROFS", "permission"),
        ] {
            fail::cfg(format!("disk::{operation}"), &format!("1*return({error})")).unwrap();
            let answer = client.put("small", b"new");
            fail::remove(format!("disk::{operation}"));
            assert_eq!(Client::code(&answer), code, "{durability:?} {operation} {error}");
            let Answer::Refused { refusal, .. } = answer else { panic!() };
            assert_eq!(refusal.retry, code == "busy");
            assert_eq!(setup.read("small"), b"old");
        }
        assert_eq!(Client::code(&client.ask(&link, b"").0), "ack");
        assert_eq!(Client::code(&client.ask(&mkdir, b"").0), "ack");
    }
    scenario.teardown();
}

/// The file is visible, but whether it would survive is not known: told as what it is.
#[test]
fn directory_that_cannot_be_flushed_is_uncertain() {
    let scenario = FailScenario::setup();
    let setup = Setup::new(Durability::Group);
    let mut client = Client::connect(&setup);
    fail::cfg("disk::fsync_directory", "1*return(EIO)").unwrap();
    let answer = client.put("small", b"new");
    assert_eq!(Client::code(&answer), "uncertain");
    let Answer::Refused { refusal, .. } = &answer else { panic!("{answer:?}") };
    assert!(refusal.retry);
    assert_eq!(setup.read("small"), b"new");
    assert_eq!(Client::code(&client.put("small", b"new")), "ack");
    scenario.teardown();
}

#[test]
fn every_operation_fails_for_a_large_file() {
    let scenario = FailScenario::setup();
    for durability in [Durability::None, Durability::Group] {
        let setup = Setup::new(durability);
        let mut first = 0;
        for (operation, skip, group_only) in [
            ("open", 0, false),
            ("write", 2, false),
            ("append", 2, false),
            ("append", 4, false),
            ("rename", 0, false),
            ("fsync", 0, true),
        ] {
            if group_only && durability == Durability::None {
                continue;
            }
            for (error, code) in [("ENOSPC", "no_space"), ("EIO", "io")] {
                first += 1;
                let what = format!("{durability:?} {operation} {skip} {error}");
                let mut client = Client::connect(&setup);
                let point = format!("disk::{operation}");
                let action = match skip {
                    0 => format!("1*return({error})"),
                    skip => format!("{skip}*off->1*return({error})"),
                };
                fail::cfg(&point, &action).unwrap();
                let (refused, bytes) = send_large(&mut client, first);
                assert_eq!(refused, code, "{what}");
                assert_eq!(setup.read("large"), b"old", "{what}");
                fail::remove(&point);
                // The next run goes on with what is held, and gets it done.
                drop(client);
                let next = send_large_when_free(&setup, first);
                assert_eq!(next, "answer", "{what}");
                assert_eq!(setup.read("large"), bytes, "{what}");
                fs::write(setup.root.path().join("large"), "old").unwrap();
            }
        }
    }
    scenario.teardown();
}

/// The kernel drops what it could not write, and a second flush finds nothing to do: nothing that was
/// held before a flush failed is offered again.
#[test]
fn failed_flush_is_never_tried_again() {
    let scenario = FailScenario::setup();
    let setup = Setup::new(Durability::Group);
    let mut client = Client::connect(&setup);
    fail::cfg("disk::fsync", "1*return(EIO)").unwrap();
    assert_eq!(send_large(&mut client, 1).0, "io");
    let mut client = Client::connect(&setup);
    let (answer, held) = client.ask(&open_large(1, &large(1)), b"");
    assert!(matches!(answer, Answer::Answered { .. }), "{answer:?}");
    assert_eq!(held, b"", "parts are offered whose flush has failed");
    scenario.teardown();
}

/// A commit that may not be durable is not agreed to afterwards, as long as the disk fails.
#[test]
fn uncertain_commit_stays_uncertain_until_it_is_flushed() {
    let scenario = FailScenario::setup();
    let setup = Setup::new(Durability::Group);
    let mut client = Client::connect(&setup);
    fail::cfg("disk::fsync_directory", "return(EIO)").unwrap();
    fail::cfg("disk::syncfs", "return(EIO)").unwrap();
    let (first, bytes) = send_large(&mut client, 1);
    assert_eq!(first, "uncertain");
    assert_eq!(send_large(&mut client, 1).0, "uncertain");
    fail::remove("disk::fsync_directory");
    fail::remove("disk::syncfs");
    assert_eq!(send_large(&mut client, 1).0, "answer");
    assert_eq!(setup.read("large"), bytes);
    scenario.teardown();
}

/// A half-written file that cannot be removed is told in the log, and swept at the next start.
#[test]
fn unlink_that_fails_harms_nothing() {
    let scenario = FailScenario::setup();
    let setup = Setup::named(Durability::Group);
    let mut client = Client::connect(&setup);
    fail::cfg("disk::write", "1*return(EIO)").unwrap();
    fail::cfg("disk::unlink", "1*return(EIO)").unwrap();
    assert_eq!(Client::code(&client.put("small", b"new")), "io");
    assert_eq!(setup.read("small"), b"old");
    assert_eq!(leftovers(setup.root.path()), 1);
    assert_eq!(Client::code(&client.put("small", b"new")), "ack");
    scenario.teardown();
}

/// Trap `close_or_fsync_error_dropped`.
#[test]
fn close_or_fsync_error_dropped() {
    let scenario = FailScenario::setup();
    for point in ["disk::close", "disk::fsync"] {
        let setup = Setup::named(Durability::Group);
        let mut client = Client::connect(&setup);
        fail::cfg(point, "1*return(EIO)").unwrap();
        assert_eq!(Client::code(&client.put("small", b"new")), "io", "{point}");
        assert_eq!(setup.read("small"), b"old", "{point}");
    }
    scenario.teardown();
}

/// A flush that goes on until the last ack has been repeated; the real one follows.
#[test]
fn slow_flush_repeats_the_last_ack() {
    let scenario = FailScenario::setup();
    let setup = Setup::new(Durability::Group);
    let mut client = Client::connect(&setup);
    assert_eq!(Client::code(&client.put("small", b"1")), "ack");
    fail::cfg("disk::fsync", "pause").unwrap();
    client.id += 1;
    let mut out = Vec::new();
    let op = Op::Mkdir { name: Name::parse(b"d").unwrap(), mode: None, replace: false };
    encode::request(client.id.into(), 0, &op, &mut out).unwrap();
    client.id += 1;
    let bytes = b"slow";
    let op = Op::Put {
        name: Name::parse(b"small").unwrap(),
        size: 4,
        digest: Digest::of(bytes),
        attributes: Attributes::default(),
    };
    encode::request(client.id.into(), 4, &op, &mut out).unwrap();
    out.extend_from_slice(bytes);
    client.stream.write_all(&out).unwrap();
    let mut last = 1;
    while last < 3 {
        let (Answer::Ack(id), _) = client.receive() else { panic!("refused") };
        let id = id.get();
        // However the two were grouped, the flush goes on only when an ack has been repeated.
        if id == last {
            fail::cfg("disk::fsync", "off").unwrap();
        }
        assert!(id >= last, "{id} after {last}");
        last = id;
    }
    scenario.teardown();
}

/// Requests for a directory and three files in it.
fn new_directory(first: u64) -> Vec<u8> {
    let mkdir = Op::Mkdir { name: Name::parse(b"new").unwrap(), mode: Some(0o755), replace: false };
    let mut out = Vec::new();
    encode::request(first.into(), 0, &mkdir, &mut out).unwrap();
    for (id, name) in (first + 1..).zip(["new/a", "new/b", "new/c"]) {
        let put = Op::Put {
            name: Name::parse(name.as_bytes()).unwrap(),
            size: 5,
            digest: Digest::of(b"bytes"),
            attributes: Attributes { mode: Some(0o644), mtime: Some(Mtime { s: 1, ns: 2 }) },
        };
        encode::request(id.into(), 5, &put, &mut out).unwrap();
        out.extend_from_slice(b"bytes");
    }
    out
}

/// Nothing of it is published: which of its files could not be flushed nobody knows.
#[test]
fn new_directory_that_cannot_be_flushed_is_not_published() {
    let scenario = FailScenario::setup();
    let setup = Setup::new(Durability::Group);
    let mut client = Client::connect(&setup);
    fail::cfg("disk::syncfs", "1*return(EIO)").unwrap();
    client.stream.write_all(&new_directory(1)).unwrap();
    for expected in 1..=4 {
        let (refused, _) = client.receive();
        assert!(
            matches!(refused, Answer::Refused { id, .. } if id.get() == expected),
            "{refused:?}"
        );
        assert_eq!(Client::code(&refused), "io");
    }
    assert!(!setup.root.path().join("new").exists());
    assert_eq!(leftovers(setup.root.path()), 0);
    client.stream.write_all(&new_directory(5)).unwrap();
    while !matches!(client.receive().0, Answer::Ack(id) if id.get() == 8) {}
    for name in ["new/a", "new/b", "new/c"] {
        assert_eq!(setup.read(name), b"bytes", "{name}");
    }
    scenario.teardown();
}

/// A file that can't be written into a new directory is missing there, and only that one.
#[test]
fn no_room_in_a_new_directory_costs_that_file_only() {
    let scenario = FailScenario::setup();
    for (operation, code) in [("write", "no_space"), ("times", "no_space"), ("close", "io")] {
        let setup = Setup::named(Durability::None);
        let mut client = Client::connect(&setup);
        let error = if operation == "close" { "EIO" } else { "ENOSPC" };
        // In the new directory, and then where it belongs.
        fail::cfg(format!("disk::{operation}"), &format!("1*off->2*return({error})")).unwrap();
        client.stream.write_all(&new_directory(1)).unwrap();
        let (refused, _) = client.receive();
        assert!(
            matches!(refused, Answer::Refused { id, .. } if id.get() == 3),
            "{operation}: {refused:?}"
        );
        assert_eq!(Client::code(&refused), code, "{operation}");
        // What had been taken before it is published first, and may be acknowledged by itself.
        while !matches!(client.receive().0, Answer::Ack(id) if id.get() == 4) {}
        fail::remove(format!("disk::{operation}"));
        let there: Vec<bool> = ["new/a", "new/b", "new/c"]
            .iter()
            .map(|name| fs::read(setup.root.path().join(name)).is_ok_and(|read| read == b"bytes"))
            .collect();
        assert_eq!(there, [true, false, true], "{operation}");
        assert_eq!(leftovers(setup.root.path()), 0, "{operation}");
    }
    scenario.teardown();
}

#[test]
fn digest_that_can_not_be_kept_fails_no_file() {
    let scenario = FailScenario::setup();
    let setup = Setup::new(Durability::Group);
    let mut client = Client::connect(&setup);
    let bytes = vec![7; 300_000];
    for error in ["ENOSPC", "EPERM", "EIO", "none"] {
        fail::cfg("disk::keep_digest", &format!("1*return({error})")).unwrap();
        if error == "none" {
            fail::remove("disk::keep_digest");
        }
        let op = Op::Put {
            name: Name::parse(error.as_bytes()).unwrap(),
            size: bytes.len() as u64,
            digest: Digest::of(&bytes),
            attributes: Attributes { mode: Some(0o644), mtime: Some(Mtime { s: 1, ns: 0 }) },
        };
        assert_eq!(Client::code(&client.ask(&op, &bytes).0), "ack", "{error}");
        assert_eq!(setup.read(error), bytes, "{error}");
        let mut value = [0; 100];
        let path = setup.root.path().join(error);
        let kept = rustix::fs::getxattr(path, "user.haul.blake3", &mut value[..]);
        assert_eq!(kept.ok(), (error == "none").then_some(60), "{error}");
    }
    scenario.teardown();
}
