//! Links in the documents of a package. There, documents lie beside each other, and nothing else of the project is there.

use std::path::{Component, Path, PathBuf};

/// The line that begins and ends an example, in which nothing is a link.
const FENCE: &str = "```";

/// A document as it is in a package: links to documents of the package lead there, and links to other files of the project are
/// only their words. `name` is the path of the document in the project, and `there` has those of all documents in the package.
pub(crate) fn beside(text: &str, name: &str, there: &[&str]) -> String {
    let mut whole = String::with_capacity(text.len());
    let (mut prose, mut is_example) = (String::new(), false);
    for line in text.split_inclusive('\n') {
        let is_fence = line.trim_start().starts_with(FENCE);
        if is_fence && !is_example {
            whole.push_str(&changed(&std::mem::take(&mut prose), name, there));
        }
        let into = if is_fence || is_example { &mut whole } else { &mut prose };
        into.push_str(line);
        is_example ^= is_fence;
    }
    whole + &changed(&prose, name, there)
}

/// Text without examples.
fn changed(text: &str, name: &str, there: &[&str]) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let whole = format!("{done}{before}");
        let target =
            after.split_once(')').filter(|(target, _)| !target.contains(char::is_whitespace));
        let (Some(begin), Some((target, after))) = (opening(&whole), target) else {
            done = whole + "](";
            rest = after;
            continue;
        };
        let (before, words) = (&whole[..begin], &whole[begin + 1..]);
        done = match place(target, name, there) {
            Some(place) => format!("{before}[{words}]({place})"),
            None => format!("{}{words}", before.strip_suffix('!').unwrap_or(before)),
        };
        rest = after;
    }
    done + rest
}

/// The bracket that a text has opened last and not closed.
fn opening(text: &str) -> Option<usize> {
    let mut closed = 0;
    for (at, character) in text.char_indices().rev() {
        match character {
            ']' => closed += 1,
            '[' if closed == 0 => return Some(at),
            '[' => closed -= 1,
            _ => {}
        }
    }
    None
}

/// The target of a link in the package; `None` if it is not there.
fn place(target: &str, name: &str, there: &[&str]) -> Option<String> {
    if target.contains("://") || target.starts_with('#') {
        return Some(target.to_owned());
    }
    let (path, section) = target.split_at(target.find('#').unwrap_or(target.len()));
    let path = whole(&Path::new(name).with_file_name(path));
    let found = there.iter().find(|document| Path::new(document) == path)?;
    Some(format!("{}{section}", last(found)))
}

/// A path without `..`.
fn whole(path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                let _ = whole.pop();
            }
            other => whole.push(other),
        }
    }
    whole
}

/// The last name of a path.
pub(crate) fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_documents_of_the_package_or_are_words() {
        let there = ["README.md", "docs/ssh.md", "xtask/dist/x.json"];
        for (name, text, wanted) in [
            ("README.md", "a [b](docs/ssh.md) c", "a [b](ssh.md) c"),
            ("docs/x.md", "[b\nc](../README.md#a-b)", "[b\nc](README.md#a-b)"),
            (
                "docs/x.md",
                "[b](ssh.md), [c](#d), [e](https://f)",
                "[b](ssh.md), [c](#d), [e](https://f)",
            ),
            ("docs/x.md", "([a/b.rs](../a/b.rs)) [c](d.md)", "(a/b.rs) c"),
            ("docs/x.md", "[x](../xtask/dist/x.json)", "[x](x.json)"),
            ("README.md", "![bars](a/b.svg) [d[0]](e)", "bars d[0]"),
            (
                "README.md",
                "`a[b](c` and a](b), [d](docs/ssh.md)",
                "`a[b](c` and a](b), [d](ssh.md)",
            ),
            ("README.md", "[a](b)\n```\n[a](b)\n```\n[a](b)\n", "a\n```\n[a](b)\n```\na\n"),
        ] {
            assert_eq!(beside(text, name, &there), wanted, "{text}");
        }
    }
}
