//! A hint for who writes DEST as cp(1) has it: with haul it is a directory in any case.

use std::path::{Path, PathBuf};

use super::arguments::PutOptions;
use super::get_words::GetOptions;
use crate::get::source::Source;
use crate::net::destination::Destination;
use crate::source;

/// The hint, if a single file is put and the last component of DEST looks like another name for that file: it is the
/// file's own name, or ends as that does. Only the server knows whether it has a directory of that name.
pub(super) fn hint(
    sources: &[PathBuf],
    destination: &Destination,
    options: &PutOptions,
) -> Option<String> {
    let ([file], Some(place)) = (sources, &destination.path) else { return None };
    let is_named = options.rename.is_some() || options.selection.files_from.is_some();
    if is_named || !std::fs::metadata(file).is_ok_and(|found| found.is_file()) {
        return None;
    }
    let (own, last) = (Path::new(file.file_name()?), source::from_bytes(place.split().1));
    let last = Path::new(&last);
    if !is_alike(own, last) {
        return None;
    }
    let (own, last) = (own.display(), last.display());
    if destination.is_over_ssh() {
        return Some(format!("goes into a directory, as {last}/{own}; --as gives it another name"));
    }
    Some(match std::str::from_utf8(place.split().0) {
        Ok("") => {
            format!("goes into a directory, as {place}/{own}; to name it so: HOST --as {last}")
        }
        Ok(above) => format!(
            "goes into a directory, as {place}/{own}; to name it so: HOST/{above} --as {last}"
        ),
        Err(_) => format!("goes into a directory, as {place}/{own}; --as gives it another name"),
    })
}

/// The same for what comes from a server into a directory that is not there.
pub(super) fn hint_here(
    sources: &[Source],
    directory: &Path,
    options: &GetOptions,
) -> Option<String> {
    let [source] = sources else { return None };
    if source.contents || options.rename.is_some() || options.files_from.is_some() {
        return None;
    }
    let own = source::from_bytes(source.place().path.as_ref()?.split().1);
    let (own, last) = (Path::new(&own), Path::new(directory.file_name()?));
    if !is_alike(own, last) || directory.symlink_metadata().is_ok() {
        return None;
    }
    let above = directory.parent().filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new(".")).display();
    let (own, last, there) = (own.display(), last.display(), directory.display());
    Some(format!(
        "goes into a directory, as {there}/{own}; to name it so: haul get … {above} --as {last}"
    ))
}

/// Whether one looks like another name for the other: it is the same, or ends as that does.
fn is_alike(own: &Path, last: &Path) -> bool {
    own == last || own.extension().is_some_and(|end| last.extension() == Some(end))
}
