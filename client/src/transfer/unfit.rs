//! Patterns that were written as paths of this machine: they are relative to SRC, so such a pattern fits nothing there.

use std::path::{Path, PathBuf};

use crate::plan::Root;
use crate::plan::given::Given;
use crate::report::note::Note;
use crate::source::filter::Rules;

/// A note about each of them. Looks at a source only for a pattern that begins as the source's own path does.
pub(super) fn unfit(rules: &Rules, roots: &[Root]) -> Vec<Note> {
    let sources = || roots.iter().filter(|root| matches!(root.given, Given::Path));
    let sources = || sources().map(|root| root.source.as_path());
    let note = |(option, pattern): (&'static str, &str)| {
        let path = Path::new(pattern.strip_prefix('/')?);
        let right = sources().find_map(|source| below(source, path))?;
        let first = path.iter().next()?;
        let is_there = |source: &Path| source.join(first).symlink_metadata().is_ok();
        let slash = if pattern.ends_with('/') { "/" } else { "" };
        let right = format!("/{}{slash}", right.display());
        let note = || Note::NotBelowSource { option, pattern: pattern.to_owned(), right };
        (!sources().any(is_there)).then(note)
    };
    rules.patterns().filter_map(note).collect()
}

/// The rest of a path that begins with a source: with its whole path, its path as it was given, or its name.
fn below(source: &Path, path: &Path) -> Option<PathBuf> {
    let whole = source.canonicalize().ok()?;
    let given = source.strip_prefix(".").unwrap_or(source);
    let beginnings = [whole.strip_prefix("/").ok(), Some(given), whole.file_name().map(Path::new)];
    let mut rests = beginnings.into_iter().flatten().filter_map(|begin| {
        let begins = !begin.as_os_str().is_empty();
        begins.then(|| path.strip_prefix(begin).ok()).flatten()
    });
    rests.find(|rest| !rest.as_os_str().is_empty()).map(Path::to_owned)
}
