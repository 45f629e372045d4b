//! nginx and Caddy in front of a server, configured as docs/http.md says.

use haul_tests::http::curl_with;
use haul_tests::prelude::*;
use haul_tests::proxy::{Kind, NAME, Proxy};

use crate::tus_interrupted::partial_len;

/// The rights of an account that may do everything but publish.
const ALL: &str = "--rights put,replace,delete,list,get";

/// The field of all requests of tus.
const TUS: [&str; 2] = ["-H", "Tus-Resumable: 1.0.0"];

/// A server, and a proxy in front of it.
struct Site {
    proxy: Proxy,
    accounts: Accounts,
    place: TempDir,
}

impl Site {
    fn start(kind: Kind) -> Self {
        let place = TempDir::new().unwrap();
        let audit = place.path().join("audit");
        let words = [
            "--http-host",
            NAME,
            "--trusted-proxy",
            "127.0.0.1",
            "--audit",
            audit.to_str().unwrap(),
        ];
        let accounts = Accounts::start_with(&words, &[&format!("alice {ALL}")]);
        let proxy = Proxy::start(kind, accounts.server.address());
        Self { proxy, accounts, place }
    }

    /// curl from an address of loopback, as alice; returns the answer's body, with its status behind it.
    fn asked_from(&self, from: &str, words: &[&str], path: &str, input: &[u8]) -> (String, u16) {
        let user = format!("alice:{}", self.accounts.token("alice"));
        self.curled(&[&["--interface", from, "--user", &user], words].concat(), path, input)
    }

    /// The same from 127.0.0.1.
    fn asked(&self, words: &[&str], path: &str) -> (String, u16) {
        self.asked_from("127.0.0.1", words, path, b"")
    }

    fn curled(&self, words: &[&str], path: &str, input: &[u8]) -> (String, u16) {
        let (resolve, url) = (self.proxy.resolve(), self.proxy.url(path));
        let own = ["-k", "--resolve", &resolve, "--write-out", "\n%{http_code}"];
        let output = curl_with(&[&own, words, &[&url]].concat(), input);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{words:?} {path}: {output:?}, {}", self.proxy.log());
        let (body, status) = text.rsplit_once('\n').unwrap();
        (body.to_owned(), status.parse().unwrap())
    }

    /// The value of a field of an answer's head.
    fn field(&self, words: &[&str], path: &str, name: &str) -> String {
        let (head, _) = self.asked(&[&["--include"], words].concat(), path);
        let pairs = head.lines().filter_map(|line| line.split_once(": "));
        let mut found = pairs.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.next().unwrap_or_else(|| panic!("no {name}: {head}")).1.trim().to_owned()
    }

    /// Begins an upload of tus for so many bytes, whose name is `up/a`; returns its address.
    fn begin_tus(&self, len: usize) -> String {
        let length = format!("Upload-Length: {len}");
        let create = ["-X", "POST", "-H", &length, "-H", "Upload-Metadata: filename dXAvYQ=="];
        self.field(&[&TUS[..], &create].concat(), "/.haul/tus/", "Location")
    }

    fn audited(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.place.path().join("audit")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Bytes of which no part is like another.
fn bytes(len: u32) -> Vec<u8> {
    (0..len / 4).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn files_go_and_come_through_each_proxy() {
    for kind in Kind::ALL {
        let site = Site::start(kind);
        let large = bytes(12_000_000);
        let source = site.place.path().join("large");
        fs::write(&source, &large).unwrap();
        let put = ["-T", source.to_str().unwrap()];
        assert_eq!(site.asked(&put, "/new/large").1, 201, "{kind:?}");
        assert_eq!(fs::read(site.accounts.at("alice/new/large")).unwrap(), large);
        // Without a length, from a pipe.
        let piped = site.asked_from("127.0.0.1", &["-T", "-"], "/new/piped", &large);
        assert_eq!(piped.1, 201, "{kind:?}");
        assert_eq!(fs::read(site.accounts.at("alice/new/piped")).unwrap(), large);
        let got = site.place.path().join("got");
        let get = ["-o", got.to_str().unwrap(), "--range", "4000000-11999999"];
        assert_eq!(site.asked(&get, "/new/large").1, 206, "{kind:?}");
        assert!(fs::read(&got).unwrap() == large[4_000_000..], "{kind:?}");
        // A name that has to be encoded comes as it was written.
        let put = ["-T", source.to_str().unwrap(), "-H", "If-None-Match: *"];
        assert_eq!(site.asked(&put, "/d%20%25/%C3%BC%3Fx").1, 201, "{kind:?}");
        assert!(site.accounts.at("alice/d %/ü?x").is_file());
    }
}

#[test]
fn tus_upload_goes_on_through_each_proxy() {
    for kind in Kind::ALL {
        let site = Site::start(kind);
        let whole = bytes(3_000_000);
        let at = site.begin_tus(whole.len());
        assert!(at.starts_with("/.haul/tus/"), "{kind:?}: {at}");
        for range in [0..1_000_000, 1_000_000..whole.len()] {
            let offset = site.field(&[&TUS[..], &["--head"]].concat(), &at, "Upload-Offset");
            assert_eq!(offset, range.start.to_string(), "{kind:?}");
            let offset = format!("Upload-Offset: {offset}");
            let patch = [
                "-X",
                "PATCH",
                "-H",
                "Content-Type: application/offset+octet-stream",
                "-H",
                &offset,
                "--data-binary",
                "@-",
            ];
            let words = [&TUS[..], &patch].concat();
            assert_eq!(site.asked_from("127.0.0.1", &words, &at, &whole[range]).1, 204, "{kind:?}");
        }
        assert_eq!(fs::read(site.accounts.at("alice/up/a")).unwrap(), whole, "{kind:?}");
        // The draft of the IETF: one answer, and none before it that the proxy could take for that.
        let draft =
            ["-X", "POST", "-H", "Upload-Draft-Interop-Version: 8", "-H", "Upload-Complete: ?1"];
        let whole_at_once = ["--include", "--http1.1", "-H", "Expect:", "--data-binary", "@-"];
        let words = [&whole_at_once[..], &draft].concat();
        let at = "/.haul/tus/?name=draft";
        let (head, status) = site.asked_from("127.0.0.1", &words, at, &whole);
        assert_eq!((status, head.matches("HTTP/1.1 ").count()), (201, 1), "{kind:?}: {head}");
        assert_eq!(fs::read(site.accounts.at("alice/draft")).unwrap(), whole, "{kind:?}");
    }
}

/// A proxy that kept a body until it has all of it would be in the way of large files, and of going on with them.
#[test]
fn bytes_reach_the_server_while_their_request_is_under_way_through_each_proxy() {
    for kind in Kind::ALL {
        let site = Site::start(kind);
        let whole = bytes(3_000_000);
        let at = site.begin_tus(whole.len());
        let (resolve, url) = (site.proxy.resolve(), site.proxy.url(&at));
        let user = format!("alice:{}", site.accounts.token("alice"));
        let mut curl = Command::new("curl")
            .args([
                "-sSk",
                "--max-time",
                "60",
                "--resolve",
                &resolve,
                "--user",
                &user,
                "-X",
                "PATCH",
            ])
            .args(["-H", "Content-Type: application/offset+octet-stream", "-H", "Upload-Offset: 0"])
            .args(TUS)
            .args(["-w", "%{http_code}", "-T", "-", &url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = curl.stdin.take().unwrap();
        stdin.write_all(&whole[..1_500_000]).unwrap();
        // All but what curl and the proxy may hold between two reads.
        eventually("the first half is written", || partial_len(&site.accounts.server) > 1_000_000);
        stdin.write_all(&whole[1_500_000..]).unwrap();
        drop(stdin);
        let output = curl.wait_with_output().unwrap();
        assert_eq!(output.stdout, b"204", "{kind:?} {}", site.proxy.log());
        assert_eq!(fs::read(site.accounts.at("alice/up/a")).unwrap(), whole, "{kind:?}");
    }
}

#[test]
fn network_drive_is_served_through_each_proxy() {
    for kind in Kind::ALL {
        let site = Site::start(kind);
        fs::write(site.accounts.at("alice/a"), "bytes").unwrap();
        let (text, status) = site.asked(&["-X", "PROPFIND", "-H", "Depth: 1"], "/.haul/dav/");
        assert_eq!(status, 207, "{kind:?}");
        assert!(text.contains("<D:href>/.haul/dav/a</D:href>"), "{kind:?}: {text}");
        let to = format!("Destination: {}", site.proxy.url("/.haul/dav/b"));
        assert_eq!(site.asked(&["-X", "MOVE", "-H", &to], "/.haul/dav/a").1, 201, "{kind:?}");
        assert_eq!(site.accounts.text("alice/b"), "bytes");
        let elsewhere = "Destination: https://evil.example/.haul/dav/c";
        let moved = site.asked(&["-X", "MOVE", "-H", elsewhere], "/.haul/dav/b");
        assert_eq!(moved.1, 400, "{kind:?}");
    }
}

#[test]
fn client_of_each_proxy_is_known_whatever_it_says_itself() {
    for kind in Kind::ALL {
        let site = Site::start(kind);
        for (from, claim) in [
            ("127.0.0.2", "X-Other: 1"),
            ("127.0.0.3", "X-Forwarded-For: 192.0.2.1"),
            ("127.0.0.4", "Forwarded: for=192.0.2.1;proto=http;host=evil.example"),
            ("127.0.0.5", "X-Forwarded-Proto: http"),
            ("127.0.0.6", "X-Forwarded-Host: evil.example"),
        ] {
            // The page's own request, whose origin is over TLS as the proxy says.
            let origin = format!("Origin: {}", site.proxy.url("").trim_end_matches('/'));
            let words = ["-T", "-", "-H", claim, "-H", &origin];
            let (text, status) = site.asked_from(from, &words, "/a", b"1");
            assert!(matches!(status, 201 | 204), "{kind:?} {claim}: {status} {text}");
            let last = site.audited().pop().unwrap();
            assert_eq!(
                (&last["event"], &last["address"]),
                (&json!("file"), &json!(from)),
                "{kind:?} {claim}"
            );
            let clear = origin.replace("https", "http");
            let words = ["-T", "-", "-H", claim, "-H", &clear];
            assert_eq!(site.asked_from(from, &words, "/a", b"1").1, 403, "{kind:?} {claim}");
        }
    }
}

#[test]
fn failed_logins_count_for_the_client_and_not_for_each_proxy() {
    for kind in Kind::ALL {
        let site = Site::start(kind);
        let status = |from: &str| {
            site.curled(&["--interface", from, "--user", "alice:haul_nobody"], "/", b"").1
        };
        for _ in 0..10 {
            assert_eq!(status("127.0.0.2"), 401, "{kind:?}");
        }
        // The server says nothing any more.
        assert_eq!(status("127.0.0.2"), 502, "{kind:?}");
        assert_eq!(status("127.0.0.3"), 401, "{kind:?}");
        assert_eq!(site.asked_from("127.0.0.2", &[], "/?json", b"").1, 200, "{kind:?}");
        let told = site.audited();
        let refused = told.iter().filter(|line| line["event"] == "login_refused");
        assert!(refused.clone().count() > 1, "{told:?}");
        for line in refused {
            assert!(line["address"] == "127.0.0.2" || line["address"] == "127.0.0.3", "{line}");
        }
    }
}
