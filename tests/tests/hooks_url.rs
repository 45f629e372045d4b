//! The hook `on-commit` with a URL: what is posted, and who answers it how.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use haul_tests::prelude::*;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request that was posted.
#[derive(Debug)]
struct Posted {
    head: String,
    lines: Vec<Value>,
}

impl Posted {
    fn names(&self) -> Vec<&str> {
        self.lines.iter().map(|line| line["name"].as_str().unwrap()).collect()
    }
}

/// Reads one request, and answers it with this status.
fn answer(stream: impl Read + Write, status: &str) -> Option<Posted> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let field = |name: &str| {
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|field| field.1)
    };
    let mut body = vec![0; field("content-length").unwrap().parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    let reply =
        format!("HTTP/1.1 {status}\r\nContent-Length: 6\r\nConnection: close\r\n\r\nreason");
    reader.get_mut().write_all(reply.as_bytes()).ok()?;
    let text = String::from_utf8(body).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Some(Posted { head, lines })
}

/// A server behind a URL: it answers requests with these statuses, and then with 204.
fn receiver(statuses: &[&str], tls: Option<Arc<ServerConfig>>) -> (u16, Receiver<Posted>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, posted) = channel();
    let statuses: Vec<String> = statuses.iter().map(ToString::to_string).collect();
    thread::spawn(move || {
        let mut statuses = statuses.into_iter();
        for stream in listener.incoming().map_while(Result::ok) {
            let status = statuses.next().unwrap_or_else(|| String::from("204 No Content"));
            let request = match &tls {
                None => answer(stream, &status),
                Some(config) => {
                    let session = ServerConnection::new(Arc::clone(config)).unwrap();
                    answer(StreamOwned::new(session, stream), &status)
                }
            };
            // The test may be over.
            request.map(|request| told.send(request));
        }
    });
    (port, posted)
}

fn next(posted: &Receiver<Posted>) -> Posted {
    posted.recv_timeout(DEADLINE).expect("nothing is posted")
}

#[test]
fn what_is_not_taken_is_posted_again_and_no_redirection_is_followed() {
    for durability in ["none", "group"] {
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        let moved = format!("307 Moved\r\nLocation: http://{}/", elsewhere.local_addr().unwrap());
        let (port, posted) = receiver(&["503 Later", &moved], None);
        let url = format!("http://127.0.0.1:{port}/s3cret?key=s3cret");
        let server = server_with(&["--on-commit", &url, "--durability", durability]);
        let mut peer = server.peer();
        assert_eq!(peer.ask(&put(1, "a", b"xyz"), b"xyz").unwrap()["ack"], 1);
        for _ in 0..3 {
            let request = next(&posted);
            assert!(
                request.head.starts_with("POST /s3cret?key=s3cret HTTP/1.1\r\n"),
                "{request:?}"
            );
            assert!(request.head.contains("application/x-ndjson"), "{request:?}");
            assert_eq!(request.names(), ["a"]);
            assert_eq!(request.lines[0]["digest"], blake3::hash(b"xyz").to_string());
        }
        assert_eq!(peer.ask(&put(2, "b", b""), b"").unwrap()["ack"], 2);
        assert_eq!(next(&posted).names(), ["b"]);
        let log = server.log_text();
        assert!(log.contains(&format!("http://127.0.0.1:{port}: answered with 503")), "{log}");
        assert!(log.contains("answered with 503 Service Unavailable: reason"), "{log}");
        assert!(!log.contains("could not start"), "{log}");
        assert!(!log.contains("s3cret"), "{log}");
        elsewhere.set_nonblocking(true).unwrap();
        assert!(elsewhere.accept().is_err(), "a redirection was followed");
    }
}

/// The last failure of the hook, as the owner of the server is told it.
fn failure(server: &Hauld) -> String {
    let mut status = hauld_command();
    let output = output_of(status.args(["status", "--json", "--root"]).arg(server.root()));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["on_commit"]["failure"]["error"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn failure_of_a_url_is_told_by_the_status_of_the_answer_or_by_the_reason_for_none() {
    let (refusing, _posted) = receiver(&["503 Later"; 100], None);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (port, why) in [
        (refusing, "answered with 503 Service Unavailable: reason"),
        (closed, "Connection refused (os error 111)"),
    ] {
        let server = server_with(&["--on-commit", &format!("http://127.0.0.1:{port}/s3cret")]);
        assert_eq!(server.peer().ask(&put(1, "a", b""), b"").unwrap()["ack"], 1);
        eventually("the hook has failed", || !failure(&server).is_empty());
        let (told, log) = (failure(&server), server.log_text());
        let begin = format!("http://127.0.0.1:{port}: ");
        assert!(told.starts_with(&begin) && told.ends_with(why), "{told}");
        assert!(log.contains(&told) && !log.contains("exit code"), "{log}");
    }
}

#[test]
fn url_of_https_is_posted_to_if_an_authority_vouches_for_it() {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(authority, authority_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec![String::from("localhost")];
    let own = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![own.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let (port, posted) = receiver(&[], Some(Arc::new(config)));
    let url = format!("https://localhost:{port}/");
    let place = TempDir::new().unwrap();
    let trusted = place.path().join("authority.pem");
    fs::write(&trusted, authority.pem()).unwrap();
    let args = ["--on-commit", &*url];
    let start = |trusted: Option<&Path>| {
        let mut hauld = hauld_command();
        hauld.envs(trusted.map(|trusted| ("SSL_CERT_FILE", trusted)));
        Hauld::start_in(place::for_server(&args).unwrap(), hauld, &args).unwrap()
    };
    let doubting = start(None);
    assert_eq!(doubting.peer().ask(&put(1, "doubted", b""), b"").unwrap()["ack"], 1);
    eventually("it is not trusted", || doubting.log_text().contains("invalid peer certificate"));
    let trusting = start(Some(&trusted));
    assert_eq!(trusting.peer().ask(&put(1, "trusted", b""), b"").unwrap()["ack"], 1);
    assert_eq!(next(&posted).names(), ["trusted"]);
}

#[test]
fn change_that_nobody_took_is_posted_by_the_next_server() {
    // It listens, and takes no request before the server is killed.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let args = ["--on-commit", &*url];
    let mut server = server_with(&args);
    assert_eq!(server.peer().ask(&put(1, "a", b""), b"").unwrap()["ack"], 1);
    let (first, _) = listener.accept().unwrap();
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
    drop(first);
    let next = Hauld::start_at(server.root(), &server.log, hauld_command(), &args).unwrap();
    server.becomes(next);
    let request = loop {
        // The first program may have connected once more before it was killed.
        let (stream, _) = listener.accept().unwrap();
        if let Some(request) = answer(stream, "200 OK") {
            break request;
        }
    };
    assert_eq!(request.names(), ["a"]);
}

#[test]
fn url_that_can_not_be_one_is_told_at_the_start_and_not_shown() {
    let place = TempDir::new().unwrap();
    for (option, url, said) in [
        ("--on-commit", "ftp://box.example/s3cret", "neither with https:// nor with http://"),
        ("--on-commit", "https://a:s3cret@box.example/", "has a name or password in it"),
        ("--before-put", "https://box.example/s3cret", "name a program"),
    ] {
        let mut hauld = hauld_command();
        hauld.args(["--listen", "127.0.0.1:0", option, url]).arg("--root").arg(place.path());
        let output = output_of(&mut hauld);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(said) && text.contains(option), "{url}: {text}");
        assert!(!text.contains("s3cret"), "{url}: {text}");
    }
}
