//! Properties that hold for every message, every stream and every order of events.

mod digests;
mod events;
mod messages;
mod order;
mod pair;
mod strategies;
mod streams;
