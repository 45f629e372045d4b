//! WebDAV (RFC 4918) without I/O: documents of XML in, documents of XML out, conditions, locks that are a formality.

pub(crate) mod asked;
pub(crate) mod condition;
mod live;
pub(crate) mod lock;
pub(crate) mod properties;
pub(crate) mod xml;
pub(super) mod xml_reader;
#[cfg(test)]
mod xml_tests;

/// WebDAV's own namespace.
pub(crate) const DAV: &str = "DAV:";

/// That in which Windows sets the times of files.
pub(crate) const WINDOWS: &str = "urn:schemas-microsoft-com:";
