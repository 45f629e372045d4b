//! The words that a shell at the other machine runs if hauld may be copied there.
//!
//! The login shell may be fish or tcsh, so its words have no character that it reads otherwise than a POSIX shell: they start
//! `sh`, which reads the script itself, in one line, from the connection. The script first tries the hauld that is there.

/// The remote command: it takes the nonce from the greeting, asks for the script, and runs it.
pub(in crate::net::ssh) const COMMAND: &str =
    "sh -c 'read -r a b n q; echo \"haul-script 1 $n ready\"; read -r s; eval \"$s\"'";

/// The script behind its variables: `h` is the command of hauld, with its root if that means the same to every shell, and
/// `o` are the options of a hauld in the cache.
///
/// The copy has a name of its own until it is checked, in a directory that nobody else may write to or put another one in the
/// place of, so several clients may copy at once. A copy that is there already is checked as well before it runs.
const SCRIPT: &[&str] = &[
    "say() { printf 'haul-script 1 %s %s\\n' \"$n\" \"$*\"; }",
    "die() { say \"$@\"; exit 3; }",
    "c=127",
    "if [ -z \"$w\" ] || command -v \"$w\" >/dev/null 2>&1; then eval \"$h\"; c=$?; fi",
    "case $c in 126 | 127) ;; *) exit $c ;; esac",
    // The question that no hauld has read.
    "read -r q || exit 3",
    "s=",
    "for x in 'sha256sum' 'shasum -a 256' 'openssl dgst -sha256 -r'; do \
     if [ -z \"$s\" ] && command -v ${x%% *} >/dev/null 2>&1; then s=$x; fi; done",
    "sum() { $s <\"$1\" | { read -r x y; printf %s \"$x\"; }; }",
    "k=$(uname -s) m=$(uname -m)",
    "say missing \"${k:-?}\" \"${m:-?}\" \"${s:+sums}\"",
    "read -r name size digest may || exit 3",
    "not() { echo \"haul: $1\" >&2; die failed \"$d\"; }",
    "d=${HOME:-}/.cache",
    "case ${XDG_CACHE_HOME:-} in /*) d=$XDG_CACHE_HOME ;; *) \
     case ${HOME:-} in /*) ;; *) not 'HOME is no absolute path there' ;; esac ;; esac",
    "d=$d/haul f=$d/$name t=$d/.new-$n",
    // A user who may rename a directory on the way could put another one in its place after the check.
    "kept() { p=$(cd -P \"$d\" && pwd -P) && i=$(id -u) || return 1; while :; do set -- $(ls -ldn \"$p/.\"); \
     case $1 in ?????w???[!tT]* | ????????w[!tT]*) return 1 ;; esac; \
     case $3 in 0 | $i) ;; *) return 1 ;; esac; \
     if [ \"$p\" = / ]; then return 0; fi; p=${p%/*} p=${p:-/}; done; }",
    "own() { [ -d \"$d\" ] && [ ! -L \"$d\" ] && [ -O \"$d\" ] && chmod 700 \"$d\" && kept; }",
    "start() { say \"$1\" \"$f\"; trap - EXIT; umask ${u:-$(umask)}; exec \"$f\" $o; }",
    "if [ -f \"$f\" ] && own && [ \"$(sum \"$f\")\" = \"$digest\" ] && chmod 700 \"$f\"; then \
     start cached; fi",
    "[ \"$may\" = copy ] || die absent",
    "u=$(umask)",
    "umask 077",
    "mkdir -p \"$d\" || die failed \"$d\"",
    "own || not \"$d is a symlink, or others own it or may write to it or to a directory above it\"",
    "[ ! -d \"$f\" ] || not \"$f is a directory\"",
    "trap 'rm -f \"$t\"' EXIT",
    "trap 'exit 3' HUP INT PIPE TERM",
    "{ : >\"$t\"; } || die failed \"$d\"",
    "say send",
    "head -c \"$size\" >\"$t\" || die failed \"$d\"",
    "[ \"$(sum \"$t\")\" = \"$digest\" ] || die differs",
    "chmod 700 \"$t\" && mv -f \"$t\" \"$f\" || die failed \"$d\"",
    "start copied",
];

/// The script for a command of hauld, in the words of a shell, and the options of both. It is one line.
pub(super) fn script(hauld: &str, options: &[&str]) -> String {
    let options = options.join(" ");
    // A word alone can be looked up without a message of the shell if it is missing.
    let is_word =
        hauld.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./-+".contains(&byte));
    let word = if is_word { hauld } else { "" };
    let variables = [
        format!("w={}", quoted(word)),
        format!("h={}", quoted(&format!("{hauld} {options}"))),
        format!("o={}", quoted(&options)),
    ];
    let parts = variables.iter().map(String::as_str).chain(SCRIPT.iter().copied());
    parts.collect::<Vec<_>>().join("; ") + "\n"
}

/// A word that a POSIX shell takes for itself.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_has_no_character_that_a_login_shell_reads_in_its_own_way() {
        let inside = COMMAND.strip_prefix("sh -c '").and_then(|rest| rest.strip_suffix('\''));
        let inside = inside.unwrap();
        // tcsh looks for `!` within quotation marks, fish for a backslash.
        assert!(!inside.contains(['\'', '!', '\\', '\n', '`']), "{inside}");
    }

    #[test]
    fn script_is_one_line_whatever_the_words_are() {
        let text = script("nice '/opt/my hauld' # x", &["--stdio", "--root", "a"]);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.starts_with(
            r"w=''; h='nice '\''/opt/my hauld'\'' # x --stdio --root a'; o='--stdio --root a'; say()"
        ), "{text}");
        assert!(script("hauld", &["--stdio"]).starts_with("w='hauld'; h='hauld --stdio'; "));
    }
}
