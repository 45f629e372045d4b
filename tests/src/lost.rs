//! A server whose answer is lost, or a request to it: it is there and works, and one frame never reaches the other side, or
//! reaches it late.

use std::io;
use std::thread::JoinHandle;

use serde_json::Value;

use crate::fake::Fake;
use crate::peer::Peer;

/// An address of a server that loses one answer. Dropping it waits for the end of its connections.
#[derive(Debug)]
pub struct Lost {
    address: String,
    passing: Option<JoinHandle<io::Result<()>>>,
}

/// The fate of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    AnswerIsLost,
    RequestIsLost,
    RequestIsLate,
}

/// Passes a request on, and the answer to it.
fn pass(client: &mut Peer, server: &mut Peer, header: &Value, body: &[u8]) -> io::Result<()> {
    server.send(header, body)?;
    let (answer, bytes) = server.receive()?;
    client.send(&answer, &bytes)
}

impl Lost {
    /// Passes everything on to the server, one frame in each direction by turns. The answer to the first request of this
    /// command is lost with its connection. `meanwhile` runs then, before the client can connect again.
    ///
    /// # Errors
    /// If no address can be had.
    pub fn start(
        server: &str,
        command: &'static str,
        meanwhile: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        Self::begin(server, command, Fate::AnswerIsLost, meanwhile)
    }

    /// Like [`start`](Self::start), but the request itself is lost, so the server never has it.
    ///
    /// # Errors
    /// If no address can be had.
    pub fn request(
        server: &str,
        command: &'static str,
        meanwhile: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        Self::begin(server, command, Fate::RequestIsLost, meanwhile)
    }

    /// Like [`start`](Self::start), but nothing is lost: `meanwhile` runs before the server has the request. The client must
    /// use one connection.
    ///
    /// # Errors
    /// If no address can be had.
    pub fn late(
        server: &str,
        command: &'static str,
        meanwhile: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        Self::begin(server, command, Fate::RequestIsLate, meanwhile)
    }

    fn begin(
        server: &str,
        command: &'static str,
        fate: Fate,
        meanwhile: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let fake = Fake::start()?;
        let (address, server) = (fake.address()?, server.to_owned());
        let passing = std::thread::spawn(move || {
            let (mut client, mut there) = (fake.accept()?, Peer::connect(&server)?);
            let (header, body) = loop {
                let (header, body) = client.receive()?;
                if header["cmd"] == command {
                    break (header, body);
                }
                pass(&mut client, &mut there, &header, &body)?;
            };
            if fate == Fate::AnswerIsLost {
                there.send(&header, &body)?;
                there.receive()?;
            }
            meanwhile();
            if fate == Fate::RequestIsLate {
                pass(&mut client, &mut there, &header, &body)?;
            } else {
                drop(client);
                (client, there) = (fake.accept()?, Peer::connect(&server)?);
            }
            while let Ok((header, body)) = client.receive() {
                pass(&mut client, &mut there, &header, &body)?;
            }
            Ok(())
        });
        Ok(Self { address, passing: Some(passing) })
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits until the client has ended its connection, and has connected again before if it was lost.
    ///
    /// # Panics
    /// If a connection has failed otherwise.
    pub fn end(mut self) {
        if let Some(passing) = self.passing.take() {
            passing.join().expect("a thread that passes frames on").expect("connections");
        }
    }
}
