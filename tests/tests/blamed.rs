//! An entry whose comparison breaks each connection: the client gives up this entry and no other.

use haul_tests::prelude::*;
use haul_tests::scripted::{Answer, Scripted, page};

/// A server that has all entries as they are at the client, but for one whose comparison breaks the connection.
fn comparison_breaks() -> Scripted {
    let server = Scripted::breaking(|request, body| -> Option<Answer> {
        if request["cmd"] == "list" {
            return Some(page(&[]));
        }
        assert_eq!(request["cmd"], "check");
        let text = str::from_utf8(body).unwrap();
        let is_same = "=".repeat(text.lines().count());
        (!text.contains("poison")).then(|| (json!({}), is_same.into()))
    });
    // The client may write nowhere else.
    let source = server.place.path().join("d");
    fs::create_dir(&source).unwrap();
    for name in ["a", "b", "poison", "x", "y"] {
        fs::write(source.join(name), name).unwrap();
    }
    server
}

#[test]
fn entry_whose_comparison_breaks_connections_is_given_up_alone() {
    for command in ["sync", "verify"] {
        for (connections, checksum) in [("1", false), ("3", false), ("1", true)] {
            let server = comparison_breaks();
            let target = format!("{}/", server.address);
            let mut words = vec![command, "d", &target, "--connections", connections];
            words.extend(checksum.then_some("--checksum").filter(|_| command == "sync"));
            let (code, told) = server.run(&words);
            assert_eq!(code, Some(1), "{words:?}: {told}");
            let failures: Vec<_> = told.lines().filter(|line| line.contains("3 times")).collect();
            assert_eq!(failures.len(), 1, "{words:?}: {told}");
            let why = "poison: the connection was lost 3 times while this waited for its answer";
            assert!(failures[0].contains(why), "{words:?}: {told}");
        }
    }
}
