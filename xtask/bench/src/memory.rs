//! Memory that costs every turn the same.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};

/// A page stays in use of each so many bytes: at most half of the smallest block that is given back.
const STEP: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// Touches so much memory, and keeps it quick to use for every process as long as this is held.
///
/// A virtual machine gives its host free memory back, and to use such memory, or memory that was never
/// used, takes several times longer. Blocks of 2 MiB and more that have been free for two seconds are
/// given back (Linux, `Documentation/mm/free_page_reporting.rst`). So a page of each MiB stays in use.
#[derive(Debug)]
pub(crate) struct Memory {
    _file: File,
}

impl Memory {
    pub(crate) fn hold(bytes: u64) -> io::Result<Self> {
        let mut file = File::from(memfd_create("touched", MemfdFlags::CLOEXEC)?);
        let block = vec![1; 1 << 20];
        let steps = bytes / STEP;
        for _ in 0..steps {
            file.write_all(&block)?;
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        for step in 0..steps {
            fallocate(&file, flags, step * STEP + PAGE, STEP - PAGE)?;
        }
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn little_stays_in_use() {
        let memory = Memory::hold(8 << 20).unwrap();
        let held = memory._file.metadata().unwrap().blocks() * 512;
        assert_eq!(held, 8 * PAGE);
    }
}
