//! The questions that a connection has asked, until they are answered.

use std::sync::Arc;

use haul_protocol::{Geometry, Op};

use super::comparing::Comparing;
use super::item::{Batch, File, Page, part_size};
use super::large::Large;
use super::source::Top;
use super::task::Task;
use crate::target::{Partial, Subject};

/// The subject of a request.
#[derive(Debug)]
pub(super) enum Pending {
    Top(Top),
    List(Page),
    Small(Batch),
    /// The first question about a large file, the number of the part that it asks for, and whether the digest of the whole
    /// file will do for it.
    First(File, usize, bool),
    Part(Arc<Large>, usize),
    Check(Comparing),
}

impl Pending {
    /// The first question about a large file: about the first part, or about the first that an earlier run has not left here.
    pub(super) fn first(file: File) -> (Self, Op) {
        let (name, part_size) = (file.name.clone(), part_size(file.size));
        let left = geometry(&file).and_then(|geometry| left(&file, geometry));
        let (state, index) = left.map_or((None, 0), |(left, index)| (Some(left.state), index));
        // Without a digest, parts that are here were compared one by one, and so are the others.
        let has_digest = left.is_none_or(|(left, _)| left.digest.is_some());
        let whole = file.asks_whole() && has_digest;
        let op = Op::Get { name, offset: index as u64 * part_size, part_size, state, whole };
        (Self::First(file, index, whole), op)
    }

    /// Bytes of files that its answer has, as far as is known.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Top(_) | Self::List(_) | Self::Check(_) => 0,
            Self::Small(batch) => batch.bytes,
            Self::First(file, index, _) => match geometry(file) {
                Some(geometry) => geometry.range(*index).map_or(0, |range| range.end - range.start),
                None => file.size.min(part_size(file.size)),
            },
            Self::Part(large, index) => large.part_len(*index),
        }
    }

    /// The task that it was asked for.
    pub(super) fn task(self) -> Task {
        match self {
            Self::Top(top) => Task::Top(top),
            Self::List(page) => Task::List(page),
            Self::Small(batch) => Task::Small(batch),
            Self::First(file, ..) => Task::First(file),
            Self::Part(large, index) => Task::Part(large, index),
            Self::Check(comparing) => Task::Check(comparing),
        }
    }
}

/// The parts of a file as it was listed, if it is large.
fn geometry(file: &File) -> Option<Geometry> {
    Geometry::new(file.size, part_size(file.size)).ok()
}

/// The subject of the parts that an earlier run has left of a file, and the first that is missing. `None` as well if the server
/// has refused to go on with them.
fn left(file: &File, geometry: Geometry) -> Option<(Subject, usize)> {
    let is_first = file.tries == 0 && file.losses == 0;
    let directory = file.node.directory().filter(|it| is_first && it.keeps_parts())?;
    Partial::left(directory, &file.component(), geometry)
}
