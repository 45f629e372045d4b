//! Clients of WebDAV set properties: the mtime, and those that only they know.

use haul_tests::http::{Reply, ask};
use haul_tests::prelude::*;

fn proppatch(server: &Hauld, path: &str, set: &str, remove: &str) -> Reply {
    let body = format!(
        "<D:propertyupdate xmlns:D='DAV:' xmlns:Z='urn:schemas-microsoft-com:' xmlns:n='http://n/'>\
         <D:set><D:prop>{set}</D:prop></D:set><D:remove><D:prop>{remove}</D:prop></D:remove>\
         </D:propertyupdate>"
    );
    let fields = format!("Content-Length: {}\r\n", body.len());
    ask(server.address(), &format!("PROPPATCH {path}"), &fields, body.as_bytes())
}

fn all(server: &Hauld, path: &str) -> String {
    ask(server.address(), &format!("PROPFIND {path}"), "Depth: 0\r\n", b"").text()
}

#[test]
fn mtime_is_set_as_windows_and_others_set_it() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        fs::create_dir(server.root().join("d")).unwrap();
        fs::write(server.root().join("f"), "1").unwrap();
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for path in ["f", "d"] {
            for set in [
                format!(
                    "<Z:Win32CreationTime>{date}</Z:Win32CreationTime>\
                     <Z:Win32LastModifiedTime>{date}</Z:Win32LastModifiedTime>\
                     <Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>"
                ),
                "<D:getlastmodified>1994-11-06T08:49:37Z</D:getlastmodified>".to_owned(),
            ] {
                set_mtime(server.root().join(path), SystemTime::now());
                let reply = proppatch(&server, &format!("/{path}"), &set, "");
                assert_eq!(reply.status, 207, "{}", reply.text());
                assert!(reply.text().contains("200 OK") && !reply.text().contains("HTTP/1.1 4"));
                let found = fs::metadata(server.root().join(path)).unwrap().mtime();
                assert_eq!(found, 784_111_777, "{path} {set}");
            }
        }
        assert!(all(&server, "/f").contains(">00000020</Win32FileAttributes>"));
    }
}

#[test]
fn properties_of_clients_go_with_an_entry_and_outlast_the_server() {
    let mut server = server_with(&["--durability", "group"]);
    for path in ["f", "d"] {
        match path {
            "d" => fs::create_dir(server.root().join(path)).unwrap(),
            _ => fs::write(server.root().join(path), "1").unwrap(),
        }
        let set = "<n:a>x &amp; <n:b c='d'/></n:a><none>y</none>";
        let reply = proppatch(&server, &format!("/{path}"), set, "<n:gone/>");
        assert_eq!(reply.text().matches("200 OK").count(), 3, "{}", reply.text());
    }
    let has_all = |text: &str| {
        text.contains("<a xmlns=\"http://n/\">x &amp; <b xmlns=\"http://n/\" c=\"d\"/></a>")
            && text.contains("<none xmlns=\"\">y</none>")
    };
    assert!(has_all(&all(&server, "/f")) && has_all(&all(&server, "/d")));
    for (method, from, to) in
        [("COPY", "f", "copy"), ("MOVE", "f", "moved"), ("MOVE", "d", "other")]
    {
        let fields = format!("Destination: /{to}\r\n");
        let reply = ask(server.address(), &format!("{method} /{from}"), &fields, b"");
        assert_eq!(reply.status, 201, "{method} {from}: {}", reply.text());
        assert!(has_all(&all(&server, &format!("/{to}"))), "{method} {from}");
    }
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
    let (root, log) = (server.root().to_owned(), server.log.clone());
    server.becomes(Hauld::start_at(&root, &log, hauld_command(), &[]).unwrap());
    assert!(has_all(&all(&server, "/copy")) && has_all(&all(&server, "/other")));
    let reply = proppatch(&server, "/copy", "<n:a>z</n:a>", "<none/>");
    assert_eq!(reply.text().matches("200 OK").count(), 2, "{}", reply.text());
    let text = all(&server, "/copy");
    assert!(text.contains(">z</a>") && !text.contains("none"), "{text}");
    // A listing has them, too.
    let listed = ask(server.address(), "PROPFIND /", "Depth: 1\r\n", b"").text();
    assert!(listed.contains(">z</a>") && has_all(&listed), "{listed}");
}

#[test]
fn nothing_is_set_if_one_property_can_not_be() {
    let server = server();
    fs::write(server.root().join("f"), "1").unwrap();
    let before = fs::metadata(server.root().join("f")).unwrap().modified().unwrap();
    let refused = |set: &str, remove: &str| {
        let reply = proppatch(&server, "/f", set, remove);
        assert_eq!(reply.status, 207, "{}", reply.text());
        let text = reply.text();
        assert!(!text.contains("200 OK"), "{text}");
        text
    };
    let date = "<D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified>";
    let text = refused(&format!("{date}<n:a/><D:getetag>x</D:getetag>"), "");
    assert_eq!((text.matches("403 Forbidden").count(), text.matches("424 F").count()), (1, 2));
    let text = refused("<n:a/><D:getlastmodified>yesterday</D:getlastmodified>", "");
    assert!(text.contains("409 Conflict"), "{text}");
    assert!(refused("", "<D:getcontentlength/>").contains("403"));
    let long = format!("<n:a>{}</n:a>", "x".repeat(5000));
    assert!(refused(&format!("{date}{long}"), "").contains("507"));
    assert_eq!(fs::metadata(server.root().join("f")).unwrap().modified().unwrap(), before);
    assert!(!all(&server, "/f").contains("http://n/"));
    for (path, status) in [("/none", 404), ("/", 403), ("/f/", 409)] {
        assert_eq!(proppatch(&server, path, "<n:a/>", "").status, status, "{path}");
    }
}

/// Whoever can write to the root could have put anything into the attribute.
#[test]
fn attribute_that_is_no_property_is_not_told() {
    let server = server();
    fs::write(server.root().join("f"), "1").unwrap();
    assert_eq!(proppatch(&server, "/f", "<n:a/>", "").status, 207);
    let key = b"{http://n/}a";
    for value in ["</D:prop><evil/>", "<a xmlns='http://n/'><b></a>", "<b xmlns='http://n/'/>", ""]
    {
        let mut bytes = vec![1];
        for piece in [&key[..], value.as_bytes()] {
            bytes.extend_from_slice(&u16::try_from(piece.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(piece);
        }
        let flags = rustix::fs::XattrFlags::empty();
        let path = server.root().join("f");
        rustix::fs::setxattr(&path, "user.haul.properties", &bytes, flags).unwrap();
        let text = all(&server, "/f");
        assert!(text.contains("200 OK") && !text.contains("http://n/"), "{text}");
        assert!(!text.contains("evil"), "{text}");
    }
}

/// Each property may take a block of the disk.
#[test]
fn properties_take_no_room_that_is_to_be_kept_free() {
    let mut server = server_with(&["--durability", "none"]);
    fs::write(server.root().join("f"), "1").unwrap();
    let reply = proppatch(&server, "/f", "<n:a>x</n:a>", "");
    assert!(reply.text().contains("200 OK"), "{}", reply.text());
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
    let (root, log) = (server.root().to_owned(), server.log.clone());
    let words = ["--durability", "none", "--keep-free", "1TiB"];
    server.becomes(Hauld::start_at(&root, &log, hauld_command(), &words).unwrap());
    let long = "x".repeat(2000);
    let reply = proppatch(&server, "/f", &format!("<n:b>{long}</n:b>"), "");
    assert!(reply.text().contains("507"), "{}", reply.text());
    assert!(!all(&server, "/f").contains(&long));
    let reply = proppatch(&server, "/f", "", "<n:a/>");
    assert!(reply.text().contains("200 OK"), "{}", reply.text());
}
