//! Fields whose values have a structure of their own (RFC 9651). A value of another kind counts as none, where the standard of the
//! field has it so.

use sfv::{Dictionary, Item, ListEntry, Parser};

/// The value of a field that is `?1` or `?0`.
pub(super) fn boolean(text: &str) -> Option<bool> {
    item(text)?.bare_item.as_boolean()
}

/// The value of a field that is a number, and none below zero.
pub(super) fn number(text: &str) -> Option<u64> {
    let number = item(text)?.bare_item.as_integer()?;
    u64::try_from(i64::from(number)).ok()
}

/// The keys of a field, each with its number. A key that has another value counts as none.
pub(super) fn numbers(text: &str) -> Vec<(String, u64)> {
    let Ok(members) = Parser::new(text).parse::<Dictionary>() else { return Vec::new() };
    let number = |entry: &ListEntry| match entry {
        ListEntry::Item(item) => item.bare_item.as_integer(),
        ListEntry::InnerList(_) => None,
    };
    let known = members.iter().filter_map(|(key, entry)| {
        let number = u64::try_from(i64::from(number(entry)?)).ok()?;
        Some((key.as_str().to_owned(), number))
    });
    known.collect()
}

fn item(text: &str) -> Option<Item> {
    Parser::new(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_those_of_another_kind_count_as_none() {
        for (text, value) in [
            ("?1", Some(true)),
            ("?0", Some(false)),
            ("?1;a=b", Some(true)),
            ("1", None),
            ("?2", None),
            ("?1, ?1", None),
            ("true", None),
            ("", None),
        ] {
            assert_eq!(boolean(text), value, "{text}");
        }
        for (text, value) in [
            ("0", Some(0)),
            ("999999999999999", Some(999_999_999_999_999)),
            ("7;a", Some(7)),
            ("1000000000000000", None),
            ("-1", None),
            ("1.0", None),
            ("+1", None),
            ("\"1\"", None),
            ("1, 1", None),
        ] {
            assert_eq!(number(text), value, "{text}");
        }
        let told = numbers("sha-256=3, md5, sha-512=10;x, unixsum=\"1\", a=(1 2), b=-1");
        assert_eq!(told, [("sha-256".to_owned(), 3), ("sha-512".to_owned(), 10)]);
        assert_eq!(numbers("sha-256=3,"), []);
    }
}
