//! The certificate of an authority at a real server: which are taken, and what the commands show of it.

use haul_tests::login::text;
use haul_tests::needed::has_openssl;
use haul_tests::prelude::*;
use rcgen::{CertificateParams, DistinguishedName, DnType, date_time_ymd};

use crate::tls_authority::Authority;
use crate::tls_fake::{Identity, haul_in};
use crate::tls_peer::TlsPeer;

/// The files of a certificate, and the options of `hauld` for them.
struct Given {
    place: TempDir,
}

impl Given {
    fn of(identity: &Identity) -> Self {
        let place = TempDir::new().unwrap();
        fs::write(place.path().join("cert"), identity.certificate.pem()).unwrap();
        fs::write(place.path().join("key"), identity.key.serialize_pem()).unwrap();
        set_mode(place.path().join("key"), 0o600);
        Self { place }
    }

    fn path(&self, name: &str) -> String {
        self.place.path().join(name).to_str().unwrap().to_owned()
    }

    /// A server with accounts that shows it.
    fn serve(&self) -> Hauld {
        let (cert, key, config) = (self.path("cert"), self.path("key"), self.path("config"));
        let words = ["--tls", "always", "--cert", &cert, "--key", &key, "--config-dir", &config];
        server_with(&words)
    }

    fn hauld(&self, words: &[&str]) -> Output {
        let mut command = hauld_command();
        command.args(words).arg("--config-dir").arg(self.place.path().join("config"));
        let output = output_of(&mut command);
        assert!(output.status.success(), "{output:?}");
        output
    }
}

fn identity(change: impl FnOnce(&mut CertificateParams)) -> (Authority, Identity) {
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1", |params| {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "box");
        change(params);
    });
    (authority, identity)
}

/// A pin would break when the certificate is renewed with another key.
#[test]
fn link_to_a_server_with_a_certificate_of_an_authority_has_no_pin_and_logs_in() {
    let (authority, identity) = identity(|_| ());
    let given = Given::of(&identity);
    let made = given.hauld(&["user", "add", "alice", "--cert", &given.path("cert")]);
    let server = given.serve();
    let told = text(&made.stderr);
    let link = told.lines().next().unwrap().strip_prefix("haul login ").unwrap();
    assert_eq!(link, "haul://alice@HOST:PORT");
    let link = link.replace("HOST:PORT", server.address());
    let configuration = TempDir::new().unwrap();
    let haul = |words: &[&str]| {
        let mut haul = haul_in(configuration.path(), words);
        haul.env("SSL_CERT_FILE", authority.file());
        haul
    };
    let _ = haul(&["login", &link]).write_stdin(text(&made.stdout)).assert().success();
    let _ = haul(&["mkdir", &format!("{}/d", server.address())]).assert().success();
    assert!(server.root().join("alice/d").is_dir());
    assert!(!configuration.path().join("known_servers").exists(), "nothing is pinned");
    assert!(!given.place.path().join("config/key.pem").exists(), "no key of its own is needed");
    // Somebody whose machine does not know the authority compares the pin.
    let shown = given.hauld(&["fingerprint", "--cert", &given.path("cert")]);
    assert_eq!(text(&shown.stdout).trim(), identity.pin());
    let stranger = TempDir::new().unwrap();
    let output = haul_in(stranger.path(), &["ls", server.address()]).output();
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains(&identity.pin()), "{output:?}");
}

#[test]
fn link_to_a_server_whose_certificate_nobody_else_has_signed_has_the_pin_of_its_key() {
    let identity = Identity::own();
    let given = Given::of(&identity);
    let made = given.hauld(&["link", "in", "--cert", &given.path("cert")]);
    let server = given.serve();
    let told = text(&made.stderr);
    let link = told.lines().next().unwrap().strip_prefix("haul login ").unwrap();
    assert!(link.ends_with(&format!("#{}", identity.pin())), "{link}");
    let configuration = TempDir::new().unwrap();
    let link = link.replace("HOST:PORT", server.address());
    let mut haul = haul_in(configuration.path(), &["login", &link]);
    let _ = haul.write_stdin(text(&made.stdout)).assert().success();
}

#[test]
fn certificate_that_is_over_or_not_valid_yet_is_served_with_a_warning() {
    for (change, told) in [
        (
            (|params| params.not_after = date_time_ymd(2020, 1, 1)) as fn(&mut CertificateParams),
            "the certificate is over",
        ),
        (
            |params| params.not_before = date_time_ymd(3000, 1, 1),
            "the certificate is not valid yet",
        ),
    ] {
        let (_authority, identity) = identity(change);
        let given = Given::of(&identity);
        let _ = given.hauld(&["user", "add", "alice", "--cert", &given.path("cert")]);
        let server = given.serve();
        eventually("it is told", || server.log_text().contains(told));
        // Clients with a pin of its key go on.
        let _ = TlsPeer::connect(server.address());
    }
}

#[test]
fn certificate_that_ends_soon_is_told_with_its_days_and_one_that_does_not_is_not() {
    let day = Duration::from_secs(24 * 60 * 60);
    for (days, is_told) in [(10, true), (60, false)] {
        let end = SystemTime::now() + days * day;
        let (_authority, identity) = identity(|params| params.not_after = end.into());
        let given = Given::of(&identity);
        let _ = given.hauld(&["user", "add", "alice", "--cert", &given.path("cert")]);
        let server = given.serve();
        if is_told {
            eventually("it is told", || server.log_text().contains("the certificate ends soon"));
            // Midnight may come in between.
            let log = server.log_text();
            assert!([9, 10].iter().any(|days| log.contains(&format!("days={days}"))), "{log}");
        } else {
            // The watcher has looked at the certificate when it has looked at the accounts after a change.
            let _ = given.hauld(&["user", "add", "bob", "--cert", &given.path("cert")]);
            eventually("the watcher has looked", || {
                server.log_text().contains("other accounts hold")
            });
            assert!(!server.log_text().contains("ends soon"), "{}", server.log_text());
        }
    }
}

/// Makes a certificate with openssl.
fn openssl(given: &Given, words: &[&str]) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-subj", "/CN=box", "-days", "9"]).args(words);
    command.args(["-keyout", &given.path("key"), "-out", &given.path("cert")]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn weak_key_is_refused_and_a_weak_signature_is_told() {
    if !has_openssl() {
        return;
    }
    let given = Given::of(&Identity::own());
    openssl(&given, &["-newkey", "rsa:1024"]);
    let mut command = hauld_command();
    command.current_dir(given.place.path());
    command.args(["--root", "r", "--listen", "127.0.0.1:0", "--cert", "cert", "--key", "key"]);
    let output = output_of(&mut command);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.contains("has 1024 bits") && told.contains("needs 2048"), "{told}");
    openssl(&given, &["-newkey", "rsa:2048", "-sha1"]);
    let server = given.serve();
    let log = server.log_text();
    assert!(log.contains("is signed with SHA-1 or MD5: clients that trust authorities"), "{log}");
    let _ = TlsPeer::connect(server.address());
    // A running server keeps the certificate that it has.
    openssl(&given, &["-newkey", "rsa:1024"]);
    eventually("it is not taken", || server.log_text().contains("has 1024 bits"));
    let _ = TlsPeer::connect(server.address());
}
