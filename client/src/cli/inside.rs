//! A hint for who writes DEST as cp(1) has it: with haul it is a directory in any case.

use std::path::{Path, PathBuf};

use super::arguments::PutOptions;
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
    let is_alike = own == last || own.extension().is_some_and(|end| last.extension() == Some(end));
    if !is_alike {
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
