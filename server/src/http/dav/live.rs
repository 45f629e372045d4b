//! The properties of the server's own.

use super::xml::Tag;

/// A property of the server's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Live {
    Kind,
    Size,
    Modified,
    Created,
    Etag,
    Media,
    Name,
    SupportedLock,
    LockDiscovery,
    Available,
    Used,
}

/// Those of the server's own; the last ones are told only if they are asked for.
pub(super) const LIVE: [(&str, Live); 11] = [
    ("resourcetype", Live::Kind),
    ("getcontentlength", Live::Size),
    ("getlastmodified", Live::Modified),
    ("creationdate", Live::Created),
    ("getetag", Live::Etag),
    ("getcontenttype", Live::Media),
    ("displayname", Live::Name),
    ("supportedlock", Live::SupportedLock),
    ("lockdiscovery", Live::LockDiscovery),
    ("quota-available-bytes", Live::Available),
    ("quota-used-bytes", Live::Used),
];

/// Those that cost a look at the whole file system.
const ROOM: [&str; 2] = ["quota-available-bytes", "quota-used-bytes"];

/// Whether a property is one of the server's own.
pub(super) fn is_live(tag: &Tag) -> bool {
    LIVE.iter().any(|(local, _)| tag.is_dav(local))
}

/// Whether a property tells of the room on the file system.
pub(super) fn is_room(tag: &Tag) -> bool {
    ROOM.iter().any(|local| tag.is_dav(local))
}
