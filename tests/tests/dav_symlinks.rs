//! Moves and copies over HTTP make no symlink lead out of the root that an account sees.

use haul_tests::http::{Reply, ask};
use haul_tests::prelude::*;

const ALL: &str = "--rights put,replace,delete,list,get";

/// A request of an account from one name to another.
fn of(accounts: &Accounts, name: &str, first: &str, to: &str) -> Reply {
    let token = accounts.token(name);
    let fields = format!("Authorization: Bearer {token}\r\nDestination: {to}\r\n");
    ask(accounts.server.address(), first, &fields, b"")
}

/// `a/b/d` with a symlink deep in it that leads to `a/b/x`, which is inside.
fn grow(top: &Path) {
    fs::create_dir_all(top.join("a/b/d/in")).unwrap();
    fs::write(top.join("a/b/d/file"), "bytes").unwrap();
    symlink("../../x", top.join("a/b/d/in/link")).unwrap();
    symlink("../x", top.join("a/b/one")).unwrap();
}

#[test]
fn directory_is_not_moved_to_where_a_symlink_in_it_would_lead_out() {
    let accounts = Accounts::start(&[&format!("alice {ALL}")]);
    for root in ["/", "/.haul/dav/"] {
        let top = accounts.at("alice");
        let _ = fs::remove_dir_all(top.join("a"));
        let _ = fs::remove_dir_all(top.join("p"));
        grow(&top);
        fs::create_dir(top.join("taken")).unwrap();
        fs::write(top.join("taken/kept"), "1").unwrap();
        let moved = |from: &str, to: &str| {
            of(&accounts, "alice", &format!("MOVE {root}{from}"), &format!("{root}{to}"))
        };
        // `in/link` would lead two directories up, where one is.
        let refused = moved("a/b/d/in", "p");
        assert_eq!(refused.status, 403, "{}", refused.text());
        assert!(refused.text().contains("a/b/d/in/link"), "{}", refused.text());
        assert!(top.join("a/b/d/in/link").is_symlink() && !top.join("p").exists());
        // Nothing goes for a move that is refused.
        assert_eq!(moved("a/b/d/in", "taken").status, 403);
        assert!(top.join("taken/kept").is_file());
        // Two directories up it is inside all the same.
        assert_eq!(moved("a/b/d", "p").status, 201);
        assert_eq!(fs::read_link(top.join("p/in/link")).unwrap(), Path::new("../../x"));
        fs::remove_dir_all(top.join("taken")).unwrap();
    }
}

#[test]
fn symlink_is_not_moved_to_where_it_would_lead_out() {
    let accounts = Accounts::start(&[&format!("alice {ALL}")]);
    let top = accounts.at("alice");
    grow(&top);
    for root in ["/", "/.haul/dav/"] {
        let from = format!("MOVE {root}a/b/one");
        let refused = of(&accounts, "alice", &from, &format!("{root}one"));
        assert_eq!(refused.status, 403, "{}", refused.text());
        assert!(top.join("a/b/one").is_symlink());
        let copied = of(&accounts, "alice", &from.replace("MOVE", "COPY"), &format!("{root}one"));
        assert_eq!(copied.status, 403, "{}", copied.text());
        assert_eq!(of(&accounts, "alice", &from, &format!("{root}a/two")).status, 201);
        fs::rename(top.join("a/two"), top.join("a/b/one")).unwrap();
    }
}

/// Of a server whose owner lets symlinks lead anywhere, and of links that lead out already, nothing is asked.
#[test]
fn move_asks_only_for_links_that_come_to_lead_out() {
    let any = Accounts::start_with(&["--symlinks", "any"], &[&format!("alice {ALL}")]);
    grow(&any.at("alice"));
    assert_eq!(of(&any, "alice", "MOVE /a/b/d/in", "/p").status, 201);
    let none = Accounts::start_with(&["--symlinks", "none"], &[&format!("alice {ALL}")]);
    let top = none.at("alice");
    fs::create_dir_all(top.join("a/b")).unwrap();
    for (name, target) in [("out", "/etc/passwd"), ("up", "../../../x"), ("here", "x")] {
        symlink(target, top.join("a/b").join(name)).unwrap();
    }
    assert_eq!(of(&none, "alice", "MOVE /a/b", "/b").status, 201);
    assert!(["out", "up", "here"].iter().all(|name| top.join("b").join(name).is_symlink()));
    assert_eq!(of(&none, "alice", "MOVE /b/out", "/out").status, 201);
    assert_eq!(of(&none, "alice", "COPY /b/here", "/here").status, 403);
}

#[test]
fn account_that_may_not_list_is_not_told_which_link_is_in_the_way() {
    let accounts = Accounts::start(&["blind --rights put,replace,delete"]);
    grow(&accounts.at("blind"));
    let refused = of(&accounts, "blind", "MOVE /a/b/d/in", "/p");
    assert_eq!(refused.status, 403);
    assert!(!refused.text().contains("link"), "{}", refused.text());
    assert_eq!(of(&accounts, "blind", "MOVE /a/b/d", "/p").status, 201);
}

#[test]
fn move_onto_itself_is_refused_and_changes_nothing() {
    let server = server();
    fs::create_dir(server.root().join("d")).unwrap();
    fs::write(server.root().join("d/f"), "1").unwrap();
    for root in ["/", "/.haul/dav/"] {
        for name in ["d", "d/f"] {
            for method in ["MOVE", "COPY"] {
                let fields = format!("Destination: {root}{name}\r\n");
                let reply = ask(server.address(), &format!("{method} {root}{name}"), &fields, b"");
                assert_eq!(reply.status, 403, "{method} {root}{name}");
            }
        }
    }
    assert_eq!(fs::read(server.root().join("d/f")).unwrap(), b"1");
}
