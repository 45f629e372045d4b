//! A server that follows a test's script, right or wrong, over TLS.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use haul_protocol::Pin;
use haul_tests::fake::{hello_answer, refusal};
use haul_tests::listening::Listening;
use haul_tests::prelude::*;
use rcgen::{CertificateParams, Issuer, KeyPair, PublicKeyData};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A key, and a certificate for it.
pub(crate) struct Identity {
    pub(crate) key: KeyPair,
    pub(crate) certificate: rcgen::Certificate,
}

/// The text of a key's pin.
pub(crate) fn pin(key: &KeyPair) -> String {
    Pin::of_spki(&key.subject_public_key_info()).to_string()
}

impl Identity {
    /// As hauld makes it: self-signed.
    pub(crate) fn own() -> Self {
        Self::with(KeyPair::generate().unwrap(), CertificateParams::new(["haul".into()]).unwrap())
    }

    pub(crate) fn with(key: KeyPair, parameters: CertificateParams) -> Self {
        let certificate = parameters.self_signed(&key).unwrap();
        Self { key, certificate }
    }

    /// Signed by an authority.
    pub(crate) fn signed(parameters: &CertificateParams, authority: &Issuer<'_, KeyPair>) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, authority).unwrap();
        Self { key, certificate }
    }

    pub(crate) fn pin(&self) -> String {
        pin(&self.key)
    }
}

/// The configuration of a server that has only TLS 1.3.
pub(crate) fn config(identity: &Identity) -> ServerConfig {
    with_key(identity, &identity.key)
}

/// The same with another key than that of the certificate.
pub(crate) fn with_key(identity: &Identity, key: &KeyPair) -> ServerConfig {
    let chain = vec![identity.certificate.der().clone()];
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signing = aws_lc_rs::sign::any_supported_type(&der).unwrap();
    let certified = Arc::new(rustls::sign::CertifiedKey::new(chain, signing));
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)))
}

/// The server.
pub(crate) struct TlsFake {
    pub(crate) listening: Arc<Listening>,
    config: Arc<ServerConfig>,
}

/// One connection to it, from a client.
pub(crate) struct Caller(pub(crate) StreamOwned<ServerConnection, TcpStream>);

impl TlsFake {
    pub(crate) fn start(config: ServerConfig) -> Self {
        Self { listening: Arc::new(Listening::start().unwrap()), config: Arc::new(config) }
    }

    /// The same server, which has this key from now on.
    pub(crate) fn changed(&self, config: ServerConfig) -> Self {
        Self { listening: Arc::clone(&self.listening), config: Arc::new(config) }
    }

    pub(crate) fn address(&self) -> String {
        self.listening.address().unwrap()
    }

    /// The next connection, in clear.
    pub(crate) fn accept_plain(&self) -> io::Result<TcpStream> {
        self.listening.accept()
    }

    /// The next connection that speaks TLS; the handshake is not done yet. One that speaks plain haul is refused as by a
    /// server that takes only TLS.
    pub(crate) fn accept(&self) -> io::Result<Caller> {
        loop {
            let stream = self.accept_plain()?;
            let mut first = [0];
            if stream.peek(&mut first).is_ok_and(|len| len == 1) && first == [0x16] {
                return Ok(self.shake_hands(stream));
            }
            // The client may be gone before it has said anything, or is told anything: the next one comes all the same.
            let mut peer = Peer { stream };
            if peer.receive().is_ok() {
                let _ = peer.send(&refusal(&json!(0), "tls", false), b"");
            }
        }
    }

    pub(crate) fn shake_hands(&self, stream: TcpStream) -> Caller {
        let connection = ServerConnection::new(Arc::clone(&self.config)).unwrap();
        Caller(StreamOwned::new(connection, stream))
    }

    /// Serves connections until the process ends: all changes are acknowledged, and told to `seen`.
    pub(crate) fn serve(self, seen: impl Fn(&Value, &[u8]) + Send + Sync + 'static) -> String {
        let (address, seen) = (self.address(), Arc::new(seen));
        thread::spawn(move || {
            while let Ok(mut peer) = self.accept() {
                let seen = Arc::clone(&seen);
                thread::spawn(move || peer.greet().and_then(|_| peer.obey(&*seen)));
            }
        });
        address
    }
}

impl Caller {
    pub(crate) fn send(&mut self, header: &Value, body: &[u8]) -> io::Result<()> {
        self.0.write_all(&frame(header, body))?;
        self.0.flush()
    }

    /// The header of the next frame, whose body is still to be read.
    pub(crate) fn header(&mut self) -> io::Result<Value> {
        let mut prefix = [0; 4];
        self.0.read_exact(&mut prefix)?;
        let len = usize::try_from(i32::from_le_bytes(prefix)).map_err(io::Error::other)?;
        let mut header = vec![0; len];
        self.0.read_exact(&mut header)?;
        Ok(serde_json::from_slice(&header)?)
    }

    pub(crate) fn receive(&mut self) -> io::Result<(Value, Vec<u8>)> {
        let header = self.header()?;
        let len = usize::try_from(header["length"].as_u64().unwrap_or(0));
        let mut body = vec![0; len.map_err(io::Error::other)?];
        self.0.read_exact(&mut body)?;
        Ok((header, body))
    }

    /// Reads `hello` and answers it; returns the `hello`.
    pub(crate) fn greet(&mut self) -> io::Result<Value> {
        self.greet_with(&hello_answer())
    }

    pub(crate) fn greet_with(&mut self, answer: &Value) -> io::Result<Value> {
        let hello = self.receive()?.0;
        self.send(answer, b"")?;
        Ok(hello)
    }

    /// Acknowledges everything, to the end of the connection.
    pub(crate) fn obey(&mut self, seen: &impl Fn(&Value, &[u8])) -> io::Result<()> {
        loop {
            let (header, body) = self.receive()?;
            seen(&header, &body);
            self.send(&json!({"ack": header["id"]}), b"")?;
        }
    }
}

/// A directory of the client's configuration, in which these servers are pinned.
pub(crate) fn trusting(servers: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    let lines = servers.iter().map(|(address, pin)| format!("{address} {pin} since=2026-11-27\n"));
    fs::write(directory.path().join("known_servers"), lines.collect::<String>()).unwrap();
    directory
}

/// `haul` with a configuration of its own, and no terminal.
pub(crate) fn haul_in(configuration: &Path, words: &[&str]) -> Client {
    let mut client = Client::new("setsid");
    client.args(["-w"]).arg(&binaries::get().haul).args(words);
    client.env("HAUL_CONFIG_DIR", configuration);
    client
}
