//! The decision about an entry of the server, by the entry that stands here: the one policy, of real and of dry runs.

use haul_protocol::{Attributes, Entry, EntryKind};

use crate::target::{Kind, Standing};

/// The task of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Everything comes.
    Get,
    /// Only entries come that this machine lacks or has differently.
    Sync,
}

/// The action of a client about a file or symlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// It comes, for this reason.
    Bring(&'static str),
    /// The bytes are there, and get this mode.
    Adjust(Attributes, &'static str),
    /// The digest of its bytes decides.
    Compare,
    /// It stays as it is.
    Keep,
    /// An entry that does not make way has its place.
    Blocked(Kind),
}

/// The part of the wishes that decides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    pub(super) mode: Mode,
    pub(super) ignore_existing: bool,
    pub(super) by_digest: bool,
}

/// Decides about a file or symlink of the server. `there`: the entry here.
pub(super) fn decide(entry: &Entry, there: Option<&Standing>, policy: Policy) -> Action {
    let Some(there) = there else { return Action::Bring("this machine lacks it") };
    if policy.ignore_existing {
        return Action::Keep;
    }
    match (&entry.kind, there.kind) {
        (_, blocked @ (Kind::Directory | Kind::Other)) => Action::Blocked(blocked),
        (_, _) if policy.mode == Mode::Get => Action::Bring("it is replaced"),
        (EntryKind::File { size, .. }, Kind::File) if policy.by_digest && there.size == *size => {
            Action::Compare
        }
        (EntryKind::File { size, .. }, Kind::File) => file(entry, *size, there),
        (EntryKind::Link { target }, Kind::Symlink) => match &there.link {
            Some(link) if link == target => mtime(entry, there),
            _ => Action::Bring("it points elsewhere"),
        },
        _ => Action::Bring("another kind of entry is here"),
    }
}

fn file(entry: &Entry, size: u64, there: &Standing) -> Action {
    if there.size != size {
        return Action::Bring("its size is another one");
    }
    match (mtime(entry, there), entry.mode) {
        (Action::Keep, Some(mode)) if mode & 0o777 != there.mode & 0o777 => {
            if there.has_other_names {
                // Under those it keeps its mode.
                return Action::Bring("its mode is another one, and it is a hard link");
            }
            if !there.is_own {
                return Action::Bring("its mode is another one, and it is another user's");
            }
            let attributes = Attributes { mode: Some(mode), mtime: None };
            Action::Adjust(attributes, "its mode is another one")
        }
        (action, _) => action,
    }
}

/// Decides about a file that has the same bytes here.
pub(super) fn same_bytes(attributes: &Attributes, there: &Standing) -> Action {
    let mode = attributes.mode.filter(|mode| mode & 0o777 != there.mode & 0o777);
    let mtime = attributes.mtime.filter(|mtime| there.mtime != Some(*mtime));
    match (mode, mtime) {
        (None, None) => Action::Keep,
        // Under its other names it keeps both.
        _ if there.has_other_names => {
            Action::Bring("its mode or mtime is another one, and it is a hard link")
        }
        _ if !there.is_own => {
            Action::Bring("its mode or mtime is another one, and it is another user's")
        }
        (_, None) => Action::Adjust(Attributes { mode, mtime }, "its mode is another one"),
        _ => Action::Adjust(Attributes { mode, mtime }, "its mtime is another one"),
    }
}

/// An entry with another mtime may have other bytes; one of which the server tells no mtime as well.
fn mtime(entry: &Entry, there: &Standing) -> Action {
    match entry.mtime {
        Some(mtime) if there.mtime == Some(mtime) => Action::Keep,
        _ => Action::Bring("its mtime is another one"),
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::{LinkTarget, Mtime, Name};

    use super::*;

    const THEN: Option<Mtime> = Some(Mtime { s: 1, ns: 5 });
    const LATER: Option<Mtime> = Some(Mtime { s: 1, ns: 6 });

    fn entry(kind: EntryKind, mode: Option<u32>) -> Entry {
        Entry { name: Name::parse(b"f").unwrap(), kind, mode, mtime: THEN }
    }

    fn there(kind: Kind, size: u64, mtime: Option<Mtime>) -> Standing {
        let link = (kind == Kind::Symlink).then(|| LinkTarget::parse(b"t").unwrap());
        Standing { kind, size, link, mode: 0o644, mtime, has_other_names: false, is_own: true }
    }

    #[test]
    fn sync_brings_only_what_differs_and_get_everything() {
        let file = entry(EntryKind::File { size: 3, digest: None }, Some(0o644));
        let link =
            |to: &[u8]| entry(EntryKind::Link { target: LinkTarget::parse(to).unwrap() }, None);
        let (same, symlink) = (there(Kind::File, 3, THEN), there(Kind::Symlink, 1, THEN));
        let policy = |mode, ignore_existing| Policy { mode, ignore_existing, by_digest: false };
        let sync =
            |entry: &Entry, there: &Standing| decide(entry, Some(there), policy(Mode::Sync, false));
        assert_eq!(sync(&file, &same), Action::Keep);
        assert_eq!(sync(&link(b"t"), &symlink), Action::Keep);
        for (entry, there) in [
            (&file, there(Kind::File, 4, THEN)),
            (&file, there(Kind::File, 3, LATER)),
            (&file, there(Kind::File, 3, None)),
            (&file, symlink.clone()),
            (&link(b"u"), symlink),
            (&link(b"t"), there(Kind::Symlink, 1, LATER)),
            (&link(b"t"), same.clone()),
        ] {
            assert!(matches!(sync(entry, &there), Action::Bring(_)), "{entry:?} {there:?}");
        }
        let other = Entry { mode: Some(0o600), ..file.clone() };
        let attributes = Attributes { mode: Some(0o600), mtime: None };
        assert!(matches!(sync(&other, &same), Action::Adjust(found, _) if found == attributes));
        let linked = Standing { has_other_names: true, ..same.clone() };
        assert!(matches!(sync(&other, &linked), Action::Bring(_)));
        assert_eq!(sync(&file, &linked), Action::Keep);
        let foreign = Standing { is_own: false, ..same.clone() };
        assert!(matches!(sync(&other, &foreign), Action::Bring(_)));
        assert_eq!(sync(&file, &foreign), Action::Keep);
        let get = decide(&file, Some(&same), policy(Mode::Get, false));
        assert!(matches!(get, Action::Bring(_)));
        assert!(matches!(decide(&file, None, policy(Mode::Sync, true)), Action::Bring(_)));
    }

    #[test]
    fn digests_decide_about_files_of_one_size_only_and_then_mode_and_mtime_are_set() {
        let policy = Policy { mode: Mode::Sync, ignore_existing: false, by_digest: true };
        let file = entry(EntryKind::File { size: 3, digest: None }, Some(0o644));
        let decided = |there: &Standing| decide(&file, Some(there), policy);
        for mtime in [THEN, LATER, None] {
            assert_eq!(decided(&there(Kind::File, 3, mtime)), Action::Compare);
            assert!(matches!(decided(&there(Kind::File, 4, mtime)), Action::Bring(_)));
        }
        assert!(matches!(decided(&there(Kind::Symlink, 3, THEN)), Action::Bring(_)));
        let attributes = |mode, mtime| Attributes { mode, mtime };
        let same = there(Kind::File, 3, THEN);
        assert_eq!(same_bytes(&attributes(Some(0o644), THEN), &same), Action::Keep);
        assert_eq!(same_bytes(&attributes(None, None), &same), Action::Keep);
        let both = attributes(Some(0o600), LATER);
        assert!(matches!(same_bytes(&both, &same), Action::Adjust(found, _) if found == both));
        let foreign = Standing { is_own: false, ..same.clone() };
        let linked = Standing { has_other_names: true, ..same };
        for other in [linked, foreign] {
            assert!(matches!(same_bytes(&both, &other), Action::Bring(_)));
        }
    }

    #[test]
    fn directory_here_makes_way_for_no_file() {
        let file = entry(EntryKind::File { size: 3, digest: None }, None);
        for mode in [Mode::Get, Mode::Sync] {
            let policy = Policy { mode, ignore_existing: false, by_digest: true };
            let action = decide(&file, Some(&there(Kind::Directory, 0, THEN)), policy);
            assert_eq!(action, Action::Blocked(Kind::Directory));
        }
        let policy = Policy { mode: Mode::Get, ignore_existing: true, by_digest: false };
        let kept = decide(&file, Some(&there(Kind::Directory, 0, THEN)), policy);
        assert_eq!(kept, Action::Keep);
    }
}
