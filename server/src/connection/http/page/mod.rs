//! The requests that a browser sends beside those of all clients: the parts of the page (`parts`), a login by cookie (`browser`),
//! and bodies with several entries, which are forms, or rows of files (`making`; `entries` is such a body, `several` its answer).

mod browser;
pub(in crate::connection) mod entries;
mod making;
mod parts;
pub(in crate::connection) mod several;
