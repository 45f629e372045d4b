//! Opening a file that the owner of the server has named.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a regular file to be read. A FIFO that stands there is an error: nobody may ever write to it, and the server would
/// wait for that and hear no signal.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifo_and_directory_are_errors_and_keep_nobody_waiting() {
        let place = tempfile::TempDir::new().unwrap();
        let fifo = place.path().join("fifo");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, 0o600.into(), 0).unwrap();
        for path in [fifo.as_path(), place.path()] {
            assert_eq!(open(path).unwrap_err().to_string(), "not a regular file");
        }
        let file = place.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert!(open(&file).is_ok());
        assert_eq!(open(&place.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
