//! nginx and Caddy in front of a server, configured as docs/http.md says: the tests take the configurations out of there, and
//! change ports, the paths of the certificate, and what an unprivileged program in a directory of its own can't do.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{eventually, place};

/// The name in the document by which clients call the proxy.
pub const NAME: &str = "files.example";

/// The server's address in the document.
const SERVER: &str = "127.0.0.1:8080";

/// Debian's package `nginx-light` has it.
const NGINX: &str = "/usr/sbin/nginx";

/// How often another port is tried when somebody else has taken a free one.
const TRIES: usize = 5;

/// The kinds of proxies that the document has configurations of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// nginx.
    Nginx,
    /// Caddy.
    Caddy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Nginx, Self::Caddy];
}

/// A running proxy, which is stopped when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    /// The port of loopback at which it listens.
    pub port: u16,
    place: TempDir,
}

impl Proxy {
    /// In front of a server with this address.
    #[must_use]
    pub fn start(kind: Kind, server: &str) -> Self {
        let place = place::in_memory().unwrap();
        certify(place.path());
        for _ in 0..TRIES {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = match kind {
                Kind::Nginx => nginx(place.path(), server, port),
                Kind::Caddy => caddy(place.path(), server, port),
            };
            let log = fs::File::create(place.path().join("log")).unwrap();
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            let mut child =
                command.spawn().unwrap_or_else(|error| panic!("{kind:?} is needed: {error}"));
            let (mut listens, mut ended) = (false, false);
            eventually("the proxy listens or ends", || {
                listens = TcpStream::connect(("127.0.0.1", port)).is_ok();
                ended = child.try_wait().unwrap().is_some();
                listens || ended
            });
            // Somebody else may listen there.
            if !ended && child.try_wait().unwrap().is_none() {
                return Self { child, port, place };
            }
        }
        panic!("{kind:?} does not start: {}", log(place.path()));
    }

    /// The address of an entry, for clients that look the name up as [`resolve`](Self::resolve) says.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("https://{NAME}:{}{path}", self.port)
    }

    /// The word by which curl finds the proxy at its name.
    #[must_use]
    pub fn resolve(&self) -> String {
        format!("{NAME}:{}:127.0.0.1", self.port)
    }

    /// All that it has written about errors.
    #[must_use]
    pub fn log(&self) -> String {
        log(self.place.path())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log(place: &Path) -> String {
    fs::read_to_string(place.join("log")).unwrap_or_default()
}

/// A certificate for the name, signed by nobody.
fn certify(place: &Path) {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    openssl.args(["-nodes", "-days", "2", "-subj", &format!("/CN={NAME}")]);
    openssl.args(["-addext", &format!("subjectAltName=DNS:{NAME}"), "-keyout"]);
    openssl.arg(place.join("key.pem")).arg("-out").arg(place.join("cert.pem"));
    let output = openssl.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The configuration in docs/http.md that is in this language, for a server with this address.
fn documented(language: &str, server: &str) -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/http.md");
    let document = fs::read_to_string(document).unwrap();
    let text = document.split(&format!("```{language}\n")).nth(1).unwrap();
    replaced(text.split("```").next().unwrap(), SERVER, server)
}

/// A text with other words in the place of some that it must have.
fn replaced(text: &str, words: &str, others: &str) -> String {
    assert!(text.contains(words), "docs/http.md has no `{words}`");
    text.replace(words, others)
}

/// In one process that stays in the foreground, and whose files are all in its own directory.
fn nginx(place: &Path, server: &str, port: u16) -> Command {
    let at = place.display();
    let site = documented("nginx", server);
    let site = replaced(&site, "listen 443 ssl;", &format!("listen 127.0.0.1:{port} ssl;"));
    let site = replaced(&site, "/etc/ssl/files.example.pem", &format!("{at}/cert.pem"));
    let site = replaced(&site, "/etc/ssl/files.example.key", &format!("{at}/key.pem"));
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = paths.map(|path| format!("{path}_temp_path {at}/{path};\n")).concat();
    let whole = format!(
        "daemon off;\nmaster_process off;\npid {at}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{site}}}\n"
    );
    let file = place.join("nginx.conf");
    fs::write(&file, whole).unwrap();
    let mut command = Command::new(NGINX);
    command.args(["-e", "stderr", "-p"]).arg(place).arg("-c").arg(file);
    command
}

/// Without the address at which it is managed, without files outside its own directory, and with the certificate that is there.
fn caddy(place: &Path, server: &str, port: u16) -> Command {
    let at = place.display();
    let own = format!(
        "https://{NAME}:{port} {{\n    bind 127.0.0.1\n    tls {at}/cert.pem {at}/key.pem\n"
    );
    let site = replaced(&documented("caddy", server), &format!("{NAME} {{\n"), &own);
    let all =
        "{\n    admin off\n    auto_https off\n    servers {\n        protocols h1 h2\n    }\n}\n";
    let file = place.join("Caddyfile");
    fs::write(&file, format!("{all}{site}")).unwrap();
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
    for directory in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(directory, place);
    }
    command
}
