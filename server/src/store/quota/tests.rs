//! Usages against what is on the disk.
