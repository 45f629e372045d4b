//! Several files in the body of one request: a form, as browsers send it, and rows of files, as the page sends them. Pure: bytes
//! in pieces of any length go in, pieces of files come out.

pub(crate) mod form;
pub(crate) mod form_head;
#[cfg(test)]
mod form_tests;
pub(crate) mod pairs;
pub(crate) mod rows;
#[cfg(test)]
mod rows_tests;
