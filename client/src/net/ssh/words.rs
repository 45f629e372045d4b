//! The command line of ssh.

use super::install::{COMMAND, Install};
use super::{Ssh, ciphers};

/// The programs that are run for a destination of ssh.
#[derive(Debug, Clone)]
pub struct Runs {
    /// The words before the host; none for the system's ssh.
    ssh: Option<Vec<String>>,
    /// The remote program, in the words of the shell there.
    hauld: String,
    /// Connections may go past ssh.
    is_direct: bool,
    /// hauld is copied to a machine that has none.
    pub(super) install: Option<Install>,
    /// The destination as written, if an entry on this machine has the same name.
    pub(crate) is_here_too: Option<String>,
}

/// The name of the remote program.
const HAULD: &str = "hauld";

/// Characters that mean nothing to any shell.
const PLAIN: &[u8] = b"_./@%+=:,-";

/// Two that run the same programs are equal.
impl PartialEq for Runs {
    fn eq(&self, other: &Self) -> bool {
        (&self.ssh, &self.hauld, self.is_direct, &self.install)
            == (&other.ssh, &other.hauld, other.is_direct, &other.install)
    }
}

impl Eq for Runs {}

impl Default for Runs {
    fn default() -> Self {
        let (ssh, hauld, install, is_here_too) = (None, HAULD.to_owned(), None, None);
        Self { ssh, hauld, is_direct: true, install, is_here_too }
    }
}

impl Runs {
    /// Another program for ssh, with words that stand before the host. `command` is split as a shell splits it, and no shell
    /// is run. `None`: it has no word, or a quotation mark without its other one.
    #[must_use]
    pub fn ssh(self, command: &str) -> Option<Self> {
        let words = shlex::split(command).filter(|words| words.iter().any(|it| !it.is_empty()))?;
        let has_nul = words.iter().any(|word| word.contains('\0'));
        (!has_nul && !words[0].is_empty()).then_some(Self { ssh: Some(words), ..self })
    }

    /// Another name or path of the remote hauld, in the words of the shell there. `None`: ssh would take it for an option, or
    /// it has control characters.
    #[must_use]
    pub fn hauld(self, hauld: &str) -> Option<Self> {
        let is_word = !hauld.trim().is_empty() && !hauld.trim_start().starts_with('-');
        let is_plain = !hauld.chars().any(char::is_control);
        (is_word && is_plain).then(|| Self { hauld: hauld.to_owned(), ..self })
    }

    /// Whether a run may have connections that go past ssh, with a key and a token that come over ssh. Otherwise it may.
    #[must_use]
    pub fn direct(self, is_direct: bool) -> Self {
        Self { is_direct, ..self }
    }

    /// Has hauld copied to a machine that has none.
    #[must_use]
    pub fn install(self, install: Install) -> Self {
        Self { install: Some(install), ..self }
    }

    /// The same in a dry run, in which nothing is copied.
    pub(crate) fn dry(&mut self) {
        if let Some(install) = &mut self.install {
            install.dry();
        }
    }

    /// Whether it may.
    pub(crate) fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// The name of the remote program.
    pub(crate) fn remote(&self) -> &str {
        &self.hauld
    }

    /// The name of the program that is run here.
    pub(crate) fn program(&self) -> &str {
        self.ssh.as_ref().map_or("ssh", |words| &words[0])
    }
}

/// The words with which ssh is run: those of the user, the port, the machine, and the remote command. The root is in it only
/// if it means the same to every shell; the greeting has it in any case.
pub(super) fn words(place: &Ssh) -> Vec<String> {
    let Ssh { port, runs, .. } = place;
    let mut words = match &runs.ssh {
        Some(words) => words.clone(),
        None => vec![String::from("ssh")],
    };
    if runs.ssh.is_none() {
        words.extend(ciphers::wanted(place));
    }
    if let Some(port) = port {
        words.extend([String::from("-p"), port.to_string()]);
    }
    words.push(place.login());
    if runs.install.is_some() {
        words.push(COMMAND.to_owned());
        return words;
    }
    words.extend([runs.hauld.clone(), String::from("--stdio")]);
    if let Some(root) = plain_root(place) {
        words.extend([String::from("--root"), root.to_owned()]);
    }
    words
}

/// The root as hauld gets it: the directory in which hauld starts is the home.
pub(super) fn root(place: &Ssh) -> &[u8] {
    if place.root.is_empty() { b"." } else { &place.root }
}

/// The root, if every shell takes it for itself.
pub(super) fn plain_root(place: &Ssh) -> Option<&str> {
    let root = root(place);
    let may = |byte: &u8| byte.is_ascii_alphanumeric() || PLAIN.contains(byte);
    let is_plain = root.iter().all(may) && !root.starts_with(b"-");
    std::str::from_utf8(root).ok().filter(|_| is_plain)
}

/// Words as they are shown.
pub(super) fn shown(words: &[String]) -> String {
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::Access;
    use super::*;

    fn place(root: &str, runs: Runs) -> Ssh {
        Ssh {
            user: Some(String::from("me")),
            host: String::from("box"),
            port: Some(2222),
            root: root.into(),
            access: Access::Changes,
            runs,
        }
    }

    #[test]
    fn words_of_the_user_come_first_and_no_shell_splits_them() {
        let runs = Runs::default().ssh(r#"/opt/my\ ssh -o 'A=b c' -vv"#).unwrap();
        let runs = runs.hauld("~/bin/hauld").unwrap();
        let found = words(&place("/srv/up", runs));
        let expected = [
            "/opt/my ssh",
            "-o",
            "A=b c",
            "-vv",
            "-p",
            "2222",
            "me@box",
            "~/bin/hauld",
            "--stdio",
            "--root",
            "/srv/up",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn root_that_a_shell_would_change_is_in_the_greeting_only() {
        let runs = || Runs::default().ssh("ssh").unwrap();
        for root in
            ["a b", "a;b", "-a", "$HOME", "a'b", "~me", "ä", "a*", "a!", "{a,b}", "a^b", "#a"]
        {
            assert_eq!(words(&place(root, runs())).last().unwrap(), "--stdio", "{root}");
        }
        assert_eq!(words(&place("", runs())).last().unwrap(), ".");
        assert_eq!(words(&place("..", runs())).last().unwrap(), "..");
    }

    #[test]
    fn script_that_copies_hauld_is_one_word_that_no_root_or_name_of_hauld_changes() {
        let runs = Runs::default().ssh("ssh").unwrap().hauld("nice hauld").unwrap();
        let words = words(&place("/srv/up", runs.install(Install::new(None).unwrap())));
        assert_eq!(words, ["ssh", "-p", "2222", "me@box", COMMAND]);
    }

    #[test]
    fn command_without_a_word_and_remote_that_is_an_option_are_refused() {
        for text in ["", "  ", "''", "'a", "a\\"] {
            assert_eq!(Runs::default().ssh(text), None, "{text}");
        }
        for text in ["", " ", "-oProxyCommand=x", " -x", "a\nb"] {
            assert_eq!(Runs::default().hauld(text), None, "{text}");
        }
        assert!(Runs::default().hauld("nice /opt/hauld").is_some());
    }
}
