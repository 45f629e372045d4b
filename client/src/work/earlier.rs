//! What an earlier opening of a large file has learned.

use haul_protocol::Geometry;

use super::part_tracker::Learned;

/// What is known of a file that is opened again.
#[derive(Debug)]
pub struct Earlier {
    pub(super) fingerprint: String,
    pub(super) geometry: Geometry,
    pub(super) learned: Learned,
}
