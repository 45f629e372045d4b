//! Resumable uploads over HTTP whose bytes can't be flushed.

use std::io::{Read, Write};
use std::net::TcpStream;

use fail::FailScenario;
use haul_server::Durability;

use crate::client::Setup;

const TUS: &str = "Tus-Resumable: 1.0.0\r\n";

/// `filename` is `new`.
const NAMED: &str = "Upload-Metadata: filename bmV3\r\n";

/// A request over a connection of its own; returns the answer's status and head.
fn ask(setup: &Setup, first: &str, fields: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(&setup.address).unwrap();
    let head = format!(
        "{first} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
}

/// Begins an upload; returns its address.
fn begin(setup: &Setup, to: &str, fields: &str) -> String {
    let (status, head) = ask(setup, &format!("POST /.haul/tus/{to}"), fields, b"");
    assert_eq!(status, 201, "{head}");
    let location = head.lines().find_map(|line| line.strip_prefix("Location: "));
    location.unwrap().to_owned()
}

/// A client of the draft, or one that has told no length, may have no source any more: no power cut may take back an offset
/// that it was told. One of tus that has told the length sends its bytes again.
#[test]
fn no_offset_is_told_before_its_bytes_last_to_a_client_that_can_not_go_back() {
    let scenario = FailScenario::setup();
    let setup = Setup::new(Durability::Group);
    let draft = "Upload-Complete: ?0\r\nContent-Type: application/partial-upload\r\n";
    let tus = format!("{TUS}Content-Type: application/offset+octet-stream\r\n");
    let (deferred, known) = (
        format!("{TUS}{NAMED}Upload-Defer-Length: 1\r\n"),
        format!("{TUS}{NAMED}Upload-Length: 10\r\n"),
    );
    for (to, create, append, asking, lasts) in [
        ("?name=new", "Upload-Complete: ?0\r\n", draft, "", true),
        ("", &deferred, &tus, TUS, true),
        ("", &known, &tus, TUS, false),
    ] {
        let fails = || fail::cfg("disk::fsync", "return(EIO)").unwrap();
        for (method, fields, good) in [
            ("PATCH", format!("{append}Upload-Offset: 3\r\n"), 204),
            ("PATCH", format!("{append}Upload-Offset: 1\r\n"), 409),
            ("HEAD", asking.to_owned(), 200),
        ] {
            let at = begin(&setup, to, create);
            let first = format!("{append}Upload-Offset: 0\r\n");
            assert_eq!(ask(&setup, &format!("PATCH {at}"), &first, b"abc").0, 204);
            let body: &[u8] = if method == "PATCH" { b"d" } else { b"" };
            fails();
            let (status, head) = ask(&setup, &format!("{method} {at}"), &fields, body);
            fail::remove("disk::fsync");
            let tells = head.contains("Upload-Offset: ");
            let what = format!("{create}{method} {fields}: {head}");
            match lasts {
                true => assert!(!tells && status >= 500, "{what}"),
                false => assert!(tells && status == good, "{what}"),
            }
            let _ = ask(&setup, &format!("DELETE {at}"), TUS, b"");
        }
    }
    scenario.teardown();
}
