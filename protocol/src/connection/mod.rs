//! Both halves of a connection, without I/O and without a clock.

mod client;
mod client_config;
#[cfg(test)]
mod client_tests;
mod outbox;
mod server;
#[cfg(test)]
mod server_tests;
mod silence;
mod time;

/// A `hello` that says as little as may be said.
#[cfg(test)]
fn plain_hello() -> crate::message::Hello {
    let [agent, client] = ["test"; 2].map(alloc::string::String::from);
    let (identity, publish, must) = (None, None, alloc::vec::Vec::new());
    crate::message::Hello {
        version: crate::limits::VERSION,
        agent,
        client,
        slot: 0,
        identity,
        publish,
        must,
        token: None,
    }
}

pub use client::{ClientConnection, ClientEvent, Unanswered};
pub use client_config::ClientConfig;
pub use server::{Owed, ServerConnection, ServerEvent};
pub use time::Time;
