//! Accounts: who may connect, what each may do, and the root that each sees.

mod client;
mod view;

pub(crate) use client::{AccountName, AccountOf, ClientId};
pub(crate) use view::View;
