//! The tokens of accounts: where a client finds the one to log in with, and the file in which `haul login` keeps them.

mod file;
mod login;
mod private;
mod store;
mod variables;

pub use login::Login;
pub(crate) use login::Need;
pub(crate) use store::Store;
