//! Bytes for the remote command before the protocol begins: lines, and the bytes of a file behind them.

use std::io::{ErrorKind, IoSlice};

use super::install::Unsent;
use crate::error::install::InstallError;
use crate::net::transport::Socket;

/// Bytes that are still to be sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    /// Follows the bytes.
    file: Option<Unsent>,
}

impl Outgoing {
    /// A line.
    pub(super) fn new(line: &[u8]) -> Self {
        Self { bytes: line.to_vec(), sent: 0, file: None }
    }

    /// These bytes as well.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Then the bytes of a file, which nothing follows until the other side has answered.
    pub(super) fn then(&mut self, file: Unsent) {
        self.file = Some(file);
    }

    /// Sends as much as the socket takes. A socket that nobody reads takes nothing.
    ///
    /// # Errors
    /// If the file can't be read.
    pub(super) fn send(&mut self, socket: &mut Socket) -> Result<(), InstallError> {
        loop {
            if self.sent == self.bytes.len() {
                self.bytes.clear();
                self.sent = 0;
                let Some(file) = &mut self.file else { return Ok(()) };
                self.bytes = file.next()?;
                if self.bytes.is_empty() {
                    self.file = None;
                    return Ok(());
                }
            }
            match socket.write(&[IoSlice::new(&self.bytes[self.sent..])]) {
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Ok(()),
            }
        }
    }
}
