//! The symbolic links that the server stores (PROTOCOL.md, "symlink").

use haul_protocol::{Code, LinkTarget, Name, Refusal};

/// The symbolic links that the server stores. This server follows none of them, but other programs may follow those
/// that it stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symlinks {
    /// Any, as they are.
    Any,
    /// Links that can't lead out of the root.
    Inside,
    /// None.
    None,
}

impl Symlinks {
    /// The links that a client may make. Without another word of the server's owner, accounts are kept apart: links of one do
    /// not lead to files of another.
    pub(crate) fn of_client(chosen: Option<Self>, has_account: bool) -> Self {
        chosen.unwrap_or(if has_account { Self::Inside } else { Self::Any })
    }

    /// Whether a link of this name may point there.
    pub(crate) fn check(self, name: &Name, target: &LinkTarget) -> Result<(), Refusal> {
        match self {
            Self::Any => Ok(()),
            Self::Inside if stays_inside(name, target.as_bytes()) => Ok(()),
            Self::Inside => {
                let target = String::from_utf8_lossy(target.as_bytes());
                let why = format!("`{name}` points to `{target}`, which may lead out of the root");
                Err(Refusal::new(Code::Symlink, why))
            }
            Self::None => Err(Refusal::new(Code::Symlink, "symbolic links are not stored here")),
        }
    }

    /// Whether a link may get another name. By that none comes to lead out of the root that did not.
    pub(crate) fn check_move(
        self,
        (name, to): (&Name, &Name),
        target: &LinkTarget,
    ) -> Result<(), Refusal> {
        let stays = |name| stays_inside(name, target.as_bytes());
        if self == Self::Any || !stays(name) || stays(to) {
            return Ok(());
        }
        let target = String::from_utf8_lossy(target.as_bytes());
        let why =
            format!("`{name}` points to `{target}`, which may lead out of the root from `{to}`");
        Err(Refusal::new(Code::Symlink, why))
    }

    /// Whether a directory may get another name with links that nobody has looked at: from a place that is no higher, none
    /// leads further up.
    pub(crate) fn may_move_unseen(self, name: &Name, to: &Name) -> bool {
        self == Self::Any || to.depth() >= name.depth()
    }
}

/// Whether a target can't lead out, whatever other links there are, if those can't either: all `..` come
/// first, where they are of real directories, and are no more than there are. The server's own `.haul` is out
/// as well, so no component has that name: the ones before it may be links to the root.
fn stays_inside(name: &Name, target: &[u8]) -> bool {
    if target.starts_with(b"/") {
        return false;
    }
    let above = name.split().0;
    let mut above = if above.is_empty() { 0 } else { above.split(|&byte| byte == b'/').count() };
    let mut down = false;
    for component in target.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if down || above == 0 => return false,
            b".." => above -= 1,
            component if component.eq_ignore_ascii_case(b".haul") => return false,
            _ => down = true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn move_makes_no_link_lead_out() {
        let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
        let moved = |which: Symlinks, from: &str, to: &str, target: &str| {
            let target = LinkTarget::parse(target.as_bytes()).unwrap();
            which.check_move((&name(from), &name(to)), &target).is_ok()
        };
        for which in [Symlinks::Inside, Symlinks::None] {
            assert!(moved(which, "a/l", "b/c/l", "../x"));
            assert!(moved(which, "a/b/l", "l", "x"));
            assert!(!moved(which, "a/b/l", "l", "../x"));
            // It leads out already.
            assert!(moved(which, "a/b/l", "l", "/etc") && moved(which, "a/l", "l", "../../x"));
        }
        assert!(moved(Symlinks::Any, "a/b/l", "l", "../x"));
        let unseen =
            |from: &str, to: &str| Symlinks::Inside.may_move_unseen(&name(from), &name(to));
        assert!(unseen("a/b", "c/d") && unseen("a", "c/d") && !unseen("a/b", "c"));
    }

    #[test]
    fn only_what_can_not_lead_out_is_inside() {
        let inside = |name: &str, target: &str| {
            stays_inside(&Name::parse(name.as_bytes()).unwrap(), target.as_bytes())
        };
        for (name, target) in [
            ("l", "x"),
            ("l", "."),
            ("a/l", ".."),
            ("a/b/l", "../../x/y"),
            ("a/b/l", "./../c/./d"),
            ("a/l", "nothing/there"),
            ("a/l", "x.haul"),
            ("l", ".hauls"),
        ] {
            assert!(inside(name, target), "{name} -> {target}");
        }
        for (name, target) in [
            ("l", "/"),
            ("l", "/etc/passwd"),
            ("l", ".."),
            ("a/l", "../.."),
            ("a/l", "../../x"),
            // `x` may be a link to somewhere deep or high.
            ("a/l", "x/.."),
            ("a/b/c/l", "../x/../y"),
            ("l", ".haul/lock"),
            ("a/l", "../.HAUL/lock"),
            // `up` may be a link to the root.
            ("z", "a/up/.haul"),
            ("a/l", ".haul"),
        ] {
            assert!(!inside(name, target), "{name} -> {target}");
        }
    }
}
