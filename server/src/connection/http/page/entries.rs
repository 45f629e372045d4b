//! A body with several entries, which comes now: a form, or rows of files.

use haul_protocol::{Name, RequestId};

use crate::connection::file_body::Incoming;
use crate::http::body::form::Form;
use crate::http::body::rows::Rows;

/// A body with several entries that comes now.
#[derive(Debug)]
pub(in crate::connection) struct Entries {
    pub(super) id: RequestId,
    /// The directory that all of them go to, as the client sees it; `None`: the root.
    pub(super) directory: Option<Name>,
    pub(super) body: Body,
    /// Entries of a form may replace others.
    pub(super) replaces: bool,
    /// The entry whose bytes come now.
    pub(super) present: Present,
    /// Bytes behind the head of an entry that the hook is asked about.
    pub(in crate::connection) kept: Vec<u8>,
}

#[derive(Debug)]
pub(super) enum Body {
    Form(Form),
    Rows(Rows),
}

#[derive(Debug)]
pub(super) enum Present {
    /// Its bytes are of no use.
    Nothing,
    /// A form has a place for a file; whether one was chosen, its name tells.
    File(u32, Box<Incoming>),
    /// The value of a field of a form.
    Value { is_folder: bool, bytes: Vec<u8> },
}

impl Entries {
    /// The number of these bytes that it takes before the turn looks at the clock.
    pub(in crate::connection) fn at_once(&self, input: &[u8]) -> usize {
        match &self.body {
            Body::Form(form) => form.at_once(input),
            Body::Rows(rows) => rows.at_once(input),
        }
    }

    /// The file whose bytes come now, if it comes in rows.
    pub(in crate::connection) fn file_of_rows(&self) -> Option<&Incoming> {
        match (&self.body, &self.present) {
            (Body::Rows(_), Present::File(_, file)) => Some(file),
            _ => None,
        }
    }

    /// The file whose bytes come now.
    pub(in crate::connection) fn file(&self) -> Option<&Incoming> {
        if let Present::File(_, file) = &self.present { Some(file) } else { None }
    }

    /// Bytes of memory that it takes.
    pub(in crate::connection) fn held_bytes(&self) -> usize {
        let body = match &self.body {
            Body::Form(form) => form.held_bytes(),
            Body::Rows(rows) => rows.held_bytes(),
        };
        body + self.kept.capacity()
            + if let Present::Value { bytes, .. } = &self.present { bytes.capacity() } else { 0 }
    }
}
