//! A rename makes no symlink lead out of the root, where the server stores only those that stay inside.

use std::os::fd::AsRawFd;

use haul_tests::prelude::*;

/// `a/b/d` with a symlink deep in it that leads to `a/b/x`, and one beside it.
fn server(durability: &str) -> Hauld {
    let server = server_with(&["--durability", durability, "--symlinks", "inside"]);
    let root = server.root();
    fs::create_dir_all(root.join("a/b/d/in")).unwrap();
    fs::create_dir_all(root.join("c/e")).unwrap();
    symlink("../../x", root.join("a/b/d/in/link")).unwrap();
    symlink("../x", root.join("a/b/one")).unwrap();
    server
}

fn rename(id: u64, from: &str, to: &str) -> Value {
    json!({"cmd": "rename", "id": id, "filename": from, "to": to})
}

#[test]
fn nothing_is_renamed_to_where_a_symlink_would_lead_out() {
    for durability in ["none", "group"] {
        let server = server(durability);
        let mut peer = server.peer();
        for (id, from, told) in [(1, "a/b/d/in", "a/b/d/in/link"), (2, "a/b/one", "a/b/one")] {
            let answer = peer.ask(&rename(id, from, "p"), b"").unwrap();
            assert_eq!(answer["code"], "symlink", "{answer}");
            assert!(answer["message"].as_str().unwrap().contains(told), "{answer}");
            assert!(server.root().join(from).symlink_metadata().is_ok());
            assert!(!server.root().join("p").exists());
        }
        // From there it leads two directories up, where one is.
        assert_eq!(peer.ask(&rename(3, "a/b/d", "p"), b"").unwrap()["ack"], 3);
        assert_eq!(fs::read_link(server.root().join("p/in/link")).unwrap(), Path::new("../../x"));
        // No higher than before.
        assert_eq!(peer.ask(&rename(4, "a/b/one", "c/e/one"), b"").unwrap()["ack"], 4);
        assert_eq!(peer.ask(&rename(5, "p", "c/p"), b"").unwrap()["ack"], 5);
        assert_eq!(peer.ask(&rename(6, "none/at/all", "q"), b"").unwrap()["code"], "not_found");
    }
}

#[test]
fn symlink_that_was_sent_before_the_rename_counts() {
    let server = server("group");
    let mut peer = server.peer();
    let link = json!({"cmd": "symlink", "id": 1, "filename": "c/e/l", "target": "../x"});
    peer.send(&link, b"").unwrap();
    peer.send(&rename(2, "c/e", "e"), b"").unwrap();
    peer.send(&rename(3, "c/e/l", "l"), b"").unwrap();
    let answers: Vec<_> = (0..3).map(|_| peer.receive().unwrap().0).collect();
    assert_eq!(answers[0]["ack"], 1, "{answers:?}");
    // `e/l` leads to `x`, which is inside; and by then there is no `c/e/l`.
    assert_eq!(answers[1]["ack"], 2, "{answers:?}");
    assert_eq!(answers[2]["code"], "not_found", "{answers:?}");
    let link = json!({"cmd": "symlink", "id": 4, "filename": "c/f/l", "target": "../../x"});
    peer.send(&link, b"").unwrap();
    peer.send(&rename(5, "c/f", "f"), b"").unwrap();
    let answers: Vec<_> = (0..2).map(|_| peer.receive().unwrap().0).collect();
    assert_eq!(answers[0]["ack"], 4, "{answers:?}");
    assert_eq!(answers[1]["code"], "symlink", "{answers:?}");
    assert!(server.root().join("c/f/l").is_symlink());
}

#[test]
fn rename_of_a_large_directory_keeps_nobody_waiting() {
    let server = server("none");
    let large = server.root().join("a/b/large");
    fs::create_dir(&large).unwrap();
    for number in 0..20_000 {
        symlink("../x", large.join(number.to_string())).unwrap();
    }
    let (mut renames, mut other) = (server.peer(), server.peer());
    renames.send(&rename(1, "a/b/large", "a/large"), b"").unwrap();
    // It is answered while the first one is looked at, or after it.
    assert_eq!(other.ask(&json!({"cmd": "ping", "id": 1}), b"").unwrap()["answer"], 1);
    assert_eq!(renames.receive().unwrap().0["ack"], 1);
    assert_eq!(fs::read_dir(server.root().join("a/large")).unwrap().count(), 20_000);
}

/// Nobody can look at what no request can name, so the directory stays where it is.
#[test]
fn directory_with_entries_that_no_request_can_name_goes_no_further_up() {
    let server = server("none");
    let root = server.root();
    let mut above = root.join("a/b/deep");
    fs::create_dir(&above).unwrap();
    for _ in 0..15 {
        above.push("x".repeat(250));
        fs::create_dir(&above).unwrap();
    }
    let lowest = fs::File::open(&above).unwrap();
    let below = format!("/proc/self/fd/{}/{}", lowest.as_raw_fd(), "y".repeat(250));
    fs::create_dir(&below).unwrap();
    symlink("../x", format!("{below}/{}", "z".repeat(250))).unwrap();
    let mut peer = server.peer();
    let answer = peer.ask(&rename(1, "a/b/deep", "deep"), b"").unwrap();
    assert_eq!(answer["code"], "symlink", "{answer}");
    assert!(root.join("a/b/deep").is_dir());
    let fields = "Destination: /deep\r\n";
    let reply = haul_tests::http::ask(server.address(), "MOVE /a/b/deep", fields, b"");
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert!(root.join("a/b/deep").is_dir());
}
