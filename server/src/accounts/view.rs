//! The root that a client sees: the store's, or a directory below it.
//!
//! There is one namespace, the store's: guards, fences, staged trees, versions and uploads hold for all clients, wherever
//! their roots are. A name of a request is put below the client's root once, before anything is done with it, and a name of
//! an answer is told from there.

use std::sync::Arc;

use haul_protocol::{Code, Entry, Name, Refusal};

/// The root that a client sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// `None`: the store's.
    root: Option<Arc<Name>>,
    /// Directories `.haul` below the store's root may be those of other servers, and are nobody's.
    guards_others: bool,
}

/// The directory of a server's own in its root.
const PRIVATE: &[u8] = b".haul";

/// Whether a name leads into the own directory of a server whose root is below that of this one.
fn is_of_another_server(name: &Name) -> bool {
    name.as_bytes().split(|byte| *byte == b'/').any(|part| part.eq_ignore_ascii_case(PRIVATE))
}

impl View {
    /// The view of a client whose root is this directory; `None`: the store's root.
    pub(crate) fn below(root: Option<Name>) -> Self {
        Self { root: root.map(Arc::new), guards_others: false }
    }

    /// The store's root, without the own directories of servers that serve directories in it: a client that may have any of
    /// these directories served could otherwise tell the next server what to find in its own.
    pub(crate) fn guarding_others() -> Self {
        Self { root: None, guards_others: true }
    }

    /// The same client's view in a draft, whose own root it is. A directory `.haul` in the draft would be there in the next
    /// version, where it may be that of another server.
    pub(crate) fn in_draft(&self) -> Self {
        Self { root: None, guards_others: self.guards_others }
    }

    /// The client's root in the store; `None`: the store's.
    pub(crate) fn root(&self) -> Option<&Name> {
        self.root.as_deref()
    }

    /// The name in the store that a client means.
    pub(crate) fn inward(&self, name: Name) -> Result<Name, Refusal> {
        if self.guards_others && is_of_another_server(&name) {
            let why = "directories `.haul` are those of servers, and no client's";
            return Err(Refusal::new(Code::BadName, why));
        }
        let Some(root) = &self.root else { return Ok(name) };
        // How long it may be would tell how long the part is that the client does not see.
        let too_long = |_| Refusal::new(Code::BadName, "the name is too long on this server");
        root.join(name.as_bytes()).map_err(too_long)
    }

    /// The directory in the store that a client means; `None` is the client's root for the client, and the store's for the
    /// store.
    pub(crate) fn directory(&self, name: Option<Name>) -> Result<Option<Name>, Refusal> {
        match name {
            Some(name) => self.inward(name).map(Some),
            None => Ok(self.root().cloned()),
        }
    }

    /// The client's name for a name in the store; `None` if it has none.
    pub(crate) fn outward(&self, name: &Name) -> Option<Name> {
        let Some(root) = &self.root else { return Some(name.clone()) };
        let rest = name.as_bytes().strip_prefix(root.as_bytes())?.strip_prefix(b"/")?;
        Name::parse(rest).ok()
    }

    /// Gives `show` an entry of the store with the client's name. An entry that has none is not shown.
    pub(crate) fn shown<E>(
        &self,
        entry: &Entry,
        show: impl FnOnce(&Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.guards_others && is_of_another_server(&entry.name) {
            return Ok(());
        }
        if self.root.is_none() {
            return show(entry);
        }
        match self.outward(&entry.name) {
            Some(name) => show(&Entry { name, ..entry.clone() }),
            None => Ok(()),
        }
    }

    /// A message of the store's, whose first word in backquotes is a name in the store, with the client's name. The client's
    /// root, and each directory above it, is `.` for the client.
    pub(crate) fn message(&self, message: String) -> String {
        let Some(root) = &self.root else { return message };
        let Some(start) = message.find('`').map(|at| at + 1) else { return message };
        let root = root.to_string();
        let (before, name) = message.split_at(start);
        if let Some(below) = name.strip_prefix(&*root).and_then(|rest| rest.strip_prefix('/')) {
            return format!("{before}{below}");
        }
        let end = name.find('`').unwrap_or(name.len());
        let is_above = root
            .strip_prefix(&name[..end])
            .is_some_and(|rest| end == 0 || rest.is_empty() || rest.starts_with('/'));
        if is_above { format!("{before}.{}", &name[end..]) } else { message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text.as_bytes()).unwrap()
    }

    fn view() -> View {
        View::below(Some(name("teams/alice")))
    }

    #[test]
    fn directories_of_other_servers_are_neither_named_nor_shown() {
        let guarding = View::guarding_others();
        for text in ["a/.haul", "a/.haul/socket", "a/b/.HAUL/x"] {
            assert!(guarding.inward(name(text)).is_err(), "{text}");
            assert!(View::default().inward(name(text)).is_ok(), "{text}");
        }
        for text in ["a/.hauls", "a/x.haul", "a"] {
            assert_eq!(guarding.inward(name(text)).unwrap(), name(text));
        }
    }

    #[test]
    fn name_comes_back_as_it_was_sent() {
        for text in ["a", "a/b", "alice", "teams/alice", ".hauls/x", "x`teams/alice/y"] {
            let inside = view().inward(name(text)).unwrap();
            assert_eq!(inside.to_string(), format!("teams/alice/{text}"));
            assert_eq!(view().outward(&inside), Some(name(text)));
        }
        for other in ["teams", "teams/alice", "teams/alicea/x", "teams/bob/x", "teams/alice/.haul"]
        {
            assert_eq!(view().outward(&name(other)), None, "{other}");
        }
        let all = View::default();
        assert_eq!(all.outward(&all.inward(name("a/b")).unwrap()), Some(name("a/b")));
        assert_eq!(
            (all.directory(None), view().directory(None)),
            (Ok(None), Ok(Some(name("teams/alice"))))
        );
    }

    #[test]
    fn name_that_is_too_long_with_the_root_before_it_is_refused_without_a_word_about_the_root() {
        let long = "ab/".repeat(1365);
        let refused = view().inward(name(long.trim_end_matches('/'))).unwrap_err();
        assert_eq!(refused.code, Code::BadName);
        assert!(!refused.message.chars().any(|c| c.is_numeric()), "{refused}");
    }

    #[test]
    fn message_tells_nothing_of_the_directories_above_the_root() {
        for (told, seen) in [
            ("`teams/alice/x` is a directory", "`x` is a directory"),
            ("could not flush `teams/alice`, so", "could not flush `.`, so"),
            ("could not flush `teams`, so", "could not flush `.`, so"),
            ("could not flush ``, so", "could not flush `.`, so"),
            ("no room on its disk", "no room on its disk"),
            // The client's own words stay, so nobody can find the root by trying.
            ("`teams/alice/x`teams/alice/y` is a", "`x`teams/alice/y` is a"),
            ("`teams/alice/teams/alice/y` is a", "`teams/alice/y` is a"),
        ] {
            assert_eq!(view().message(told.to_owned()), seen);
            assert_eq!(View::default().message(told.to_owned()), told);
        }
    }
}
