//! Entries that a request could not change.

use haul_protocol::{Name, Refusal};

/// An entry that could not be changed. The name is that of the store.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) name: Name,
    /// As the client is told.
    pub(super) refusal: Refusal,
}

impl Failed {
    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.name.as_bytes().len() + self.refusal.message.len()
    }
}

/// Whether a name is that of an entry somewhere below another one.
pub(super) fn is_below(name: &Name, above: &Name) -> bool {
    let below = name.as_bytes().strip_prefix(above.as_bytes());
    below.is_some_and(|below| below.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_is_below_the_directories_that_lead_to_it() {
        let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
        for (entry, above, expected) in
            [("a/b", "a", true), ("a/b/c", "a", true), ("a", "a", false), ("ab/c", "a", false)]
        {
            assert_eq!(is_below(&name(entry), &name(above)), expected, "{entry} {above}");
        }
    }
}
