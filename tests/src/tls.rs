//! A client that speaks TLS with the buffered connections of rustls, which the server does not use, and raw frames in it.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme,
    StreamOwned,
};
use serde_json::{Value, json};

use crate::peer::{Peer, end_sending, frame, put};

/// Settings of a client.
pub type Config = ClientConfig;

/// One connection, with its handshake behind it unless it says otherwise.
#[derive(Debug)]
pub struct TlsPeer {
    /// The stream of plaintext.
    pub stream: StreamOwned<ClientConnection, TcpStream>,
}

/// Takes any certificate; what it checks is that the server has its key.
#[derive(Debug)]
struct AnyCertificate(CryptoProvider);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General(String::from("TLS 1.2")))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let schemes = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The settings of a client that offers these cipher suites in this order.
#[must_use]
pub fn offering(suites: &[CipherSuite]) -> ClientConfig {
    let mut provider = default_provider();
    provider.cipher_suites.retain(|suite| suites.contains(&suite.suite()));
    provider.cipher_suites.sort_by_key(|suite| suites.iter().position(|s| *s == suite.suite()));
    let verifier = Arc::new(AnyCertificate(provider.clone()));
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth()
}

/// The settings of a usual client.
#[must_use]
pub fn usual() -> ClientConfig {
    offering(&[
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ])
}

/// The settings of a usual client, for thousands of them.
#[must_use]
pub fn shared() -> Arc<ClientConfig> {
    Arc::new(usual())
}

/// A client's session that has not begun.
#[must_use]
pub fn session(config: impl Into<Arc<ClientConfig>>) -> ClientConnection {
    ClientConnection::new(config.into(), "box.example".try_into().unwrap()).unwrap()
}

impl TlsPeer {
    /// Connects and shakes hands.
    #[must_use]
    #[track_caller]
    pub fn connect(address: &str) -> Self {
        Self::connect_with(address, usual()).unwrap()
    }

    /// The same with these settings.
    ///
    /// # Errors
    /// If there is no handshake.
    pub fn connect_with(address: &str, config: impl Into<Arc<ClientConfig>>) -> io::Result<Self> {
        let stream = Peer::connect(address)?.stream;
        let mut stream = StreamOwned::new(session(config), stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { stream })
    }

    /// Connects, shakes hands, and says hello.
    #[must_use]
    #[track_caller]
    pub fn hello(address: &str) -> Self {
        let mut peer = Self::connect(address);
        let answer = peer.say_hello();
        assert_eq!(answer["hello"], 1, "{answer}");
        peer
    }

    /// Says hello, and returns the answer.
    #[track_caller]
    pub fn say_hello(&mut self) -> Value {
        let client = format!("tls-{:?}", self.stream.sock.local_addr());
        self.ask(&hello_of(&client), b"")
    }

    /// Sends a frame and reads one answer.
    #[track_caller]
    pub fn ask(&mut self, header: &Value, body: &[u8]) -> Value {
        self.send(header, body);
        self.receive()
    }

    /// Sends a frame.
    #[track_caller]
    pub fn send(&mut self, header: &Value, body: &[u8]) {
        self.stream.write_all(&frame(header, body)).unwrap();
        self.stream.flush().unwrap();
    }

    /// Reads one answer; its body is thrown away.
    #[track_caller]
    pub fn receive(&mut self) -> Value {
        self.try_receive().unwrap()
    }

    /// Reads one answer, if there is one.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn try_receive(&mut self) -> io::Result<Value> {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix)?;
        let mut header = vec![0; usize::try_from(i32::from_le_bytes(prefix)).unwrap()];
        self.stream.read_exact(&mut header)?;
        let header: Value = serde_json::from_slice(&header)?;
        let mut body = vec![0; header["length"].as_u64().unwrap_or(0).try_into().unwrap()];
        self.stream.read_exact(&mut body)?;
        Ok(header)
    }

    /// Puts a file, and waits for its ack.
    #[track_caller]
    pub fn put(&mut self, id: u64, name: &str, bytes: &[u8]) {
        self.send(&put(id, name, bytes), bytes);
        loop {
            let answer = self.receive();
            // An ack may be repeated while the machine is busy.
            assert!(answer["ack"].as_u64().is_some_and(|ack| ack <= id), "{answer}");
            if answer["ack"] == id {
                return;
            }
        }
    }

    /// Says that it sends no more, and reads all that comes until the server says the same.
    ///
    /// # Errors
    /// If the connection breaks instead of ending.
    pub fn end(mut self) -> io::Result<Vec<u8>> {
        self.stream.conn.send_close_notify();
        self.stream.flush()?;
        end_sending(&self.stream.sock)?;
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }
}

/// A hello.
#[must_use]
pub fn hello_of(client: &str) -> Value {
    json!({
        "cmd": "hello", "version": 1, "agent": "test/1", "client": client, "slot": 0, "must": [],
    })
}
