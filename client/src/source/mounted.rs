//! The mounts at or below a source. A bind mount on the same device looks like any directory, and so does the
//! empty directory below it.

use std::path::{Path, PathBuf};

/// One mount: its number, the part of its file system that it shows, and its place.
pub(super) type Mount = (u64, Vec<u8>, PathBuf);

/// Mounts at or below a directory, which is absolute and without symlinks; `None` where nobody tells.
#[cfg(target_os = "linux")]
pub(super) fn below(directory: &Path) -> Option<Vec<Mount>> {
    Some(parse(&std::fs::read("/proc/self/mountinfo").ok()?, directory))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn below(_: &Path) -> Option<Vec<Mount>> {
    None
}

/// The first difference between two lists of mounts.
pub(super) fn differ<'a>(before: &'a [Mount], now: &'a [Mount]) -> Option<&'a Path> {
    let lacks = |mounts: &[Mount], mount: &&Mount| !mounts.contains(mount);
    let gone = before.iter().find(|mount| lacks(now, mount));
    let differs = gone.or_else(|| now.iter().find(|mount| lacks(before, mount)));
    differs.map(|(_, _, path)| path.as_path())
}

#[cfg(target_os = "linux")]
fn parse(text: &[u8], directory: &Path) -> Vec<Mount> {
    use std::collections::HashMap;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    /// One line: the mount, the number of the mount that it is in, and the kind of its file system.
    fn line(line: &[u8]) -> Option<(Mount, u64, &[u8])> {
        let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse().ok();
        let mut words = line.split(|&byte| byte == b' ');
        let (id, parent) = (number(words.next()?)?, number(words.next()?)?);
        let (root, path) = (unescape(words.nth(1)?), unescape(words.next()?));
        words.find(|&word| word == b"-")?;
        let kind = words.next()?;
        Some(((id, root, OsString::from_vec(path).into()), parent, kind))
    }

    let lines: Vec<_> = text.split(|&byte| byte == b'\n').filter_map(line).collect();
    let kinds: HashMap<_, _> = lines.iter().map(|((id, ..), _, kind)| (*id, *kind)).collect();
    // Such mounts come when somebody looks at them, as the walk does, and go again.
    let comes_and_goes = |parent: &u64, kind: &[u8]| match kinds.get(parent) {
        Some(&b"autofs") => true,
        Some(&above) => is_remote(above) && is_remote(kind),
        None => false,
    };
    let kept = |((_, _, path), parent, kind): &(Mount, u64, &[u8])| {
        path.starts_with(directory) && !comes_and_goes(parent, kind)
    };
    lines.iter().filter(|line| kept(line)).map(|(mount, ..)| mount.clone()).collect()
}

#[cfg(target_os = "linux")]
fn is_remote(kind: &[u8]) -> bool {
    matches!(kind, b"nfs" | b"nfs4" | b"cifs" | b"smb3" | b"afs")
}

/// Blanks and the like are written as a backslash and three octal digits.
#[cfg(target_os = "linux")]
fn unescape(word: &[u8]) -> Vec<u8> {
    let (mut plain, mut rest) = (Vec::with_capacity(word.len()), word);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                plain.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest = after;
            }
            _ => plain.push(byte),
        }
    }
    plain
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const LINES: &[u8] = b"\
        22 1 8:1 / / rw shared:1 - ext4 /dev/sda rw\n\
        30 22 8:1 /x\\040y /s/a\\040b\\134 rw shared:1 master:2 - ext4 /dev/sda rw\n\
        31 22 0:30 / /sibling rw - tmpfs none rw\n\
        32 22 0:31 / /s/auto rw - autofs none rw\n\
        33 32 0:32 / /s/auto/home rw - ext4 /dev/sdb rw\n\
        34 22 0:33 / /s/net rw - nfs4 far:/ rw\n\
        35 34 0:34 / /s/net/inner rw - nfs4 far:/inner rw\n\
        36 34 0:35 / /s/net/local rw - tmpfs none rw\n\
        broken\n";

    #[test]
    fn mounts_below_a_directory_are_found_but_for_those_that_come_and_go_by_themselves() {
        let found = parse(LINES, Path::new("/s"));
        let found: Vec<_> = found.iter().map(|(id, root, path)| (*id, &**root, path)).collect();
        assert_eq!(found[0], (30, &b"/x y"[..], &PathBuf::from("/s/a b\\")));
        assert_eq!(found.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [30, 32, 34, 36]);
    }

    #[test]
    fn mount_that_comes_or_goes_or_is_another_is_a_difference() {
        let before = parse(LINES, Path::new("/s"));
        assert_eq!(differ(&before, &before), None);
        assert_eq!(differ(&before, &before[1..]), Some(Path::new("/s/a b\\")));
        assert_eq!(differ(&before[..3], &before), Some(Path::new("/s/net/local")));
    }
}
