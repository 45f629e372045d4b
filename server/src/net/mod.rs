//! Sockets and the bytes that are read from them: listening, polling, transports, buffers. Knows no request.

pub(crate) mod buffer;
pub(crate) mod given;
pub(crate) mod listen;
pub(crate) mod peer_end;
pub(crate) mod poller;
pub(crate) mod received;
pub(crate) mod root_socket;
#[cfg(test)]
mod tests;
mod tls;
pub(crate) mod transport;
