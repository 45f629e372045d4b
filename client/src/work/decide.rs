//! The decision about an item: the one policy, of real and of dry runs.

use haul_protocol::{Attributes, Verdict};

use super::known::Known;
use super::{Item, Kind, Stated};
use crate::plan::policy::Policy;

/// Bytes of a page, of which some file systems say that all files have one.
const PAGE: u64 = 4096;

/// The meaning of a server's verdict about an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// The verdict may be wrong, because the size of the file may be: an empty file, for which the server has an entry, and
    /// one of whole pages, which `/sys` says of all files.
    Doubtful,
    /// Bytes count, and are all that may differ, apart from what a mode or mtime is.
    Undecided,
    /// Nothing is to be done.
    Settled,
    /// Something is.
    Differs,
}

/// One thing that a client can do about an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is sent, made, removed or listed.
    Carry,
    /// It is a directory, and a file or symlink makes way for it.
    Replace,
    /// The bytes of the file are there; it gets these.
    Adjust(Attributes),
    /// Something of another kind is in its way.
    Blocked,
}

/// Interprets the verdict about an item. `is_looked_at`: the client has read the item to its end if its size was in doubt.
#[must_use]
pub fn compared(
    item: &Item,
    verdict: Option<Verdict>,
    is_looked_at: bool,
    policy: &Policy,
) -> Compared {
    if !is_looked_at && is_doubtful(item, verdict, policy) {
        Compared::Doubtful
    } else if is_undecided(item, verdict, policy) {
        Compared::Undecided
    } else if is_settled(item, verdict, policy) {
        Compared::Settled
    } else {
        Compared::Differs
    }
}

/// Decides about an item that differs, or of which the server was not asked.
#[must_use]
pub fn decide(item: &Item, policy: &Policy) -> Action {
    // `put` sends every file whole.
    if policy.only_changed()
        && let Some(attributes) = item.only_attributes()
    {
        return Action::Adjust(attributes);
    }
    match (&item.kind, item.compared.known) {
        // A directory that is to be published does not take the place of a file.
        (Kind::Directory(None), Known::Is(Verdict::Kind)) if policy.is_whole() => Action::Blocked,
        (Kind::Directory(_), Known::Is(Verdict::Kind)) if policy.only_changed() => Action::Replace,
        (Kind::Directory(_), Known::Is(Verdict::Kind)) => Action::Blocked,
        // With `--delete` what is in the directory goes before, unless nobody looks through the one that it is in.
        (Kind::File | Kind::Link, Known::Is(Verdict::Directory))
            if policy.delete().is_none() || item.named =>
        {
            Action::Blocked
        }
        _ => Action::Carry,
    }
}

fn is_doubtful(item: &Item, verdict: Option<Verdict>, policy: &Policy) -> bool {
    let Some(Stated { size, digest: None, .. }) = item.compared.stated else { return false };
    if item.untrue || item.opened.is_some() || policy.ignore_existing {
        return false;
    }
    match verdict {
        // For `verify` only bytes count, and its run sends nothing that would show the size.
        Some(Verdict::Size) => policy.verifies() || size.is_multiple_of(PAGE),
        // The present version may have it: the verdict is about the next one.
        Some(Verdict::Missing) => policy.is_publish() && size.is_multiple_of(PAGE),
        Some(Verdict::Same | Verdict::Mtime | Verdict::Mode) => size == 0,
        _ => false,
    }
}

fn is_undecided(item: &Item, verdict: Option<Verdict>, policy: &Policy) -> bool {
    let may_be_same = matches!(verdict, Some(Verdict::Same | Verdict::Mtime | Verdict::Mode));
    policy.by_digest && !item.compared.by_digest && matches!(item.kind, Kind::File) && may_be_same
}

fn is_settled(item: &Item, verdict: Option<Verdict>, policy: &Policy) -> bool {
    match (&item.kind, verdict) {
        (Kind::Directory(_) | Kind::Attributes(_), Some(Verdict::Same)) => true,
        // A directory that a dry run would have made is not there for its attributes.
        (Kind::Attributes(_), Some(Verdict::Missing | Verdict::Kind)) => {
            policy.dry_run || policy.ignore_existing
        }
        (Kind::File | Kind::Link, Some(Verdict::Missing)) => false,
        (Kind::File | Kind::Link, _) | (Kind::Directory(_), Some(Verdict::Kind))
            if policy.ignore_existing =>
        {
            true
        }
        (_, Some(Verdict::Same)) => policy.only_changed(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::Name;

    use super::*;
    use crate::plan::policy::{Delete, Mode};
    use crate::source::filter::{Filter, Rules};

    fn policy(mode: Mode) -> Policy {
        Policy::new(mode, Filter::new(&Rules::default()).unwrap())
    }

    fn item(kind: Kind, verdict: Verdict) -> Item {
        let mut item = Item::new("f".into(), Name::parse(b"f").unwrap(), kind);
        item.compared.known = Known::Is(verdict);
        item
    }

    /// Beside the same run without `-n`.
    #[test]
    fn dry_run_decides_as_the_run_itself() {
        let modes = || {
            let name = Name::parse(b"d").unwrap();
            let delete = Delete::HARMLESS;
            [Mode::Put, Mode::Sync(None), Mode::Sync(Some(delete)), Mode::Publish(name, delete)]
        };
        let kinds =
            || [Kind::File, Kind::Link, Kind::Directory(None), Kind::Directory(Some(0o700))];
        let verdicts = [Verdict::Missing, Verdict::Kind, Verdict::Directory, Verdict::Size];
        for (mode, dry) in modes().into_iter().zip(modes()) {
            let (run, dry) = (policy(mode), Policy { dry_run: true, ..policy(dry) });
            for (kind, verdict) in
                kinds().into_iter().flat_map(|kind| verdicts.map(|v| (kind.clone(), v)))
            {
                let item = item(kind, verdict);
                assert_eq!(decide(&item, &run), decide(&item, &dry), "{item:?}");
            }
        }
    }

    /// Also of a file whose size may be untrue, whatever size it states.
    #[test]
    fn dry_run_compares_as_the_run_itself() {
        let delete = || Delete::HARMLESS;
        let modes = || [Mode::Put, Mode::Sync(None), Mode::Sync(Some(delete()))];
        let verdicts = [Verdict::Same, Verdict::Size, Verdict::Mtime, Verdict::Mode];
        for (mode, dry) in modes().into_iter().zip(modes()) {
            let (run, dry) = (policy(mode), Policy { dry_run: true, ..policy(dry) });
            for (size, verdict) in
                [0, 1, 256, PAGE].into_iter().flat_map(|s| verdicts.map(|v| (s, v)))
            {
                let mut file = item(Kind::File, verdict);
                let attributes = Attributes::default();
                file.compared.stated = Some(Stated { attributes, size, digest: None });
                let of = |policy| compared(&file, Some(verdict), false, policy);
                assert_eq!(of(&run), of(&dry), "{size} bytes, {verdict:?}");
            }
        }
    }

    #[test]
    fn what_is_in_the_way_goes_only_if_what_is_too_much_goes() {
        let file = item(Kind::File, Verdict::Directory);
        assert_eq!(decide(&file, &policy(Mode::Sync(None))), Action::Blocked);
        let delete = policy(Mode::Sync(Some(Delete::HARMLESS)));
        assert_eq!(decide(&file, &delete), Action::Carry);
        assert_eq!(decide(&Item { named: true, ..file }, &delete), Action::Blocked);
        let directory = item(Kind::Directory(Some(0o755)), Verdict::Kind);
        assert_eq!(decide(&directory, &policy(Mode::Sync(None))), Action::Replace);
        assert_eq!(decide(&directory, &policy(Mode::Put)), Action::Blocked);
    }

    #[test]
    fn file_that_says_size_0_is_doubted_once() {
        let stated = Stated { attributes: Attributes::default(), size: 0, digest: None };
        let mut file = item(Kind::File, Verdict::Same);
        file.compared.stated = Some(stated);
        let sync = policy(Mode::Sync(None));
        let same = Some(Verdict::Same);
        assert_eq!(compared(&file, same, false, &sync), Compared::Doubtful);
        assert_eq!(compared(&file, same, true, &sync), Compared::Settled);
        let bytes = Policy { by_digest: true, ..sync };
        assert_eq!(compared(&file, same, true, &bytes), Compared::Undecided);
    }
}
