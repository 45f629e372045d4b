//! The report of a test that fails: the last client, the server's log, and all entries below the server's
//! root.

use std::fmt::Write;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Output;

use walkdir::{DirEntry, WalkDir};

/// Lines of each part of a report.
const MOST: usize = 200;

/// The end of a client, and its output.
pub(crate) fn client(words: &str, output: &Output) -> String {
    let mut text = format!("--- last client: {words}\n--- {}\n", output.status);
    for (name, bytes) in [("standard output", &output.stdout), ("standard error", &output.stderr)] {
        let printed = String::from_utf8_lossy(bytes);
        let _ = write!(text, "--- its {name}:\n{}", last_lines(&printed));
    }
    text
}

/// The last lines of a text.
pub(crate) fn last_lines(text: &str) -> String {
    let count = text.lines().count();
    let skipped = count.saturating_sub(MOST);
    let mut kept = String::new();
    if skipped > 0 {
        let _ = writeln!(kept, "({skipped} lines before these)");
    }
    text.lines().skip(skipped).for_each(|line| {
        let _ = writeln!(kept, "{line}");
    });
    kept
}

/// Kind, size, mode and name of every entry below a root; the server's own come last.
pub(crate) fn listing(root: &Path) -> String {
    let is_own = |entry: &DirEntry| entry.depth() == 1 && entry.file_name() == ".haul";
    let entries = WalkDir::new(root)
        .min_depth(1)
        .sort_by(move |a, b| (is_own(a), a.file_name()).cmp(&(is_own(b), b.file_name())));
    let (mut text, mut count) = (String::new(), 0);
    for entry in entries {
        count += 1;
        if count > MOST {
            continue;
        }
        // An entry that goes away meanwhile is named by its error.
        let _ = match entry.and_then(|entry| Ok((entry.metadata()?, entry))) {
            Ok((metadata, entry)) => writeln!(text, "{}", line(root, &entry, &metadata)),
            Err(error) => writeln!(text, "{error}"),
        };
    }
    if count > MOST {
        let _ = writeln!(text, "(and {} more)", count - MOST);
    }
    text
}

fn line(root: &Path, entry: &DirEntry, metadata: &Metadata) -> String {
    let kind = match entry.file_type() {
        kind if kind.is_dir() => "directory",
        kind if kind.is_symlink() => "symlink",
        kind if kind.is_file() => "file",
        _ => "other",
    };
    let name = entry.path().strip_prefix(root).unwrap_or(entry.path());
    format!("{kind:9} {:>10} {:04o} {name:?}", metadata.len(), metadata.mode() & 0o7777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_and_trees_are_cut() -> anyhow::Result<()> {
        let text: String = (0..MOST + 3).map(|index| format!("line {index}\n")).collect();
        let kept = last_lines(&text);
        assert!(kept.starts_with("(3 lines before these)\nline 3\n"), "{kept}");
        assert!(kept.ends_with(&format!("line {}\n", MOST + 2)), "{kept}");
        let root = tempfile::tempdir()?;
        std::fs::create_dir(root.path().join(".haul"))?;
        std::os::unix::fs::symlink("nowhere", root.path().join("s"))?;
        for index in 0..MOST {
            std::fs::write(root.path().join(format!("f{index:03}")), "12345")?;
        }
        let listed = listing(root.path());
        assert!(listed.starts_with("file               5 0644 \"f000\"\n"), "{listed}");
        assert!(listed.ends_with("\"f199\"\n(and 2 more)\n"), "{listed}");
        for index in 0..MOST {
            std::fs::remove_file(root.path().join(format!("f{index:03}")))?;
        }
        let listed = listing(root.path());
        let kinds: Vec<&str> = listed.lines().map(|line| &line[..9]).collect();
        assert_eq!(kinds, ["symlink  ", "directory"], "{listed}");
        Ok(())
    }
}
