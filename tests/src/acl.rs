//! Access control lists, as the kernel takes them.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::path::Path;

use rustix::fs::XattrFlags;

/// An ACL as the kernel takes it (linux/posix_acl_xattr.h): version 2, then tag, permissions and id of each entry.
#[must_use]
pub fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Gives a directory a default ACL.
pub fn set_default(directory: &Path, acl: &[u8]) {
    let flags = XattrFlags::empty();
    rustix::fs::setxattr(directory, "system.posix_acl_default", acl, flags).unwrap();
}

/// The ACL of an entry itself, or its default one; empty if it has none.
#[must_use]
pub fn found(path: &Path, which: &str) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let len = rustix::fs::getxattr(path, which, &mut bytes[..]).unwrap_or(0);
    bytes.truncate(len);
    bytes
}
