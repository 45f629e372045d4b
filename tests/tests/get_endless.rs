//! `haul get` from a server that never comes to an end: the client does, within its time and its memory.

use std::sync::Arc;

use haul_tests::bytes::counted;
use haul_tests::fake::refusal;
use haul_tests::prelude::*;
use haul_tests::scripted::{Scripted, directory, fetched, file, finished, page, part, whole};

const MIB: usize = 1 << 20;

/// A server that refuses all parts of a file but the first.
fn refusing(code: &'static str) -> Scripted {
    let bytes = counted(5 * MIB);
    Scripted::start(move |request, _| match request["cmd"].as_str() {
        Some("list") => page(&[file("large", bytes.len() as u64)]),
        _ if request["offset"] == 0 => part(&bytes, request),
        _ => (refusal(&json!(0), code, true), Vec::new()),
    })
}

#[test]
fn server_that_is_busy_for_parts_is_asked_as_long_as_a_lost_one() {
    let server = refusing("busy");
    let words = ["get", "--retry-for", "1s", &server.address, "d"];
    let (code, told) = server.run(&words);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("haul: d/large: ") && told.contains("(busy)"), "{told}");
    assert_eq!(finished(&server.place.path().join("d")), Vec::<String>::new());
}

#[test]
fn file_that_changes_all_the_time_is_told_and_the_old_one_stays() {
    let sizes = [("large", 5 * MIB), ("small", 3)];
    for (name, size) in sizes {
        let bytes = counted(5 * MIB);
        let server = Scripted::start(move |request, _| match request["cmd"].as_str() {
            Some("list") => page(&[file("good", 3), file(name, size as u64)]),
            Some("fetch") if name == "large" => fetched(whole(b"one")),
            Some("fetch") => {
                let line = json!({"code": "changed", "message": "x", "retry": true});
                fetched([&whole(b"one")[..], format!("{line}\n").as_bytes()].concat())
            }
            _ if request["offset"] == 0 && name == "large" => part(&bytes, request),
            _ => (refusal(&json!(0), "changed", true), Vec::new()),
        });
        let place = server.place.path().join("d");
        fs::create_dir(&place).unwrap();
        fs::write(place.join(name), "old").unwrap();
        let (code, told) = server.run(&["get", &server.address, "d"]);
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains(&format!("haul: d/{name}: ")), "{told}");
        assert!(told.contains("(changed)"), "{told}");
        let mut here = vec!["good", name];
        here.sort_unstable();
        assert_eq!(finished(&place), here, "{told}");
        assert_eq!(fs::read_to_string(place.join(name)).unwrap(), "old");
    }
}

/// Peak of the memory of a process, in bytes.
fn peak(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: usize = line.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    kib << 10
}

/// A server whose root has entries without end, a thousand on each page; counts the pages.
fn endless(entry: fn(&str) -> Value) -> (Scripted, Arc<AtomicUsize>) {
    let pages = Arc::new(AtomicUsize::new(0));
    let listed = Arc::clone(&pages);
    let server = Scripted::start(move |request, _| {
        if !request["filename"].is_null() {
            return page(&[]);
        }
        listed.fetch_add(1, Ordering::Relaxed);
        let last: usize = request["after"].as_str().map_or(0, |last| last.parse().unwrap());
        let entries: Vec<_> =
            (last + 1..=last + 1000).map(|number| entry(&format!("{number:09}"))).collect();
        (json!({"more": true}), page(&entries).1)
    });
    (server, pages)
}

/// A dry run keeps nothing of an entry that it has told; with `--delete` it keeps eight bytes.
#[test]
fn list_without_end_takes_no_memory() {
    let endless_of = [
        (endless(|name| file(name, 3)), &["get", "-n"][..], 200),
        (endless(|name| file(name, 3)), &["sync", "-n", "--delete"], 200),
        (endless(directory), &["get", "-n"], 10),
    ];
    for ((server, pages), words, enough) in endless_of {
        let mut client = haul_command();
        client.current_dir(server.place.path()).args(words).stdout(Stdio::null());
        let mut client =
            client.args([&format!("haul://{}/", server.address), "d"]).spawn().unwrap();
        eventually("many pages are listed", || pages.load(Ordering::Relaxed) > enough);
        let peak = peak(client.id());
        client.kill().unwrap();
        client.wait().unwrap();
        assert!(peak < 24 * MIB, "{words:?}: {} MiB", peak / MIB);
    }
}

#[test]
fn server_that_never_answers_is_left() {
    let server = Scripted::start(|_, _| {
        thread::park();
        (json!({}), Vec::new())
    });
    let (code, told) =
        server.run(&["get", "--timeout", "1s", "--retry-for", "1s", &server.address, "d"]);
    assert_eq!(code, Some(3), "{told}");
}
