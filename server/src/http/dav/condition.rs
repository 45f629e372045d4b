//! The field `If` (RFC 4918, section 10.4): conditions of a request, of which most clients only state locks.

use crate::http::status::{Status, Wrong};

/// Conditions that one field may have.
const MOST: usize = 64;

/// The lock that nobody has.
const NO_LOCK: &str = "DAV:no-lock";

/// Whether a request is to be carried out, and the first lock that it names.
///
/// Locks hold nobody up here, so a client that names a lock has it.
///
/// # Errors
/// 400 if the field can't be read, 412 if no list of it holds, 501 if only an ETag could tell: the store can't keep such a
/// condition while others change the same entry.
pub(crate) fn holds(field: &str) -> Result<Option<&str>, Wrong> {
    let mut rest = field.trim_start();
    let (mut first, mut holds, mut is_unknown, mut count, mut lists) = (None, false, false, 0, 0);
    let broken = || Wrong::bad("the field If can't be read");
    while !rest.is_empty() {
        if let Some(resource) = rest.strip_prefix('<') {
            // A list behind it is about another entry, which is as it is said to be.
            rest = resource.split_once('>').ok_or_else(broken)?.1.trim_start();
            if !rest.starts_with('(') {
                return Err(broken());
            }
        }
        let (list, behind) =
            rest.strip_prefix('(').ok_or_else(broken)?.split_at(end(rest).ok_or_else(broken)?);
        rest = behind[1..].trim_start();
        let (mut all, mut asks, mut inner) = (true, false, list.trim());
        if inner.is_empty() {
            return Err(broken());
        }
        while !inner.is_empty() {
            count += 1;
            if count > MOST {
                return Err(Wrong::new(
                    Status::HEAD_TOO_LARGE,
                    "the field If has too many conditions",
                ));
            }
            let negated =
                inner.split_at_checked(3).filter(|(not, _)| not.eq_ignore_ascii_case("not"));
            let is_negated = negated.is_some();
            if let Some((_, behind)) = negated {
                inner = behind.trim_start();
            }
            if let Some(token) = inner.strip_prefix('<') {
                let (token, behind) = token.split_once('>').ok_or_else(broken)?;
                first = first.or(Some(token).filter(|token| *token != NO_LOCK && !is_negated));
                all &= (token == NO_LOCK) == is_negated;
                inner = behind.trim_start();
            } else {
                let etag = inner.strip_prefix('[').ok_or_else(broken)?;
                inner = etag.split_once(']').ok_or_else(broken)?.1.trim_start();
                asks = true;
            }
        }
        lists += 1;
        holds |= all && !asks;
        is_unknown |= all && asks;
    }
    match () {
        () if lists == 0 => Err(broken()),
        () if holds => Ok(first),
        () if is_unknown => Err(Wrong::new(
            Status::NOT_IMPLEMENTED,
            "changes on condition of an ETag are not served",
        )),
        () => Err(Wrong::new(Status::PRECONDITION, "no condition of the field If holds")),
    }
}

/// The offset, behind its first letter, of the end of a list: outside of `<>` and `[]`.
fn end(list: &str) -> Option<usize> {
    let mut until = None;
    for (at, letter) in list.char_indices().skip(1) {
        match (until, letter) {
            (None, ')') => return Some(at - 1),
            (None, '<') => until = Some('>'),
            (None, '[') => until = Some(']'),
            (Some(wanted), found) if wanted == found => until = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whoever_names_a_lock_has_it_and_etags_are_not_compared() {
        for (field, first) in [
            ("(<opaquelocktoken:1>)", Some("opaquelocktoken:1")),
            ("  (<a:1>)(Not <DAV:no-lock>) ", Some("a:1")),
            ("(<DAV:no-lock>) (<a:)>)", Some("a:)")),
            ("<http://h/x> (<a:1>) <http://h/y> (<a:2>)", Some("a:1")),
            ("(Not <DAV:no-lock>)", None),
            ("([\"e\"]) (<a:1>)", Some("a:1")),
        ] {
            assert_eq!(holds(field), Ok(first), "{field}");
        }
        for (field, status) in [
            ("", 400),
            ("()", 400),
            ("(", 400),
            ("<a:1>", 400),
            ("(<a:1)", 400),
            ("(a)", 400),
            ("(<a:1>) x", 400),
            ("(<DAV:no-lock>)", 412),
            ("(<a:1> Not <a:2>)", 412),
            ("(<DAV:no-lock> [\"e\"])", 412),
            ("([\"e\"])", 501),
            ("(<a:1> [W/\"e)\"])", 501),
        ] {
            assert_eq!(holds(field).unwrap_err().status.0, status, "{field}");
        }
        assert_eq!(holds(&format!("({})", "<a:1>".repeat(65))).unwrap_err().status.0, 431);
    }

    proptest! {
        #[test]
        fn any_field_is_read_or_refused(field in "([ ()<>\\[\\]\"a]|Not|<a>|\\[x\\]|\u{e4}|DAV:no-lock){0,20}") {
            let _ = holds(&field);
        }
    }
}
