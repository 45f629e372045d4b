//! ETags, dates, and requests on condition of them (RFC 9110, section 13).

use haul_protocol::{Digest, Token};
use jiff::Timestamp;
use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};

use super::head::{Field, Head};

/// The marks by which a client knows the state of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validators {
    /// With its quotation marks.
    pub(crate) etag: String,
    /// The second of its mtime.
    pub(crate) modified: Option<i64>,
}

/// Whether a request is to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Holds,
    /// The client has the file as it is.
    NotModified,
    Fails,
}

impl Validators {
    /// Of a file with this digest, if it is known, or in this state. A strong ETag promises equal bytes, which only a digest can.
    pub(crate) fn new(digest: Option<Digest>, state: Token, modified: Option<i64>) -> Self {
        let etag = match digest {
            Some(digest) => format!("\"b3-{digest}\""),
            None => format!("W/\"{state}\""),
        };
        Self { etag, modified }
    }

    /// Whether a list of ETags has this one, for a question: the weak comparison.
    fn is_in(&self, list: &str) -> bool {
        let opaque = |etag: &str| etag.strip_prefix("W/").unwrap_or(etag).to_owned();
        etags(list).any(|etag| etag == "*" || opaque(etag) == opaque(&self.etag))
    }

    /// The same for a change or a part: the strong comparison.
    fn is_surely_in(&self, list: &str) -> bool {
        etags(list).any(|etag| etag == "*" || (etag == self.etag && !etag.starts_with("W/")))
    }

    /// Whether a file is to be sent.
    pub(crate) fn of_get(&self, head: &Head) -> Condition {
        let since = |field| head.field(field).and_then(parse_date).zip(self.modified);
        if let Some(list) = head.field(Field::IfMatch) {
            if !self.is_surely_in(list) {
                return Condition::Fails;
            }
        } else if let Some((date, modified)) = since(Field::IfUnmodifiedSince)
            && modified > date
        {
            return Condition::Fails;
        }
        if let Some(list) = head.field(Field::IfNoneMatch) {
            if self.is_in(list) {
                return Condition::NotModified;
            }
        } else if let Some((date, modified)) = since(Field::IfModifiedSince)
            && modified <= date
        {
            return Condition::NotModified;
        }
        Condition::Holds
    }

    /// Whether the client may get a part to join with others that it has: only if it knows the digest. The same second of the
    /// mtime is no proof of the same bytes.
    pub(crate) fn may_range(&self, head: &Head) -> bool {
        head.field(Field::IfRange).is_none_or(|etag| etag != "*" && self.is_surely_in(etag))
    }
}

/// The ETags of a list. A comma in an ETag ends it here too: ETags of this server have none.
fn etags(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(|etag| etag.trim_matches([' ', '\t']))
}

/// A second since 1970 as fields have it; `None`: no date is so early or late.
pub(crate) fn date(second: i64) -> Option<String> {
    let time = Timestamp::from_second(second).ok()?;
    DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()
}

pub(crate) fn parse_date(text: &str) -> Option<i64> {
    DateTimeParser::new().parse_timestamp(text).ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::Head;

    fn head(fields: &[(&str, &str)]) -> Head {
        let fields: String =
            fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Head::parse(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn dates_are_written_as_fields_have_them_and_read_back() {
        let text = date(784_111_777).unwrap();
        assert_eq!(text, "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(parse_date(&text), Some(784_111_777));
        assert_eq!((parse_date("yesterday"), parse_date(""), date(i64::MAX)), (None, None, None));
    }

    #[test]
    fn conditions_of_a_get_are_looked_at_in_the_order_of_the_standard() {
        let strong = Validators::new(Some(Digest([1; 32])), Token([0; 16]), Some(784_111_777));
        let weak = Validators::new(None, Token([0; 16]), Some(784_111_777));
        let (etag, weak_etag) = (&*strong.etag, &*weak.etag);
        assert!(etag.starts_with("\"b3-0101") && weak_etag.starts_with("W/\"0000"));
        let (then, later, before) = (
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:38 GMT",
            "Sun, 06 Nov 1994 08:49:36 GMT",
        );
        let list = format!("\"x\", {etag}");
        for (of, fields, expected) in [
            (&strong, &[][..], Condition::Holds),
            (&strong, &[("If-None-Match", etag)], Condition::NotModified),
            (&strong, &[("If-None-Match", &list)], Condition::NotModified),
            (&strong, &[("If-None-Match", "*")], Condition::NotModified),
            (&strong, &[("If-None-Match", "\"x\"")], Condition::Holds),
            (&weak, &[("If-None-Match", weak_etag)], Condition::NotModified),
            (&strong, &[("If-Modified-Since", then)], Condition::NotModified),
            (&strong, &[("If-Modified-Since", later)], Condition::NotModified),
            (&strong, &[("If-Modified-Since", before)], Condition::Holds),
            (&strong, &[("If-Modified-Since", "nonsense")], Condition::Holds),
            // The date is not looked at if there is an ETag.
            (
                &strong,
                &[("If-None-Match", "\"x\""), ("If-Modified-Since", later)],
                Condition::Holds,
            ),
            (&strong, &[("If-Match", etag)], Condition::Holds),
            (&strong, &[("If-Match", "*")], Condition::Holds),
            (&strong, &[("If-Match", "\"x\"")], Condition::Fails),
            (&weak, &[("If-Match", weak_etag)], Condition::Fails),
            (&strong, &[("If-Unmodified-Since", before)], Condition::Fails),
            (&strong, &[("If-Unmodified-Since", then)], Condition::Holds),
            (&strong, &[("If-Match", etag), ("If-None-Match", etag)], Condition::NotModified),
        ] {
            assert_eq!(of.of_get(&head(fields)), expected, "{fields:?}");
        }
        assert!(strong.may_range(&head(&[])) && strong.may_range(&head(&[("If-Range", etag)])));
        for other in ["\"x\"", then, "*"] {
            assert!(!strong.may_range(&head(&[("If-Range", other)])), "{other}");
        }
        assert!(!weak.may_range(&head(&[("If-Range", weak_etag)])));
    }
}
