//! Sockets and the bytes that are read from them: listening, polling, buffers. Knows no request.

pub(crate) mod buffer;
pub(crate) mod listen;
pub(crate) mod poller;
