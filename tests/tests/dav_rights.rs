//! Accounts, rights and quotas hold for clients of WebDAV.

use haul_tests::http::{Reply, ask};
use haul_tests::prelude::*;

const ALL: &str = "--rights put,replace,delete,list,get";

fn of(accounts: &Accounts, name: &str, first: &str, fields: &str, body: &str) -> Reply {
    let token = accounts.token(name);
    let length = body.len();
    let fields = format!("Authorization: Bearer {token}\r\nContent-Length: {length}\r\n{fields}");
    ask(accounts.server.address(), first, &fields, body.as_bytes())
}

const SET: &str =
    "<propertyupdate xmlns='DAV:'><set><prop><a xmlns='u'/></prop></set></propertyupdate>";

#[test]
fn each_method_needs_its_right() {
    let accounts = Accounts::start(&[
        "reader --rights get,list",
        "writer --rights put,list,get",
        "getter --rights get",
        "copier --rights put,get",
        "keeper --rights put,replace,list,get",
        "blind --rights put,replace,delete,get",
    ]);
    for name in ["reader", "writer", "getter", "copier", "keeper", "blind"] {
        fs::write(accounts.at(&format!("{name}/f")), "1").unwrap();
        fs::write(accounts.at(&format!("{name}/g")), "2").unwrap();
        fs::create_dir_all(accounts.at(&format!("{name}/d/e"))).unwrap();
        fs::create_dir(accounts.at(&format!("{name}/old"))).unwrap();
        fs::write(accounts.at(&format!("{name}/old/1")), "1").unwrap();
    }
    let copied = "Destination: /.haul/dav/new\r\n";
    let over = "Destination: /.haul/dav/old\r\n";
    for (name, first, fields, body, status) in [
        ("reader", "PROPFIND /.haul/dav/", "Depth: 1\r\n", "", 207),
        ("getter", "PROPFIND /f", "Depth: 0\r\n", "", 403),
        ("reader", "PROPPATCH /f", "", SET, 403),
        ("reader", "COPY /f", copied, "", 403),
        ("reader", "LOCK /f", "", "", 403),
        ("reader", "UNLOCK /f", "Lock-Token: <a:1>\r\n", "", 403),
        ("reader", "DELETE /.haul/dav/d", "", "", 403),
        ("getter", "COPY /f", copied, "", 403),
        ("copier", "COPY /f", copied, "", 201),
        // All in it would have to be listed.
        ("copier", "COPY /d", copied, "", 403),
        ("writer", "COPY /f", copied, "", 201),
        // They may replace or remove nothing; that a copy comes twice is fine.
        ("writer", "COPY /f", copied, "", 204),
        ("writer", "COPY /f", "Destination: /g\r\n", "", 409),
        ("writer", "PROPPATCH /f", "", SET, 207),
        ("keeper", "COPY /.haul/dav/d", over, "", 403),
        ("keeper", "MOVE /.haul/dav/d", over, "", 403),
        ("keeper", "DELETE /.haul/dav/d", "", "", 403),
        ("keeper", "PROPPATCH /f", "", SET, 207),
        // It may not learn of the entries that would go.
        ("blind", "DELETE /.haul/dav/d", "", "", 409),
    ] {
        let reply = of(&accounts, name, first, fields, body);
        assert_eq!(reply.status, status, "{name} {first}: {}", reply.text());
        if first.starts_with("PROPPATCH") && status == 207 {
            let may = if name == "keeper" { "200 OK" } else { "409 Conflict" };
            assert!(reply.text().contains(may), "{name}: {}", reply.text());
        }
    }
    for name in ["reader", "writer", "getter", "copier", "keeper", "blind"] {
        assert_eq!(accounts.text(&format!("{name}/f")), "1");
        assert_eq!(accounts.text(&format!("{name}/g")), "2");
        assert!(accounts.at(&format!("{name}/d/e")).is_dir());
        assert_eq!(accounts.text(&format!("{name}/old/1")), "1");
    }
}

#[test]
fn account_sees_and_names_only_what_is_below_its_root() {
    let accounts = Accounts::start(&[&format!("alice {ALL}"), &format!("bob {ALL}")]);
    fs::create_dir(accounts.at("alice/d")).unwrap();
    fs::write(accounts.at("alice/d/secret"), "1").unwrap();
    for path in ["/", "/.haul/dav/"] {
        let text = of(&accounts, "alice", &format!("PROPFIND {path}d"), "Depth: 1\r\n", "").text();
        assert!(text.contains(&format!("<D:href>{path}d/secret</D:href>")), "{text}");
        let text = of(&accounts, "bob", &format!("PROPFIND {path}"), "Depth: 1\r\n", "").text();
        assert_eq!(text.matches("<D:href>").count(), 1, "{text}");
    }
    for first in ["COPY /../alice/d", "PROPFIND /../alice", "DELETE /.haul/dav/../alice/d"] {
        let reply = of(&accounts, "bob", first, "Destination: /x\r\nDepth: infinity\r\n", "");
        assert_eq!(reply.status, 400, "{first}");
    }
    let fields = "Destination: /.haul/dav/copy\r\n";
    assert_eq!(of(&accounts, "alice", "COPY /.haul/dav/d", fields, "").status, 201);
    assert_eq!(accounts.text("alice/copy/secret"), "1");
    assert_eq!(of(&accounts, "alice", "DELETE /.haul/dav/d", "", "").status, 204);
    assert!(!accounts.at("alice/d").exists() && accounts.at("bob").is_dir());
}

#[test]
fn quota_holds_for_copies_and_is_told() {
    let accounts = Accounts::start(&["alice --root alice --rights mirror --quota-bytes 1MB"]);
    drop(accounts.peer("alice"));
    let body = "x".repeat(400_000);
    assert_eq!(of(&accounts, "alice", "PUT /d/a", "", &body).status, 201);
    let wanted = "<propfind xmlns='DAV:'><prop><quota-available-bytes/><quota-used-bytes/></prop></propfind>";
    let room = of(&accounts, "alice", "PROPFIND /", "Depth: 0\r\n", wanted).text();
    assert!(room.contains("<D:quota-used-bytes>4"), "{room}");
    let copy =
        |to: &str| of(&accounts, "alice", "COPY /d/a", &format!("Destination: {to}\r\n"), "");
    assert_eq!(copy("/b").status, 201);
    let reply = copy("/c");
    assert!(reply.status == 507 && reply.text().contains("quota"), "{}", reply.text());
    let tree = of(&accounts, "alice", "COPY /d", "Destination: /e\r\n", "");
    assert_eq!(tree.status, 207);
    assert!(tree.text().contains("507 ") && tree.text().contains("/e/a<"), "{}", tree.text());
    assert!(!accounts.at("alice/c").exists() && !accounts.at("alice/e/a").exists());
}

/// Each file of a copy, and each entry that is removed, is in the audit log.
#[test]
fn entries_of_a_tree_are_in_the_audit_log() {
    let place = TempDir::new().unwrap();
    let audit = place.path().join("audit");
    let server = server_with(&["--audit", audit.to_str().unwrap()]);
    fs::create_dir(server.root().join("d")).unwrap();
    fs::write(server.root().join("d/f"), "1").unwrap();
    let fields = "Destination: /.haul/dav/e\r\n";
    assert_eq!(ask(server.address(), "COPY /.haul/dav/d", fields, b"").status, 201);
    assert_eq!(ask(server.address(), "DELETE /.haul/dav/d", "", b"").status, 204);
    let text = fs::read_to_string(&audit).unwrap();
    for name in ["\"e\"", "\"e/f\"", "\"d/f\"", "\"d\""] {
        assert!(text.contains(name), "{name} is not in {text}");
    }
}

/// A copy is a new symlink: it stays inside its account's root as every other one that a client makes.
#[test]
fn copied_symlink_leads_out_of_no_account() {
    let accounts = Accounts::start(&[&format!("alice {ALL}")]);
    fs::create_dir_all(accounts.at("alice/p/q")).unwrap();
    symlink("../../f", accounts.at("alice/p/q/up")).unwrap();
    symlink("/etc/passwd", accounts.at("alice/p/q/far")).unwrap();
    for name in ["up", "far"] {
        let first = format!("COPY /.haul/dav/p/q/{name}");
        let reply = of(&accounts, "alice", &first, "Destination: /.haul/dav/evil\r\n", "");
        assert!(reply.status >= 400, "{name}: {}", reply.status);
        assert!(!accounts.at("alice/evil").is_symlink(), "{name}");
    }
    let first = "COPY /.haul/dav/p/q/up";
    let reply = of(&accounts, "alice", first, "Destination: /.haul/dav/p/q/other\r\n", "");
    assert_eq!(reply.status, 201, "{}", reply.text());
}
