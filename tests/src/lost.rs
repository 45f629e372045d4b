//! A server whose answer is lost, or a request to it: it is there and works, and one frame never reaches the other side.

use std::io;
use std::thread::JoinHandle;

use crate::fake::Fake;
use crate::peer::Peer;

/// An address of a server that loses one answer. Dropping it waits for the end of its connections.
#[derive(Debug)]
pub struct Lost {
    address: String,
    passing: Option<JoinHandle<io::Result<()>>>,
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
        Self::losing(server, command, true, meanwhile)
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
        Self::losing(server, command, false, meanwhile)
    }

    fn losing(
        server: &str,
        command: &'static str,
        reaches: bool,
        meanwhile: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let fake = Fake::start()?;
        let (address, server) = (fake.address()?, server.to_owned());
        let passing = std::thread::spawn(move || {
            let (mut client, mut there) = (fake.accept()?, Peer::connect(&server)?);
            loop {
                let (header, body) = client.receive()?;
                if header["cmd"] == command && !reaches {
                    break;
                }
                there.send(&header, &body)?;
                let (answer, bytes) = there.receive()?;
                if header["cmd"] == command {
                    break;
                }
                client.send(&answer, &bytes)?;
            }
            meanwhile();
            drop(client);
            let (mut client, mut again) = (fake.accept()?, Peer::connect(&server)?);
            while let Ok((header, body)) = client.receive() {
                again.send(&header, &body)?;
                let (answer, bytes) = again.receive()?;
                client.send(&answer, &bytes)?;
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

    /// Waits until the client has connected again, and has ended its connection.
    ///
    /// # Panics
    /// If a connection has failed otherwise.
    pub fn end(mut self) {
        if let Some(passing) = self.passing.take() {
            passing.join().expect("a thread that passes frames on").expect("connections");
        }
    }
}
