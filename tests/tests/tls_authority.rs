//! Public authorities: a server without pins that one vouches for is trusted, and a pin stands above all of them.

use haul_tests::needed::has_openssl;
use haul_tests::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

use crate::tls_fake::{Identity, TlsFake, config, haul_in, trusting, with_key};

/// An authority that a system trusts whose `SSL_CERT_FILE` is this file.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap();
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(parameters, key), directory }
    }

    pub(crate) fn identity(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut parameters);
        Identity::signed(&parameters, &self.issuer)
    }

    /// The file with its certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// `haul mkdir` at a server that has this identity and takes only TLS.
    fn mkdir(&self, identity: &Identity, pin: Option<&str>) -> (Output, Option<String>) {
        let address = TlsFake::start(config(identity)).serve(|_, _| ());
        let pins: Vec<_> = pin.into_iter().map(|pin| (address.as_str(), pin)).collect();
        let configuration = if pins.is_empty() { TempDir::new().unwrap() } else { trusting(&pins) };
        let mut haul = haul_in(configuration.path(), &["mkdir", &format!("{address}/d")]);
        haul.env("SSL_CERT_FILE", self.file());
        let output = haul.output();
        (output, fs::read_to_string(configuration.path().join("known_servers")).ok())
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn server_that_an_authority_vouches_for_is_trusted_and_not_pinned() {
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1", |_| ());
    let (output, known) = authority.mkdir(&identity, None);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(known, None);
}

/// It has no pin, so nothing but its name tells that it speaks TLS.
#[test]
fn server_of_an_authority_gets_nothing_in_clear_though_its_name_leads_to_loopback() {
    let authority = Authority::new();
    let identity = authority.identity("box.example", |_| ());
    let fake = TlsFake::start(config(&identity));
    let address = fake.address();
    let port = address.rsplit(':').next().unwrap();
    let place = TempDir::new().unwrap();
    fs::write(place.path().join("hosts"), "127.0.0.1 box.example\n").unwrap();
    let script = "set -e; mount --bind hosts /etc/hosts; exec \"$H\" mkdir \"$1\"";
    let mut haul = Client::new("unshare");
    haul.current_dir(place.path()).args(["-rm", "sh", "-c", script, "sh"]);
    haul.arg(format!("box.example:{port}/d")).env("H", &binaries::get().haul);
    haul.env("HAUL_CONFIG_DIR", place.path().join("config"));
    haul.env("SSL_CERT_FILE", authority.file());
    thread::scope(|scope| {
        let served = scope.spawn(|| {
            let stream = fake.accept_plain()?;
            let mut first = [0];
            let _ = stream.peek(&mut first)?;
            let mut peer = fake.shake_hands(stream);
            let _ = peer.greet()?;
            let (request, _) = peer.receive()?;
            peer.send(&json!({"ack": request["id"]}), b"")?;
            std::io::Result::Ok(first)
        });
        let _ = haul.assert().success();
        assert_eq!(served.join().unwrap().unwrap(), [0x16]);
    });
}

/// Trap 1: an authority vouches for the certificate, and the server can't prove that it has the key in it.
#[test]
fn copied_certificate_that_an_authority_vouches_for_is_no_key() {
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1", |_| ());
    let fake = TlsFake::start(with_key(&identity, &KeyPair::generate().unwrap()));
    let address = fake.address();
    let serving = thread::spawn(move || fake.accept().unwrap().receive().map(|(header, _)| header));
    let configuration = TempDir::new().unwrap();
    let mut haul = haul_in(configuration.path(), &["mkdir", &format!("{address}/d")]);
    let output = haul.env("SSL_CERT_FILE", authority.file()).output();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let told = told(&output);
    assert!(told.contains("can't prove that it has the key"), "{told}");
    assert!(!told.contains("haul trust"), "{told}");
    assert!(serving.join().unwrap().is_err(), "not even `hello` has left");
}

#[test]
fn host_with_a_pin_refuses_another_key_though_an_authority_vouches_for_it() {
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1", |_| ());
    let other = Identity::own().pin();
    let (output, _) = authority.mkdir(&identity, Some(&other));
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let told = told(&output);
    assert!(told.contains("has another key than before, and nothing was sent"), "{told}");
    assert!(told.contains(&format!("It was {other}, since 2026-11-27.")), "{told}");
    let (line, pin) = (told.trim_end().rsplit_once("haul trust ").unwrap().1, identity.pin());
    assert!(line.starts_with("--replace 127.0.0.1:") && line.ends_with(&pin), "{line}");
    // The server's own pin is enough.
    let (output, _) = authority.mkdir(&identity, Some(&pin));
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn certificate_that_has_expired_or_is_for_another_host_vouches_for_nothing() {
    let authority = Authority::new();
    let expired = authority.identity("127.0.0.1", |parameters| {
        (parameters.not_before, parameters.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    });
    let early = authority.identity("127.0.0.1", |parameters| {
        parameters.not_before = date_time_ymd(2200, 1, 1);
    });
    let other = authority.identity("box.example", |_| ());
    for (identity, why) in [
        (&expired, "its certificate has expired"),
        (&early, "its certificate is not valid yet"),
        (&other, "its certificate is for another host"),
    ] {
        let (output, known) = authority.mkdir(identity, None);
        assert_eq!((output.status.code(), known), (Some(4), None), "{output:?}");
        let told = told(&output);
        let text =
            format!("is not known here, and no authority vouches for it: {why}; nothing was sent.");
        assert!(told.contains(&text), "{told}");
        // A pin is of the key: certificates may expire.
        let (output, _) = authority.mkdir(identity, Some(&identity.pin()));
        assert!(output.status.success(), "{output:?}");
    }
    // Another authority vouches for nothing.
    let (output, _) = Authority::new().mkdir(&authority.identity("127.0.0.1", |_| ()), None);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
}

/// A server of OpenSSL, which has keys and versions that other servers refuse to have.
struct OpenSsl(Child, String);

impl OpenSsl {
    fn start(directory: &Path, key: &str, words: &[&str]) -> Self {
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-newkey", key, "-nodes", "-subj", "/CN=x"]);
        make.args(["-keyout", "k", "-out", "c"]).current_dir(directory);
        assert!(make.output().unwrap().status.success());
        let mut serve = Command::new("openssl");
        serve.args(["s_server", "-accept", "127.0.0.1:0", "-key", "k", "-cert", "c"]).args(words);
        serve.args(["-cipher", "DEFAULT@SECLEVEL=0"]).current_dir(directory);
        let mut child = serve
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address =
            lines.into_iter().find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned));
        Self(child, address.unwrap())
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn weak_key_and_old_version_are_refused_though_the_user_would_trust_them() {
    if !has_openssl() {
        return;
    }
    for (key, words, why) in [
        ("rsa:1024", &[][..], "can't prove that it has the key"),
        ("rsa:2048", &["-tls1_2"], "takes no TLS 1.3"),
    ] {
        let directory = TempDir::new().unwrap();
        let server = OpenSsl::start(directory.path(), key, words);
        let configuration = TempDir::new().unwrap();
        let words = ["trust", &server.1];
        let output = haul_in(configuration.path(), &words).output();
        let told = told(&output);
        assert!(matches!(output.status.code(), Some(3 | 4)), "{output:?}");
        assert!(told.contains(why), "{key}: {told}");
    }
}
