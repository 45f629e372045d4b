//! Paths that lead to descriptors: `/dev/fd/63`, `/dev/stdin`, `/proc/self/fd/7`.
//!
//! haul opens descriptors of its own, and the kernel gives them the lowest numbers that are free. So a number that the
//! user has not opened leads to one of haul's own as soon as haul has that many. haul therefore notes first of all
//! which descriptors it was started with; another one counts as closed.

use std::fs::File;
use std::io::{self, IsTerminal, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::OFlags;

/// The descriptors that haul was started with; nothing in another program, which has its own reasons for those it names.
static STARTED_WITH: OnceLock<Vec<i32>> = OnceLock::new();

/// Notes which descriptors are open; to be called before haul opens one.
pub(crate) fn note() {
    STARTED_WITH.get_or_init(open_now);
}

/// Without a list only those count that each process has: the runtime opens them if nobody else has.
fn open_now() -> Vec<i32> {
    listed().unwrap_or_else(|| vec![0, 1, 2])
}

#[cfg(target_os = "linux")]
fn listed() -> Option<Vec<i32>> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{Mode, OFlags, RawDir};

    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let list = rustix::fs::open("/proc/self/fd", flags, Mode::empty()).ok()?;
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(&list, &mut buffer);
    let mut numbers = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry.ok()?;
        let number = entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok());
        numbers.extend(number.filter(|number| *number != list.as_raw_fd()));
    }
    Some(numbers)
}

#[cfg(not(target_os = "linux"))]
fn listed() -> Option<Vec<i32>> {
    None
}

/// Whether a path may be opened: it leads to no descriptor, or to one that is not haul's own.
///
/// # Errors
/// If it leads to a descriptor that is haul's own, or closed.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    match STARTED_WITH.get() {
        Some(started_with) => check_among(started_with, path),
        None => check_among(&open_now(), path),
    }
}

fn check_among(started_with: &[i32], path: &Path) -> io::Result<()> {
    // Entries below the directory of an open descriptor are reached through that descriptor.
    let is_direct = ["/dev/fd", "/proc"].iter().any(|place| path.starts_with(place));
    let checked = if is_direct { usize::MAX } else { 1 };
    for path in path.ancestors().take(checked) {
        let Some(descriptor) = through_proc(path) else { continue };
        let is_open = match own_descriptor(&descriptor) {
            Some(number) => started_with.contains(&number),
            None => descriptor.symlink_metadata().is_ok(),
        };
        if !is_open {
            return Err(io::Error::other("this descriptor is not open"));
        }
    }
    Ok(())
}

/// Whether a path is a symlink to a descriptor.
pub(crate) fn is_descriptor(path: &Path) -> bool {
    through_proc(path).is_some()
}

/// Whether a name stands for standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-" || through_proc(path).as_deref().and_then(own_descriptor) == Some(0)
}

/// The symlink in `/proc` that a symlink is or leads to. Such a one means something in this process only.
#[cfg(target_os = "linux")]
pub(super) fn through_proc(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..super::HOPS {
        let target = match path.read_link() {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return is_closed(&path).then_some(path);
            }
            Err(_) => return None,
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if rustix::fs::statfs(parent).ok()?.f_type == rustix::fs::PROC_SUPER_MAGIC {
            return Some(path);
        }
        path = parent.join(target);
    }
    None
}

/// Whether a path that is not there has the name of a descriptor, of whichever process.
#[cfg(target_os = "linux")]
fn is_closed(path: &Path) -> bool {
    let is_number =
        |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.parse::<i32>().is_ok());
    let is_below = |parent: &Path| {
        parent.canonicalize().is_ok_and(|parent| parent.ends_with("fd"))
            && rustix::fs::statfs(parent).is_ok_and(|fs| fs.f_type == rustix::fs::PROC_SUPER_MAGIC)
    };
    path.file_name().is_some_and(is_number) && path.parent().is_some_and(is_below)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn through_proc(_: &Path) -> Option<PathBuf> {
    None
}

/// The number of a descriptor of this process. Its threads have the same ones.
pub(super) fn own_descriptor(path: &Path) -> Option<i32> {
    let number = path.file_name()?.to_str()?.parse().ok()?;
    let parent = path.parent()?.canonicalize().ok()?;
    let below = parent.strip_prefix(Path::new("/proc/self").canonicalize().ok()?).ok()?;
    let mut components = below.iter().map(std::ffi::OsStr::as_encoded_bytes);
    let is_own = match (components.next()?, components.next(), components.next()) {
        (b"fd", None, None) => true,
        (b"task", Some(_), Some(b"fd")) => components.next().is_none(),
        _ => false,
    };
    is_own.then_some(number)
}

/// Standard input.
///
/// # Errors
/// If it is a device, which `/dev/null` is: at the start of a process whose standard input is closed, the runtime puts
/// that in its place, and a stream that was lost would count as an empty one.
pub(crate) fn stdin() -> io::Result<File> {
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let kind = file.metadata()?.file_type();
    if kind.is_block_device() || (kind.is_char_device() && !file.is_terminal()) {
        return Err(io::Error::other(
            "it is closed, or a device like /dev/null; if it is to be empty, write `: | haul ...`",
        ));
    }
    Ok(file)
}

/// Opens a file that the user names for output. What a descriptor leads to is not emptied: others write to it as well, and
/// the output comes where they have written up to.
///
/// # Errors
/// If it can't be written to.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let Some(descriptor) = through_proc(path) else { return File::create(path) };
    let appends = || File::options().append(true).open(path);
    let file = match own_descriptor(&descriptor) {
        // Some sandboxes let no process do that.
        Some(number @ 1..) => duplicate(number).or_else(|_| appends())?,
        _ => appends()?,
    };
    let flags = rustix::fs::fcntl_getfl(&file)?;
    if flags & OFlags::RWMODE == OFlags::RDONLY {
        return Err(io::Error::other("this descriptor is not open for writing"));
    }
    Ok(file)
}

/// Where the next byte that is written to a file will be, if the file has such places.
pub(crate) fn end_of_output(file: &mut File) -> io::Result<u64> {
    let found = file.metadata()?;
    match rustix::fs::fcntl_getfl(&*file)?.contains(OFlags::APPEND) {
        _ if !found.is_file() => Ok(0),
        true => Ok(found.len()),
        false => file.stream_position(),
    }
}

/// Another handle of a descriptor that can't be opened by its path, which sockets can't.
#[cfg(target_os = "linux")]
pub(super) fn duplicate(number: i32) -> io::Result<File> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    if number == 0 {
        return stdin();
    }
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(File::from(pidfd_getfd(this, number, PidfdGetfdFlags::empty())?))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn duplicate(_: i32) -> io::Result<File> {
    stdin()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn only_what_leads_through_proc_is_a_descriptor() {
        let place = TempDir::new().unwrap();
        let link = |name: &str, target: &str| {
            let path = place.path().join(name);
            symlink(target, &path).unwrap();
            path
        };
        std::fs::write(place.path().join("file"), "x").unwrap();
        for (path, descriptor) in [
            (link("plain", "file"), None),
            (link("dangling", "nothing"), None),
            (link("loop", "loop"), None),
            // Leads to a file there and not to a symlink.
            (link("version", "/proc/version"), None),
            (PathBuf::from("/proc/self/fd/0"), Some(0)),
            (link("chain", "/proc/self/fd/0"), Some(0)),
            (link("chain of two", "chain"), Some(0)),
            (PathBuf::from("/proc/thread-self/fd/0"), Some(0)),
            // Closed.
            (PathBuf::from("/dev/fd/999999"), Some(999_999)),
            (link("closed", "/proc/self/fd/999999"), Some(999_999)),
            (PathBuf::from("/proc/self/999999"), None),
        ] {
            let found = through_proc(&path);
            let number = found.as_deref().and_then(own_descriptor);
            assert_eq!((found.is_some(), number), (descriptor.is_some(), descriptor), "{path:?}");
        }
    }

    #[test]
    fn descriptor_that_was_opened_later_counts_as_closed() {
        let check = |path: &Path| check_among(&[0, 1, 2], path);
        let place = TempDir::new().unwrap();
        std::fs::write(place.path().join("file"), "x").unwrap();
        let directory = File::open(place.path()).unwrap();
        let number = directory.as_raw_fd();
        let link = place.path().join("link");
        symlink(format!("/dev/fd/{number}"), &link).unwrap();
        for start in ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"] {
            check(&Path::new(start).join("0")).unwrap();
            for below in ["", "/file"] {
                let path = format!("{start}/{number}{below}");
                assert!(check(Path::new(&path)).is_err(), "{path}");
            }
        }
        assert!(check(&link).is_err());
        check(place.path()).unwrap();
        check(Path::new("/proc/version")).unwrap();
        check(Path::new("/proc/self/exe")).unwrap();
        check(Path::new("/nothing/there")).unwrap();
    }

    #[test]
    fn descriptors_are_listed_without_the_one_of_the_list() {
        let file = File::open("/").unwrap();
        let found = listed().unwrap();
        assert!(found.contains(&0) && found.contains(&file.as_raw_fd()), "{found:?}");
    }
}
