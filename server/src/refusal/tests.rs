//! The table of error numbers.

use haul_protocol::Code;
use rustix::io::Errno;

use super::*;

/// One row for each error number that a file system may answer with: `io` only for what is none of the
/// client's business.
#[test]
fn every_errno_has_the_code_that_tells_what_to_do() {
    let rows = [
        (Errno::NOSPC, "write", Code::NoSpace, "no space left"),
        (Errno::DQUOT, "write", Code::NoSpace, "quota"),
        (Errno::MLINK, "make directory", Code::NoSpace, "no more entries"),
        (Errno::FBIG, "write", Code::TooLarge, "larger than the server may write"),
        (Errno::NAMETOOLONG, "make link", Code::BadName, "target of a symlink"),
        (Errno::NAMETOOLONG, "publish", Code::BadName, "no name that is so long"),
        (Errno::NAMETOOLONG, "make directory", Code::BadName, "no name that is so long"),
        (Errno::ILSEQ, "publish", Code::BadName, "no name of such bytes"),
        (Errno::INVAL, "publish", Code::BadName, "no name of such characters"),
        (Errno::INVAL, "flush", Code::Io, "flush"),
        (Errno::PERM, "make link", Code::Symlink, "has no symlinks"),
        (Errno::PERM, "publish", Code::Permission, "permission denied"),
        (Errno::ACCESS, "publish", Code::Permission, "permission denied"),
        (Errno::ROFS, "publish", Code::Permission, "read-only"),
        (Errno::MFILE, "open", Code::Busy, "too much is open"),
        (Errno::NFILE, "open", Code::Busy, "too much is open"),
        (Errno::NOMEM, "open", Code::Busy, "too much is open"),
        (Errno::AGAIN, "open", Code::Busy, "too much is open"),
        (Errno::XDEV, "open", Code::CrossDevice, "another file system"),
        (Errno::XDEV, "publish", Code::CrossDevice, "REFER of Landlock"),
        (Errno::XDEV, "rename", Code::CrossDevice, "REFER of Landlock"),
        (Errno::BUSY, "publish", Code::CrossDevice, "another file system"),
        (Errno::NOENT, "open", Code::NotFound, "does not exist"),
        (Errno::ISDIR, "publish", Code::Conflict, "a directory"),
        (Errno::NOTEMPTY, "publish", Code::Conflict, "a directory"),
        (Errno::NOTDIR, "open", Code::Conflict, "not a directory"),
        (Errno::LOOP, "open", Code::Conflict, "a symbolic link"),
        (Errno::IO, "flush", Code::Io, "flush"),
        (Errno::OVERFLOW, "look at", Code::Io, "look at"),
        (Errno::STALE, "open", Code::Io, "open"),
    ];
    for (errno, op, code, part) in rows {
        let error = StoreError::at(op, String::from("the/name"), errno);
        let refusal = Refusal::from(error).told(&View::default(), None, false);
        assert_eq!(refusal.code, code, "{op}: {errno}");
        assert!(refusal.message.contains(part), "{errno}: {}", refusal.message);
        assert!(refusal.message.contains("the/name"), "{errno}: {}", refusal.message);
        assert_eq!(refusal.retry, code == Code::Busy, "{errno}");
    }
}
