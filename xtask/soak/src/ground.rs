//! The entries below the root before the soak begins: names that make small requests costly.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// The longest name of one component.
const COMPONENT: usize = 255;

/// Components above an entry whose name as a whole is nearly the longest there is.
const DEPTH: usize = 13;

/// Entries of the directory whose list is the longest answer, of some 20 KiB each: 1 MiB ends a list.
pub(super) const BIG_ENTRIES: usize = 60;

/// Bytes of a file without any; reading it takes long.
pub(super) const SPARSE_LEN: u64 = 1 << 38;

/// Bytes of a file that peers ask for in parts of 8 MiB.
const PARTS_LEN: u64 = 64 << 20;

/// Bytes of a file that peers fetch: two do not fit one answer.
const SMALL_LEN: u64 = 128 << 10;

/// Entries of the directory of which more names are kept than fit an answer.
const WIDE_ENTRIES: usize = 66_000;

/// Entries of the directory that each peer changes before it lists it: so few that a turn reads and sorts all names.
const CHANGED_ENTRIES: usize = 4000;

/// A directory whose name JSON makes six times longer.
pub(super) fn big() -> String {
    vec!["\u{1}".repeat(COMPONENT); DEPTH].join("/")
}

/// One of its entries.
pub(super) fn big_entry(index: usize) -> String {
    format!("{index:02}{}", "\u{1}".repeat(COMPONENT - 2))
}

/// A long name.
pub(super) fn deep(last: &str) -> String {
    let parent = vec!["d".repeat(COMPONENT); DEPTH].join("/");
    if last.is_empty() { parent } else { format!("{parent}/{last}") }
}

pub(super) fn wide() -> &'static str {
    "wide"
}

pub(super) fn changed() -> &'static str {
    "changed"
}

/// Makes all of it.
pub(super) fn prepare(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root.join(big()))?;
    for index in 0..BIG_ENTRIES {
        File::create(root.join(big()).join(big_entry(index)))?;
    }
    fs::create_dir_all(root.join(deep("")))?;
    for (name, len) in [("sparse", SPARSE_LEN), ("parts", PARTS_LEN), ("small", SMALL_LEN)] {
        File::create(root.join(deep(name)))?.set_len(len)?;
    }
    for (name, entries) in [(wide(), WIDE_ENTRIES), (changed(), CHANGED_ENTRIES)] {
        let directory = root.join(name);
        fs::create_dir(&directory)?;
        for index in 0..entries {
            File::create(directory.join(format!("{index:0>COMPONENT$}")))?;
        }
    }
    Ok(())
}
