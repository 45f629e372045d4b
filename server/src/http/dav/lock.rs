//! Locks as a formality: clients that can't do without one are given one, and it holds nobody up.

use std::fmt::Write;

use super::xml::{Element, escape};
use super::xml_reader::parse;
use crate::http::status::{Status, Wrong};

/// The locks that can be had.
pub(super) const SUPPORTED: &str = "<D:lockentry><D:lockscope><D:exclusive/></D:lockscope>\
    <D:locktype><D:write/></D:locktype></D:lockentry>";

/// Seconds that a lock lasts at most.
const LONGEST: u64 = 3600;

/// A lock that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    /// The client's words about itself.
    owner: Option<Element>,
}

impl Lock {
    /// Reads the body of a `LOCK`. `None`: an empty one goes on with a lock.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, Wrong> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let document = parse(bytes)?;
        if !document.tag.is_dav("lockinfo") {
            return Err(Wrong::bad("the XML is not that of this method"));
        }
        let has = |outer: &str, inner: &str| {
            document.dav(outer).is_some_and(|element| element.dav(inner).is_some())
        };
        if !has("lockscope", "exclusive") || !has("locktype", "write") {
            return Err(Wrong::new(
                Status::FORBIDDEN,
                "only exclusive locks for writing are given",
            ));
        }
        Ok(Some(Self { owner: document.dav("owner").cloned() }))
    }
}

/// The answer to a `LOCK`. `lock`: a new one.
pub(crate) fn told(
    (address, token): (&str, &str),
    lock: Option<&Lock>,
    (is_deep, timeout): (bool, Option<&str>),
) -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:prop xmlns:D=\"DAV:\"><D:lockdiscovery><D:activelock>\
         <D:locktype><D:write/></D:locktype><D:lockscope><D:exclusive/></D:lockscope>",
    );
    let depth = if is_deep { "infinity" } else { "0" };
    let _ = write!(out, "<D:depth>{depth}</D:depth>");
    if let Some(owner) = lock.and_then(|lock| lock.owner.as_ref()) {
        owner.write(&mut out);
    }
    let _ = write!(out, "<D:timeout>Second-{}</D:timeout><D:locktoken><D:href>", seconds(timeout));
    escape(token, &mut out);
    out.push_str("</D:href></D:locktoken><D:lockroot><D:href>");
    escape(address, &mut out);
    out.push_str("</D:href></D:lockroot></D:activelock></D:lockdiscovery></D:prop>\n");
    out
}

/// The seconds that a lock lasts, of a field `Timeout`: the first that it can have.
fn seconds(timeout: Option<&str>) -> u64 {
    let mut asked = timeout.unwrap_or_default().split(',').map(str::trim);
    let second = asked.find_map(|one| one.strip_prefix("Second-")?.parse::<u64>().ok());
    second.unwrap_or(LONGEST).clamp(1, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCLUSIVE: &str = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope>\
        <D:locktype><D:write/></D:locktype><D:owner><D:href>me</D:href></D:owner></D:lockinfo>";

    #[test]
    fn lock_is_given_with_its_token_and_a_bounded_time() {
        let lock = Lock::parse(EXCLUSIVE.as_bytes()).unwrap().unwrap();
        let text =
            told(("/a&b", "opaquelocktoken:1"), Some(&lock), (true, Some("Infinite, Second-60")));
        parse(text.as_bytes()).unwrap();
        for part in [
            "<D:depth>infinity</D:depth>",
            "<D:timeout>Second-60</D:timeout>",
            "<D:locktoken><D:href>opaquelocktoken:1</D:href></D:locktoken>",
            "<D:lockroot><D:href>/a&amp;b</D:href>",
            ">me</href>",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        for (timeout, expected) in [
            (None, 3600),
            (Some("Infinite"), 3600),
            (Some("Second-0"), 1),
            (Some("Second-4100000000"), 3600),
            (Some("Second-99999999999999999999"), 3600),
            (Some("x, Second-5"), 5),
        ] {
            assert_eq!(seconds(timeout), expected, "{timeout:?}");
        }
    }

    #[test]
    fn only_exclusive_locks_for_writing_are_given() {
        assert_eq!(Lock::parse(b""), Ok(None));
        let shared = EXCLUSIVE.replace("exclusive", "shared");
        assert_eq!(Lock::parse(shared.as_bytes()).unwrap_err().status, Status::FORBIDDEN);
        for text in ["<lockinfo/>", "x", "<lockinfo xmlns='DAV:'>"] {
            assert_eq!(Lock::parse(text.as_bytes()).unwrap_err().status, Status::BAD, "{text}");
        }
    }
}
