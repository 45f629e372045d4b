//! The archive for machines without packages: a directory that is laid out as a prefix is, and a script that checks it and
//! copies it there.

use crate::VERSION;
use crate::contents::{Contents, SETTINGS, SOCKET, UNIT, USER};
use crate::files::{Files, gzip};
use crate::sums;

/// The script.
const INSTALL: &str = include_str!("../install.sh");

/// The name and the bytes of the archive.
///
/// # Errors
/// If an entry can't be packed.
pub(crate) fn archive(contents: &Contents, time: u64) -> anyhow::Result<(String, Vec<u8>)> {
    let name = format!("haul-{VERSION}-{}-linux", contents.haul.machine.name());
    let mut files = prefix(contents)?;
    let listed = files.files().map(|(path, _, bytes)| (path, bytes));
    let listed = sums::list(listed);
    files.add("SHA256SUMS", 0o644, listed);
    files.add("install.sh", 0o755, INSTALL);
    let tar = files.tar(&format!("{name}/"), time)?;
    Ok((format!("{name}.tar.gz"), gzip(&tar)?))
}

/// The files that are installed below a prefix.
fn prefix(contents: &Contents) -> anyhow::Result<Files> {
    let mut files = Files::default();
    files.add("bin/haul", 0o755, contents.haul.bytes.clone());
    files.add("bin/hauld", 0o755, contents.hauld.bytes.clone());
    files.take(&contents.haul_pages, "share/man/");
    files.take(&contents.hauld_pages, "share/man/");
    for completions in Contents::completions("site-functions")? {
        files.take(&completions, "share/");
    }
    let documents = "share/doc/haul/";
    files.take(&contents.haul_documents, documents);
    files.take(&contents.hauld_documents, documents);
    files.add(format!("{documents}CHANGELOG.md"), 0o644, contents.changes.clone());
    files.add(format!("{documents}copyright"), 0o644, contents.licence.as_str());
    for (name, text) in [
        ("hauld.toml", SETTINGS),
        ("hauld.service", UNIT),
        ("hauld.socket", SOCKET),
        ("hauld.sysusers", USER),
    ] {
        files.add(format!("{documents}{name}"), 0o644, text);
    }
    Ok(files)
}
