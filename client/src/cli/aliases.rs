//! Aliases: names that the file of settings gives to destinations.
//!
//! A word of the command line that stands for a place at a server is an alias, `NAME`, or a place below one, `NAME/PATH` or
//! `NAME:PATH`, if the file has that name. Sources on this machine are never looked up here.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use haul_protocol::Name;

use super::leaked;
use crate::net::destination::Destination;

/// The aliases of this process. clap's parsers are plain functions, so they find them here.
static KNOWN: OnceLock<Aliases> = OnceLock::new();

/// Sentences about the aliases that the command line has named.
static USED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The beginnings of other forms of a destination.
const FORMS: [&str; 2] = ["haul", "unix"];

/// The aliases of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Aliases(Vec<Alias>);

/// A name for a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alias {
    /// The name.
    pub(super) name: String,
    /// The destination, as it is written.
    pub(super) text: String,
    /// The file.
    pub(super) path: PathBuf,
    /// The line in the file, from 1.
    pub(super) line: usize,
    destination: Destination,
}

/// The place that a word with an alias means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Meant<'a> {
    /// The place.
    pub(super) destination: Destination,
    /// A slash stands at its end.
    pub(super) ends_with_slash: bool,
    alias: &'a Alias,
}

impl Alias {
    /// Reads an alias of a file.
    ///
    /// # Errors
    /// If the name or the destination is none.
    pub(super) fn new(path: &Path, line: usize, name: &str, text: &str) -> Result<Self, String> {
        check_name(name)?;
        if leaked::has_token(text.as_ref()) {
            return Err(format!(
                "`{name}` has a token in it, which belongs into no file of settings: `haul login` keeps it"
            ));
        }
        let destination = text.parse().map_err(|error| format!("`{name}`: {error}"))?;
        let (name, text, path) = (name.to_owned(), text.to_owned(), path.to_owned());
        Ok(Self { name, text, path, line, destination })
    }

    /// The end of a message: the place that the alias is a name for, and its line in the file.
    pub(super) fn told(&self) -> String {
        let Self { name, text, path, line, .. } = self;
        format!("`{name}` is an alias of {text} ({}:{line})", path.display())
    }
}

/// Whether a word can be the name of an alias.
fn check_name(name: &str) -> Result<(), String> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(is_letter) {
        return Err(format!("`{name}` is no name of an alias: letters, digits, `-`, `_` and `.`"));
    }
    if name.starts_with(['-', '.']) {
        return Err(format!(
            "`{name}` is no name of an alias: a word that begins with `-` is an option, with `.` a path"
        ));
    }
    if FORMS.contains(&name) {
        return Err(format!("`{name}` is no name of an alias: destinations begin with `{name}:`"));
    }
    Ok(())
}

impl Aliases {
    /// Those of a file.
    ///
    /// # Errors
    /// The lines of aliases that refer to another one.
    pub(super) fn new(aliases: Vec<Alias>) -> Result<Self, Vec<(usize, String)>> {
        let aliases = Self(aliases);
        let refers = |alias: &Alias| {
            let (other, _) = aliases.find(&alias.text)?;
            let Alias { name, text, line, .. } = alias;
            (other.name != *name).then(|| {
                let told = format!(
                    "`{name}` stands for `{text}`, where `{}` is an alias itself (line {}), and an alias does not refer to \
                     another one: write what that stands for, or haul:// or ssh:// in front of it if it is the host",
                    other.name, other.line
                );
                (*line, told)
            })
        };
        let wrong: Vec<_> = aliases.all().iter().filter_map(refers).collect();
        if wrong.is_empty() { Ok(aliases) } else { Err(wrong) }
    }

    /// All, in the order of the file.
    pub(super) fn all(&self) -> &[Alias] {
        &self.0
    }

    /// The alias at the beginning of a word, and the rest of the word.
    fn find<'a>(&self, text: &'a str) -> Option<(&Alias, &'a str)> {
        let (name, rest) = text.split_at(text.find([':', '/']).unwrap_or(text.len()));
        let alias = self.0.iter().find(|alias| alias.name == name)?;
        (!rest.starts_with("://")).then_some((alias, rest))
    }

    /// The place that a word means, if it begins with an alias.
    ///
    /// # Errors
    /// If the rest of the word is no path below the alias.
    pub(super) fn read(&self, text: &str) -> Option<Result<Meant<'_>, String>> {
        let (alias, rest) = self.find(text)?;
        Some(alias.below(text, rest))
    }
}

impl Alias {
    /// The place of the alias, or one below it.
    fn below(&self, text: &str, rest: &str) -> Result<Meant<'_>, String> {
        let Self { name, destination, .. } = self;
        let has_colon = rest.starts_with(':');
        let path = rest.get(1..).unwrap_or_default();
        let wrong = |why: String| format!("`{text}`: {why}; {}", self.told());
        if has_colon && is_elsewhere(path) {
            return Err(wrong(format!(
                "a path below the alias is meant by {name}/PATH or {name}:PATH, and the host of that name by haul://{text} or \
                 ssh://{name}/PATH"
            )));
        }
        let components = path.split('/').filter(|component| !matches!(*component, "" | "."));
        let below = components.collect::<Vec<_>>().join("/");
        if below.is_empty() && path.contains('.') {
            return Err(wrong(format!("the place of the alias itself is written {name}")));
        }
        let path = below;
        let ends_with_slash = match path.is_empty() {
            true => self.text.ends_with('/') || rest == "/",
            false => rest.ends_with('/'),
        };
        let path = match (&destination.path, path.as_bytes()) {
            (above, []) => above.clone(),
            (Some(above), below) => {
                Some(above.join(below).map_err(|error| wrong(error.to_string()))?)
            }
            (None, below) => Some(Name::parse(below).map_err(|error| wrong(error.to_string()))?),
        };
        let destination = destination.with_path(path);
        Ok(Meant { destination, ends_with_slash, alias: self })
    }
}

/// Whether the text behind a colon is a port or a path of its own, and none below the alias.
fn is_elsewhere(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or(path);
    let is_port = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
    is_port || path.starts_with(['/', '~', ':'])
}

impl Meant<'_> {
    /// The same, and messages about the server will tell of the alias from now on.
    pub(super) fn used(self) -> Self {
        let (told, mut used) = (self.told(), used());
        if !used.contains(&told) {
            used.push(told);
        }
        drop(used);
        self
    }

    /// The place that the alias is a name for.
    pub(super) fn told(&self) -> String {
        self.alias.told()
    }
}

fn used() -> MutexGuard<'static, Vec<String>> {
    USED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The aliases hold from now on. Once a process, before the command line is read.
pub(super) fn hold(aliases: &Aliases) {
    // A second file of settings is never read.
    let _ = KNOWN.set(aliases.clone());
}

/// The place that a word means, if it begins with an alias.
///
/// # Errors
/// If the rest of the word is no path below the alias.
pub(super) fn meant(text: &str) -> Result<Option<Meant<'static>>, String> {
    KNOWN.get().and_then(|aliases| aliases.read(text)).transpose()
}

/// A message that ends a command, with what each alias of the command line stands for.
pub(super) fn explained(message: String) -> String {
    let used = used();
    let unsaid = used.iter().filter(|told| !message.contains(*told));
    let ends = unsaid.map(|told| format!("; {told}")).collect::<String>();
    message + &ends
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn aliases(lines: &[(&str, &str)]) -> Aliases {
        let path = Path::new("config.toml");
        let read = |(line, (name, text)): (usize, &(&str, &str))| {
            Alias::new(path, line + 1, name, text).unwrap()
        };
        Aliases::new(lines.iter().enumerate().map(read).collect()).unwrap()
    }

    /// The destination of a word, as it would be written without an alias.
    fn same(aliases: &Aliases, text: &str, plain: &str) {
        let meant = aliases.read(text).unwrap_or_else(|| panic!("{text}")).unwrap();
        assert_eq!(Ok(meant.destination), plain.parse(), "{text}");
    }

    #[test]
    fn word_is_the_alias_or_a_place_below_it() {
        let known = aliases(&[
            ("tcp", "alice@box:9000/dir"),
            ("bare", "box"),
            ("far", "me@box:path"),
            ("root", "box:/srv"),
            ("here", "unix:/run/h.sock"),
            ("net", "haul://box/a%20b"),
            ("uri", "ssh://me@box:22/srv"),
            ("six", "[::1]:9000"),
            ("near", "printer.local"),
        ]);
        for (text, plain) in [
            ("tcp", "alice@box:9000/dir"),
            ("tcp/", "alice@box:9000/dir"),
            ("tcp:", "alice@box:9000/dir"),
            ("tcp/a/b", "alice@box:9000/dir/a/b"),
            ("tcp:a/b/", "alice@box:9000/dir/a/b"),
            ("bare/a", "box/a"),
            ("bare:a", "box/a"),
            ("far/a", "me@box:path/a"),
            ("far:a", "me@box:path/a"),
            ("far:./9", "me@box:path/9"),
            ("root:a", "box:/srv/a"),
            ("here:a:b", "unix:/run/h.sock:/a:b"),
            ("net/c%20d", "haul://box/a%20b/c%2520d"),
            ("uri/a b", "ssh://me@box:22/srv/a%20b"),
            ("six:a", "[::1]:9000/a"),
            ("near/x", "printer.local/x"),
        ] {
            same(&known, text, plain);
        }
        for text in ["me@tcp", "tcp2/a", "Tcp", "./tcp", "tcp://a", "haul://tcp/a", "a/tcp", ""] {
            assert_eq!(known.read(text), None, "{text}");
        }
    }

    #[test]
    fn port_or_absolute_path_behind_an_alias_is_told_with_both_meanings() {
        let known = aliases(&[("box", "me@box:path")]);
        for text in [
            "box:9000",
            "box:9000/a",
            "box:/a",
            "box:~",
            "box::a",
            "box/../a",
            "box:a/..",
            "box/.",
            "box:./",
        ] {
            let told = known.read(text).unwrap().unwrap_err();
            assert!(told.starts_with(&format!("`{text}`: ")), "{told}");
            assert!(told.ends_with("`box` is an alias of me@box:path (config.toml:1)"), "{told}");
        }
    }

    #[test]
    fn slash_at_the_end_is_the_alias_own_or_that_of_the_word() {
        let known = aliases(&[("a", "box/x"), ("b", "box/x/")]);
        for (text, expected) in
            [("a", false), ("a/", true), ("a:", false), ("b", true), ("b/y", false), ("a:y/", true)]
        {
            assert_eq!(known.read(text).unwrap().unwrap().ends_with_slash, expected, "{text}");
        }
    }

    #[test]
    fn name_that_a_word_of_the_command_line_can_not_have_is_refused() {
        let named = |name: &str| Alias::new(Path::new("c"), 1, name, "box");
        for name in ["", "a b", "a/b", "a:b", "ä", "a@b", "-a", ".a", "unix", "haul", "a\u{1b}"] {
            let told = named(name).unwrap_err();
            assert!(told.contains("is no name of an alias"), "{name}: {told}");
        }
        for name in ["a", "A-b_c.d", "9", "box.local"] {
            assert!(named(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn destination_that_is_none_is_refused_and_a_secret_is_not_repeated() {
        let token = haul_protocol::AccessToken::new([7; 5], [90; 32]).expose();
        for (text, hidden) in
            [("./dir", ""), ("a b", ""), ("haul://a:hunter2@box", "hunter2"), (&token, &token)]
        {
            let told = Alias::new(Path::new("c"), 1, "x", text).unwrap_err();
            assert!(told.starts_with("`x`"), "{told}");
            assert!(hidden.is_empty() || !told.contains(hidden), "{told}");
        }
    }

    #[test]
    fn alias_that_refers_to_another_one_is_told_and_one_may_have_the_name_of_its_host() {
        let path = Path::new("c");
        let line = |at, name, text| Alias::new(path, at, name, text).unwrap();
        let all = vec![line(1, "a", "b/x"), line(2, "b", "b:9000/y"), line(3, "c", "me@b")];
        let wrong = Aliases::new(all).unwrap_err();
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert_eq!(wrong[0].0, 1);
        assert!(wrong[0].1.contains("`b` is an alias itself (line 2)"), "{wrong:?}");
    }

    proptest! {
        #[test]
        fn no_word_panics_or_leaves_the_place_of_the_alias(rest in "[:/.~a-z0-9 @%\\PC]{0,16}") {
            let known = aliases(&[("box", "me@host:path")]);
            if let Some(Ok(meant)) = known.read(&format!("box{rest}")) {
                let path = meant.destination.path.unwrap();
                let path = path.as_bytes();
                prop_assert!(path == b"path" || path.starts_with(b"path/"));
                prop_assert!(!path.split(|&byte| byte == b'/').any(|it| it == b".."));
            }
        }
    }
}
