//! The handshake, and servers that speak something else.

use std::io;

use super::{Step, Tls};

/// The handshake has failed.
#[derive(Debug)]
pub enum HandshakeError {
    /// The socket failed.
    Lost(io::Error),
    /// The server closed the connection.
    Closed,
    /// The first bytes of the server are of another protocol.
    NotTls(Vec<u8>),
    /// The two sides don't agree.
    Tls(rustls::Error),
}

impl Tls {
    /// Goes on with the handshake as far as the socket lets it; returns whether it is done.
    ///
    /// # Errors
    /// If it fails. The server is told why, if the socket takes that at once.
    pub fn handshake(&mut self) -> Result<bool, HandshakeError> {
        loop {
            match self.flush() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    // The server may have said why before it closed.
                    let _ = self.fill();
                    return Err(self.told().unwrap_or(HandshakeError::Lost(error)));
                }
                _ => {}
            }
            if !self.is_tls && self.end > 0 {
                self.look()?;
            }
            let step = match self.told() {
                None => self.step(&mut [], &[]),
                Some(_) => Ok(Step::Blocked),
            };
            match step {
                Ok(Step::Ready) => return Ok(true),
                Ok(Step::Read(_) | Step::Encoded) => continue,
                Ok(Step::Closed) => return Err(HandshakeError::Closed),
                Ok(Step::Blocked) => {}
                Err(error) => {
                    self.give_up(&error);
                    return Err(HandshakeError::Tls(error));
                }
            }
            match self.fill() {
                Ok(0) => return Err(self.told().unwrap_or(HandshakeError::Closed)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(self.told().unwrap_or(HandshakeError::Lost(error))),
            }
        }
    }

    /// Looks whether the first bytes of the server can be TLS.
    fn look(&mut self) -> Result<(), HandshakeError> {
        match self.told() {
            // All protocols that are told by name are told by four bytes.
            Some(told) if self.end >= 4 => Err(told),
            told => {
                self.is_tls = told.is_none();
                Ok(())
            }
        }
    }

    /// The error of a server that has said something else than TLS.
    fn told(&self) -> Option<HandshakeError> {
        let first = self.incoming[..self.end].first().filter(|_| !self.is_tls);
        // A message of the handshake, or an alert.
        let is_foreign = first.is_some_and(|first| !matches!(first, 0x15 | 0x16));
        is_foreign.then(|| HandshakeError::NotTls(self.incoming[..self.end].to_vec()))
    }
}
