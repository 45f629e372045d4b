//! Places that ssh leads to, as people write them: `[USER@]HOST:PATH`, as scp and rsync read it, and `ssh://` URIs.

use haul_protocol::Name;
use percent_encoding::percent_decode_str;

use super::{Access, Runs, Ssh};
use crate::error::destination::DestinationError;
use crate::net::authority::{is_v6, number};

/// The parts of `[USER@]HOST:PATH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    user: Option<&'a str>,
    host: &'a str,
    path: &'a str,
}

/// Characters of the longest number of a port, and one more.
const PORT_LEN: usize = 6;

impl<'a> Parts<'a> {
    /// The parts, if a text has them: a colon stands before its first slash, and the text behind the colon is no port and
    /// looks like none that is mistyped. It is the one rule that tells ssh from all other forms.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        let end = text.find('/').unwrap_or(text.len());
        // A user may be `me@domain`. If the colon comes first, all before the `@` may be a secret, which is told.
        let before = text[..end].split(':').next().unwrap_or_default();
        let (user, rest) = match before.rfind('@') {
            Some(at) => (Some(&text[..at]), &text[at + 1..]),
            None if text[..end].contains('@') => return None,
            None => (None, text),
        };
        let (host, path) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (host, rest) = bracketed.split_once(']')?;
                (host, rest.strip_prefix(':').filter(|_| is_v6(host))?)
            }
            None => rest.split_once(':').filter(|(host, _)| !host.contains('/'))?,
        };
        let authority = rest.split('/').next().unwrap_or(rest);
        let is_address = !rest.starts_with('[') && is_address(authority);
        let is_other = is_address || host.is_empty() || path.starts_with(':') || is_port(path);
        (!is_other).then_some(Self { user, host, path })
    }

    /// The machine, and the path below its first root.
    ///
    /// # Errors
    /// If ssh could take a part for an option, or the path leads nowhere.
    pub(crate) fn read(self) -> Result<(Ssh, Option<Name>), DestinationError> {
        let Self { user, host, path } = self;
        let path = path.strip_prefix("~/").unwrap_or(if path == "~" { "" } else { path });
        ssh(user.map(str::to_owned), host.to_owned(), None, path.as_bytes())
    }
}

/// Whether it is an IPv6 address, with or without a port.
fn is_address(text: &str) -> bool {
    let before = text.rsplit_once(':').filter(|(_, port)| number(port).is_some());
    text.matches(':').count() > 1 && (is_v6(text) || before.is_some_and(|(host, _)| is_v6(host)))
}

/// Whether the first component of a path is a number, or looks like a port that is mistyped: then it is never a directory.
fn is_port(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or(path);
    let is_like = |c: char| c.is_alphanumeric() || c == ':';
    let is_number = first.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = first.chars().count() <= PORT_LEN && first.chars().all(is_like);
    first.starts_with(|first: char| first.is_ascii_digit()) && (is_number || is_short)
}

/// The form of a URI: `rest` follows `ssh://`. `/PATH` is absolute, `/~/PATH` relative to the home.
///
/// # Errors
/// If it names no host, has a secret in it, or ssh could take a part for an option.
pub(crate) fn uri(rest: &str) -> Result<(Ssh, Option<Name>), DestinationError> {
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if let Some((user, _)) = user.and_then(|user| user.split_once(':')) {
        return Err(DestinationError::SshSecret(format!("ssh://{user}@{host}{path}")));
    }
    // RFC 6874 has `%25` before the zone of an IPv6 address.
    let host = host.replacen("%25", "%", 1);
    let (host, port) = match host.strip_prefix('[') {
        Some(bracketed) => {
            let wrong = || DestinationError::Brackets(host.clone());
            let (v6, port) = bracketed.split_once(']').ok_or_else(wrong)?;
            match port.strip_prefix(':') {
                _ if !is_v6(v6) => return Err(wrong()),
                None if !port.is_empty() => return Err(wrong()),
                port => (v6, port),
            }
        }
        None => host.split_once(':').map_or((&*host, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(text) => Some(number(text).ok_or_else(|| DestinationError::SshPort {
            port: text.to_owned(),
            host: host.to_owned(),
        })?),
        None => None,
    };
    let user = user.map(|user| percent_decode_str(user).decode_utf8_lossy().into_owned());
    let path: Vec<u8> = percent_decode_str(path).collect();
    let path = match path.as_slice() {
        b"/~" => b"",
        path => path.strip_prefix(b"/~/").unwrap_or(path),
    };
    // Only the home of another user begins so now.
    let path = path.strip_prefix(b"/").filter(|rest| rest.starts_with(b"~")).unwrap_or(path);
    ssh(user, host.to_owned(), port, path)
}

/// Splits a path into the part that no name can have, which is the root, and the names below.
fn ssh(
    user: Option<String>,
    host: String,
    port: Option<u16>,
    path: &[u8],
) -> Result<(Ssh, Option<Name>), DestinationError> {
    let is_host = |c: char| !c.is_control() && !c.is_whitespace() && !SHELL.contains(c);
    if host.is_empty() || host.starts_with('-') || !host.chars().all(is_host) {
        return Err(DestinationError::SshHost(host));
    }
    let is_user = |c: char| !c.is_control() && !c.is_whitespace() && !SHELL.contains(c);
    if let Some(user) = &user
        && (user.is_empty() || user.starts_with('-') || !user.chars().all(is_user))
    {
        return Err(DestinationError::SshUser(user.clone()));
    }
    let shown = || String::from_utf8_lossy(path).into_owned();
    if path.starts_with(b"~") {
        return Err(DestinationError::OtherHome { path: shown(), host });
    }
    let is_absolute = path.starts_with(b"/");
    let components = path.split(|&byte| byte == b'/').filter(|it| !it.is_empty() && *it != b".");
    let components: Vec<&[u8]> = components.collect();
    let above = components.iter().rposition(|component| *component == b"..").map_or(0, |at| at + 1);
    let (above, below) = components.split_at(above);
    let root = [if is_absolute { &b"/"[..] } else { b"" }, &above.join(&b'/')].concat();
    let wrong = |source| DestinationError::Path { path: shown(), source };
    let name = match below {
        [] => None,
        below => Some(Name::parse(&below.join(&b'/')).map_err(wrong)?),
    };
    // The root has no bytes that the name may not have.
    Ok((Ssh { user, host, port, root, access: Access::Changes, runs: Runs::default() }, name))
}

/// Characters that mean something to shells: ssh lets no name have them, since it may hand the name to one.
const SHELL: &str = "'`\"$;&<>|(){}";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<(Ssh, Option<Name>), DestinationError> {
        match text.strip_prefix("ssh://") {
            Some(rest) => uri(rest),
            None => Parts::of(text).unwrap_or_else(|| panic!("{text}")).read(),
        }
    }

    #[test]
    fn forms_of_scp_and_of_uris_are_read() {
        let name = |text: &str| Name::parse(text.as_bytes()).ok();
        for (text, user, host, port, root, path) in [
            ("box:", None, "box", None, "", ""),
            ("box:a/b/", None, "box", None, "", "a/b"),
            ("me@box:~", Some("me"), "box", None, "", ""),
            ("Me.X@box:~/a", Some("Me.X"), "box", None, "", "a"),
            ("box:/", None, "box", None, "/", ""),
            ("box:/srv//up/./x", None, "box", None, "/", "srv/up/x"),
            ("box:./99", None, "box", None, "", "99"),
            ("box:2026-photos/a", None, "box", None, "", "2026-photos/a"),
            ("box:2026 photos", None, "box", None, "", "2026 photos"),
            ("box:../a", None, "box", None, "..", "a"),
            ("box:/a/../b/c", None, "box", None, "/a/..", "b/c"),
            ("me@box:a:b@c", Some("me"), "box", None, "", "a:b@c"),
            ("me@there@box:a", Some("me@there"), "box", None, "", "a"),
            ("box:a/b@c", None, "box", None, "", "a/b@c"),
            ("box:a%20b", None, "box", None, "", "a%20b"),
            ("[fe80::1%eth0]:a", None, "fe80::1%eth0", None, "", "a"),
            ("me@[::1]:/a", Some("me"), "::1", None, "/", "a"),
            ("ssh://box", None, "box", None, "", ""),
            ("ssh://box/", None, "box", None, "/", ""),
            ("ssh://me@box:22/srv/a%20b", Some("me"), "box", Some(22), "/", "srv/a b"),
            ("ssh://box/~/a", None, "box", None, "", "a"),
            ("ssh://box/~", None, "box", None, "", ""),
            ("ssh://a%2Bb@[fe80::1%25eth0]:2/x", Some("a+b"), "fe80::1%eth0", Some(2), "/", "x"),
        ] {
            let (found, below) = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let parts = (found.user.as_deref(), &*found.host, found.port);
            assert_eq!(parts, (user, host, port), "{text}");
            assert_eq!((found.root.as_slice(), below), (root.as_bytes(), name(path)), "{text}");
        }
    }

    #[test]
    fn all_else_is_not_ssh() {
        for text in [
            "box",
            "box/a:b",
            "box:99",
            "box:99/x",
            "box:0",
            "box:18a",
            "box:8O80/x",
            "box:99:in",
            "::1",
            "::1/a",
            "fe80::1%eth0:99",
            "2001:db8::99",
            "[::1]",
            "[::1]:99/a",
            "[box]:a",
            "box::mod",
            ":a",
            ":8080",
            "a:b@box:c",
            "a:b@box",
            "box:a:b@c",
            "me@box",
            "me@box/a:b",
        ] {
            assert_eq!(Parts::of(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_that_ssh_takes_for_an_option_gets_through() {
        for text in [
            "-oProxyCommand=x:a",
            "-oProxyCommand=x@box:a",
            "me@-x:a",
            "ssh://-x/a",
            "ssh://-l@box/a",
            "ssh://%2Dl@box/a",
            "b ox:a",
            "b\u{7}x:a",
            "m\u{1b}e@box:a",
            "ssh://m%0Ae@box/a",
            "$(x):a",
            "me;x@box:a",
            "@box:a",
            "ssh:///a",
            "ssh://",
        ] {
            let found = read(text);
            let is_refused =
                matches!(found, Err(DestinationError::SshHost(_) | DestinationError::SshUser(_)));
            assert!(is_refused, "{text}: {found:?}");
        }
        for text in ["box:~me/x", "box:~me", "ssh://box/~me/x"] {
            assert!(matches!(read(text), Err(DestinationError::OtherHome { .. })), "{text}");
        }
        for text in ["box:a\0b", "ssh://box/a%00b", "box:.haul/x"] {
            assert!(matches!(read(text), Err(DestinationError::Path { .. })), "{text}");
        }
        assert!(matches!(read("ssh://me:pw@box/a"), Err(DestinationError::SshSecret(_))));
        assert!(matches!(read("ssh://box:0/a"), Err(DestinationError::SshPort { .. })));
    }

    proptest! {
        #[test]
        fn host_and_user_never_look_like_an_option(text in "[-a-z@:\\[\\]/.~% \\PC]{0,24}") {
            let found = Parts::of(&text).map(Parts::read).into_iter().chain([uri(&text)]);
            for (ssh, name) in found.flatten() {
                let words = ssh.user.iter().chain([&ssh.host]);
                for word in words {
                    prop_assert!(!word.is_empty() && !word.starts_with('-'));
                    prop_assert!(!word.chars().any(|c| c.is_control() || c.is_whitespace()));
                }
                // `..` stands in the root only, and as its last component.
                let name = name.map(|name| name.as_bytes().to_vec()).unwrap_or_default();
                prop_assert!(!name.split(|&byte| byte == b'/').any(|it| it == b".."));
                let root = ssh.root.split(|&byte| byte == b'/').next_back().unwrap_or_default();
                prop_assert!(root.is_empty() || root == b"..");
            }
        }

        #[test]
        fn path_is_kept(components in prop::collection::vec("[a-z][ a-z:@%$'\"]{0,5}", 1..4)) {
            let path = components.join("/");
            let (ssh, name) = read(&format!("me@box:{path}")).unwrap();
            let name = name.unwrap();
            prop_assert_eq!(name.as_bytes(), path.as_bytes());
            prop_assert!(ssh.root.is_empty());
        }
    }
}
