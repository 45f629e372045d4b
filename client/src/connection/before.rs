//! Where to begin with the list of a directory, to find one name in it.

use haul_protocol::Name;

/// A name just before all that begin with `name`, to ask for those after it; `None`: from the first.
pub(crate) fn before(name: &Name) -> Option<Name> {
    let (directory, last) = name.split();
    let (end, rest) = last.split_last()?;
    let mut bytes = if directory.is_empty() { Vec::new() } else { [directory, b"/"].concat() };
    bytes.extend_from_slice(rest);
    // A slash can't be in there, and NUL neither.
    match end.checked_sub(1)? {
        0 => return Name::parse(&bytes).ok(),
        b'/' => bytes.push(b'.'),
        less => bytes.push(less),
    }
    let room = 255_usize.saturating_sub(last.len());
    bytes.extend(std::iter::repeat_n(0xff, room));
    Name::parse(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_between_a_name_and_what_is_just_before_it() {
        for (name, expected) in [("b", b'a'), ("d/b", b'a'), ("0", b'.'), ("ab", b'a')] {
            let name = Name::parse(name.as_bytes()).unwrap();
            let before = before(&name).unwrap();
            assert!(before < name, "{before}");
            assert_eq!(before.split().0, name.split().0);
            assert_eq!(before.split().1[name.split().1.len() - 1], expected);
        }
        assert_eq!(before(&Name::parse(b"a/\x01").unwrap()), None);
    }
}
