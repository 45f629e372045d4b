//! Every kind of memory that a peer can make grow at the server, as a script for one connection.

use std::time::Duration;

use haul_tests::peer::{classic, frame, put};
use serde_json::{Value, json};

use super::ground::{BIG_ENTRIES, SPARSE_LEN, big, big_entry, changed, deep, wide};
use super::peers::Step::{self, Forever, Own, Part, Pause, Read, Send};
use super::peers::Way;

/// Longest header.
const HEADER: usize = 64 << 10;

/// Longest body.
const BODY: usize = 8 << 20;

/// Bytes that the server reads at once.
const AT_ONCE: usize = 256 << 10;

/// One kind of memory that peers make the server keep.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Connections that take part at most: each of them costs the server a lot of time as well.
    pub(super) most: usize,
    /// Bytes that the kernel takes from a peer and the server has not read.
    pub(super) send_buffer: usize,
    pub(super) way: Way,
    pub(super) script: Vec<Step>,
}

/// All kinds.
pub(super) fn all() -> Vec<Kind> {
    let mut kinds = Vec::new();
    // Little is on its way, so that the server is soon done with peers that have left.
    let mut add = |name, most, script: Vec<Step>| {
        kinds.push(Kind { name, most, send_buffer: 16 << 10, way: Way::Unix, script });
    };
    let all = usize::MAX;
    add("connected, silent", all, vec![]);
    add("idle after hello", all, greeted([]));
    add("idle after traffic", all, idle_after_traffic());
    add("long fields of hello", all, vec![Own(long_hello), Read(1)]);
    add("header, unfinished, before hello", all, vec![Send(unfinished_header(HEADER - 1))]);
    add("header, unfinished", all, greeted([Send(unfinished_header(HEADER - 1))]));
    add("header in many pieces", all, greeted(header_in_pieces()));
    add(
        "classic, header unfinished",
        all,
        vec![Send(classic("soak/classic", b"x")), Send(unfinished_header(HEADER - 1))],
    );
    add("classic, body half there", all, vec![Send(begun_classic())]);
    add("put, body half there", all, greeted([Send(begun_put(1))]));
    add("bundle of 64 KiB, unfinished", all, greeted([Send(bundle(1, 64 << 10, (64 << 10) - 1))]));
    add("bundle of 256 KiB, unfinished", all, greeted([Send(bundle(1, AT_ONCE, AT_ONCE - 1))]));
    add("check, line unfinished", all, greeted([Send(unfinished_line("check"))]));
    // A letter costs the server the time of a comparison, and its peer thirty bytes.
    add("check, letters of tiny entries", 400, greeted([Send(tiny_entries(1, BODY, BODY - 1))]));
    add("check, waits for digests", all, greeted([Send(waiting_check(16))]));
    add(
        "publish, line of adopt unfinished",
        all,
        vec![Own(version_hello), Read(1), Send(unfinished_line("adopt"))],
    );
    add("open, no byte of it", all, greeted([Send(open(1, "soak/open", 64 << 20)), Read(1)]));
    add("open, many a connection", all, greeted([Send(many_opens(16)), Read(16)]));
    add(
        "part, half there",
        all,
        greeted([
            Send(open(1, "soak/parts", 2 << 20)),
            Read(1),
            Part { id: 2, length: 1 << 20, sent: 64 << 10 },
        ]),
    );
    add("staged tree, half filled", all, greeted([Own(half_a_tree)]));
    add(
        "unread: lists of 1 MiB",
        all,
        greeted([Send(clogged(9, &[list(2, 0), list(3, 0)].concat()))]),
    );
    add("unread: parts of 8 MiB", all, greeted([Send(parts(1, 8))]));
    add("unread: fetched files", all, greeted([Send(fetches(1, 8))]));
    add("fetch, names unfinished", all, greeted([Send(unfinished_fetch(1))]));
    add("unread: pings", all, greeted([Send(clogged(9, &pings(2, 3_000)))]));
    add("unread: refusals with long names", all, greeted([Send(clogged(9, &refusals(2, 12)))]));
    add("unread: refusals of bundles", all, greeted([Send(clogged(9, &refused_bundles(2, 8)))]));
    add(
        "unread: letters of 4 MiB checks",
        200,
        greeted([Send((1..=4).flat_map(|id| tiny_entries(id, BODY / 2, BODY / 2)).collect())]),
    );
    add(
        "refused, drains and sends on",
        all,
        greeted([
            Send(clogged(9, &list(2, 0))),
            Send(raw("no header")),
            Forever(vec![b'x'; 4 << 10]),
        ]),
    );
    // Sorting them takes long, and four of them are kept.
    add("names of listed directories", 24, greeted([Send(list_wide()), Read(1)]));
    // No list has the names of another one, and none is done: its peer reads nothing. More of them take longer to sort
    // than the peers may take to fill the server.
    add(
        "unread: names of a changed directory",
        600,
        greeted([Send(clogged(9, &[])), Own(changes), Send(list_changed())]),
    );
    // The bytes behind a request that the server waits for have to be on their way at once.
    let mut behind = |name, script| {
        kinds.push(Kind { name, most: all, send_buffer: 4 * AT_ONCE, way: Way::Unix, script });
    };
    let pings_behind = |id| pings(id, 250_000 / pings(id, 1).len());
    behind(
        "rest: behind answers that are not read",
        greeted([Send(clogged(14, &pings_behind(2)))]),
    );
    behind(
        "rest: behind a check that waits",
        greeted([Send([waiting_check(1), pings_behind(2)].concat())]),
    );
    behind("rest: behind a full queue of changes", greeted([Send(many_directories())]));
    kinds.extend(super::http::kinds());
    kinds.extend(super::tls::kinds());
    kinds
}

/// The steps after `hello` and its answer.
pub(super) fn greeted(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    [Own(hello), Read(1)].into_iter().chain(steps).collect()
}

fn hello(number: usize) -> Vec<u8> {
    frame(
        &json!({
            "cmd": "hello", "version": 1, "agent": "soak/1", "client": format!("soak {number}"), "slot": 0,
        }),
        b"",
    )
}

fn long_hello(number: usize) -> Vec<u8> {
    let long = format!("{number:0>128}");
    frame(
        &json!({
            "cmd": "hello", "version": 1, "agent": long, "client": long, "identity": long, "slot": 0,
        }),
        b"",
    )
}

/// As many clients as may publish at once, each over several connections.
fn version_hello(number: usize) -> Vec<u8> {
    let (client, slot) = (number % 60, number / 60);
    frame(
        &json!({
            "cmd": "hello", "version": 1, "agent": "soak/1", "client": format!("version {client}"),
            "slot": slot, "filename": format!("soak-version-{client}"), "must": ["publish"],
        }),
        b"",
    )
}

fn raw(header: &str) -> Vec<u8> {
    haul_tests::peer::raw_frame(header.as_bytes(), b"")
}

/// So many bytes of a header that says to be the longest.
fn unfinished_header(len: usize) -> Vec<u8> {
    let prefix = i32::try_from(HEADER).unwrap_or_default().to_le_bytes();
    [&prefix[..], &vec![b'{'; len]].concat()
}

/// If a header comes in pieces, the server's buffer for it grows by doubling: a little more than half of the room is
/// used then.
fn header_in_pieces() -> Vec<Step> {
    const PIECE: usize = 2052;
    let (bytes, mut steps) = (unfinished_header(17 * PIECE), Vec::new());
    for piece in bytes.chunks(PIECE) {
        steps.extend([Send(piece.to_vec()), Pause(Duration::from_millis(20))]);
    }
    steps
}

pub(super) fn idle_after_traffic() -> Vec<Step> {
    let body = vec![b'i'; 8 << 10];
    let sent = [
        frame(&put(1, "soak/idle", &body), &body),
        tiny_entries(2, 4 << 10, 4 << 10),
        list(3, BIG_ENTRIES - 2),
    ];
    greeted([Send(sent.concat()), Read(3)])
}

fn begun_classic() -> Vec<u8> {
    let header = json!({"cmd": "put", "filename": "soak/half", "filesize": BODY});
    frame(&header, &[b'c'; 16 << 10])
}

pub(super) fn begun_put(id: u64) -> Vec<u8> {
    let header = json!({
        "cmd": "put", "id": id, "length": BODY, "filename": "soak/half", "filesize": BODY,
        "blake3": "0".repeat(64),
    });
    frame(&header, &[b'p'; 16 << 10])
}

fn bundle(id: u64, length: usize, sent: usize) -> Vec<u8> {
    let header = json!({
        "cmd": "bundle", "id": id, "length": length, "count": 256, "blake3": "0".repeat(64),
    });
    frame(&header, &vec![b'b'; sent])
}

fn unfinished_line(cmd: &str) -> Vec<u8> {
    let header = json!({"cmd": cmd, "id": 1, "length": BODY});
    frame(&header, &[b'l'; HEADER - 1])
}

/// A `check` of this length, of the shortest entries there are.
fn tiny_entries(id: u64, length: usize, sent: usize) -> Vec<u8> {
    let header = json!({"cmd": "check", "id": id, "length": length});
    let body: Vec<u8> =
        b"{\"kind\":\"other\",\"filename\":\"a\"}\n".iter().copied().cycle().take(length).collect();
    let cut = body.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    // The last one is cut off; lines with nothing in them count for nothing.
    let mut body = [&body[..cut], &vec![b'\n'; length - cut]].concat();
    body.truncate(sent);
    frame(&header, &body)
}

/// A `check` of so many long names of files that take long to be read.
fn waiting_check(count: usize) -> Vec<u8> {
    let entry = json!({
        "kind": "file", "filename": deep("sparse"), "filesize": SPARSE_LEN, "blake3": "0".repeat(64),
    });
    let body = format!("{entry}\n").repeat(count);
    frame(&json!({"cmd": "check", "id": 1, "length": body.len()}), body.as_bytes())
}

fn open(id: u64, name: &str, size: u64) -> Vec<u8> {
    frame(
        &json!({
            "cmd": "open", "id": id, "filename": name, "filesize": size, "fingerprint": "soak",
        }),
        b"",
    )
}

fn many_opens(count: u64) -> Vec<u8> {
    (1..=count).flat_map(|id| open(id, &format!("soak/opens/{id}"), 2 << 20)).collect()
}

/// A directory that is new, some files in it, and some bytes of another.
fn half_a_tree(number: usize) -> Vec<u8> {
    let directory = format!("soak/trees/{number}");
    let mut bytes = frame(&json!({"cmd": "mkdir", "id": 1, "filename": directory}), b"");
    for id in 2..10 {
        bytes.extend(frame(&put(id, &format!("{directory}/{id}"), b"leaf"), b"leaf"));
    }
    bytes.extend(begun_put(10));
    bytes
}

/// A list of some 23 KiB an entry, from this entry on.
pub(super) fn list(id: u64, from: usize) -> Vec<u8> {
    let mut header = json!({"cmd": "list", "id": id, "filename": big()});
    if from > 0 {
        header["after"] = Value::from(big_entry(from - 1));
    }
    frame(&header, b"")
}

/// Requests for parts of a file, each as large as a part may be.
fn parts(first: u64, count: u64) -> Vec<u8> {
    let part = |number| {
        json!({
            "cmd": "get", "id": first + number, "filename": deep("parts"), "offset": number * BODY as u64,
            "part_size": BODY,
        })
    };
    (0..count).flat_map(|number| frame(&part(number), b"")).collect()
}

/// Requests for as many small files as an answer holds.
fn fetches(first: u64, count: u64) -> Vec<u8> {
    let names = format!("{}\0", deep("small")).repeat(8);
    let header = |id| json!({"cmd": "fetch", "id": id, "length": names.len()});
    (first..)
        .take(usize::try_from(count).unwrap_or(0))
        .flat_map(|id| frame(&header(id), names.as_bytes()))
        .collect()
}

/// As many names as may be asked for, but for the last byte.
fn unfinished_fetch(id: u64) -> Vec<u8> {
    frame(&json!({"cmd": "fetch", "id": id, "length": AT_ONCE}), &vec![b'n'; AT_ONCE - 1])
}

fn list_wide() -> Vec<u8> {
    frame(&json!({"cmd": "list", "id": 1, "filename": wide()}), b"")
}

fn changes(number: usize) -> Vec<u8> {
    frame(&put(2, &format!("{}/{number}", changed()), b""), b"")
}

fn list_changed() -> Vec<u8> {
    frame(&json!({"cmd": "list", "id": 3, "filename": changed()}), b"")
}

/// A list of so many entries, which is not read: 9 of them fill the kernel's buffers, and 14 the outbox as well. The
/// requests behind it have the ids from 2 on.
pub(super) fn clogged(entries: usize, then: &[u8]) -> Vec<u8> {
    [&list(1, BIG_ENTRIES - entries), then].concat()
}

pub(super) fn pings(first: u64, count: usize) -> Vec<u8> {
    (first..).take(count).flat_map(|id| frame(&json!({"cmd": "ping", "id": id}), b"")).collect()
}

/// Requests whose refusals repeat a name that JSON makes six times longer.
pub(super) fn refusals(first: u64, count: usize) -> Vec<u8> {
    let name = format!("{}/missing", big());
    let request =
        |id| frame(&json!({"cmd": "setattr", "id": id, "filename": name, "mode": 0o700}), b"");
    (first..).take(count).flat_map(request).collect()
}

fn refused_bundles(first: u64, count: usize) -> Vec<u8> {
    (first..).step_by(256).take(count).flat_map(|id| bundle(id, 1, 1)).collect()
}

/// Directories that are there already, each a change that waits for the disk.
fn many_directories() -> Vec<u8> {
    let request = |id| frame(&json!({"cmd": "mkdir", "id": id, "filename": deep("")}), b"");
    (1..=64).flat_map(request).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_differ_and_headers_are_within_limits() {
        let kinds = all();
        let names: HashSet<_> = kinds.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), kinds.len());
        assert!(list(1, 1).len() < HEADER && refusals(1, 1).len() < HEADER);
        assert!(waiting_check(1).len() < HEADER);
    }

    #[test]
    fn bodies_are_as_long_as_they_say() {
        let frame = tiny_entries(1, 1000, 1000);
        assert_eq!(frame.iter().rev().take(1000).filter(|&&byte| byte == b'{').count(), 1000 / 32);
        assert_eq!(tiny_entries(1, 1000, 999).len() + 1, frame.len());
        assert_eq!(unfinished_header(HEADER - 1).len(), 4 + HEADER - 1);
    }
}
