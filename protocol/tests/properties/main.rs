//! Properties that hold for every message, every stream and every order of events.

mod books;
mod digests;
mod events;
mod fetched;
mod messages;
mod order;
mod pair;
mod pair_client;
mod pair_link;
mod pair_server;
mod random;
mod strategies;
mod streams;
mod texts;
