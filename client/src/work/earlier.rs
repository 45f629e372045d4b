//! Knowledge from an earlier opening of a large file.

use haul_protocol::Geometry;

use super::part_tracker::Learned;

/// Knowledge about a file that is opened again.
#[derive(Debug)]
pub struct Earlier {
    pub(super) fingerprint: String,
    pub(super) geometry: Geometry,
    pub(super) learned: Learned,
}
