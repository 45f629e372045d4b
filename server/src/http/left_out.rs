//! Entries of a directory that its list leaves out, because no request can name them (PROTOCOL.md, section 6.11).

/// Tells that so many entries of a directory are not in its list; `None`: all are.
pub(crate) fn told(count: u64) -> Option<String> {
    Some(match count {
        0 => return None,
        1 => String::from("1 entry is left out, because no request can name it."),
        count => format!("{count} entries are left out, because no request can name them."),
    })
}
