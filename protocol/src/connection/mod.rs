//! Both halves of a connection, without I/O and without a clock.

mod client;
#[cfg(test)]
mod client_tests;
mod outbox;
mod server;
#[cfg(test)]
mod server_tests;
mod silence;
mod time;

pub use client::{ClientConfig, ClientConnection, ClientEvent, Unanswered};
pub use server::{Owed, ServerConnection, ServerEvent};
pub use time::Time;
