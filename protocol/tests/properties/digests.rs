//! Chaining values of parts merge into the digest of the whole, and no numbers make blake3 panic.

use haul_protocol::limits::{CHUNK_LEN, MAX_BODY_LEN, MAX_PARTS, part_size_for};
use haul_protocol::{Cv, Digest, FileHasher, Geometry, merge};
use proptest::prelude::*;

/// The digest of `file` by way of its parts, hashed last part first and in uneven pieces.
fn by_parts(file: &[u8], part_size: u64) -> Digest {
    let geometry = Geometry::new(file.len() as u64, part_size).expect("two parts or more");
    let mut cvs = vec![Cv([0; 32]); geometry.parts()];
    for index in (0..geometry.parts()).rev() {
        let range = geometry.range(index).expect("a part of the file");
        assert_eq!(geometry.locate(range.start, range.end - range.start), Ok(index));
        let pos = |offset| usize::try_from(offset).expect("a small file");
        let mut hasher = geometry.hasher(index).expect("a part of the file");
        for piece in file[pos(range.start)..pos(range.end)].chunks(777) {
            assert_eq!(hasher.finish(), None, "bytes are missing");
            assert!(hasher.update(piece));
        }
        assert!(!hasher.update(b"more"), "a part takes no byte past its end");
        cvs[index] = hasher.finish().expect("the part is complete");
    }
    merge(&cvs).expect("two parts or more")
}

#[test]
fn parts_merge_into_the_digest_around_every_boundary() {
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 251).to_le_bytes()[0]).collect();
    for part_size in [1024, 2048, 4096, 16_384] {
        for parts in 1..=17 {
            for size in [parts * part_size - 1, parts * part_size, parts * part_size + 1] {
                if size > part_size {
                    let file = &bytes[..usize::try_from(size).unwrap()];
                    let digest = by_parts(file, part_size);
                    assert_eq!(digest, Digest::of(file), "{size} bytes in parts of {part_size}");
                }
            }
        }
    }
}

#[test]
fn parts_of_the_usual_size_merge_into_the_digest() {
    let file = vec![7; (5 << 19) + 13];
    assert_eq!(by_parts(&file, 1 << 20), Digest::of(&file));
}

#[test]
fn fewer_than_two_parts_merge_into_nothing() {
    assert_eq!(merge(&[]), None);
    assert_eq!(merge(&[Cv([1; 32])]), None);
}

/// Numbers near the limits, where mistakes are.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0..64_u32, 0..3_u64)
            .prop_map(|(bit, more)| (1_u64 << bit).wrapping_add(more).wrapping_sub(1)),
    ]
}

proptest! {
    #[test]
    fn no_numbers_make_a_geometry_panic(
        (size, part_size, offset, len) in (number(), number(), number(), number()),
        index in any::<usize>(),
    ) {
        if let Some(chosen) = part_size_for(size) {
            prop_assert!(chosen.is_power_of_two() && (CHUNK_LEN..=MAX_BODY_LEN).contains(&chosen));
            prop_assert!(size <= chosen || Geometry::new(size, chosen).is_ok());
        }
        let Ok(geometry) = Geometry::new(size, part_size) else { return Ok(()) };
        let parts = geometry.parts();
        prop_assert!((2..=MAX_PARTS).contains(&(parts as u64)));
        prop_assert_eq!(geometry.range(index).is_some(), index < parts);
        prop_assert_eq!(geometry.hasher(index).is_some(), index < parts);
        for index in [0, 1, index % parts, parts - 1] {
            let range = geometry.range(index).unwrap();
            prop_assert!(range.start < range.end && range.end <= size);
            prop_assert_eq!(range.end == size, index == parts - 1);
            let mut hasher = geometry.hasher(index).unwrap();
            prop_assert!(hasher.finish().is_none(), "no part is empty");
            prop_assert!(hasher.update(b"x"));
            prop_assert!(hasher.finish().is_none() || range.end - range.start == 1);
        }
        if let Ok(index) = geometry.locate(offset, len) {
            prop_assert_eq!(geometry.range(index), Some(offset..offset + len));
        }
    }

    #[test]
    fn a_file_in_pieces_has_the_digest_of_the_whole(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..5),
    ) {
        let mut hasher = FileHasher::new();
        pieces.iter().for_each(|piece| hasher.update(piece));
        let digest = hasher.finish();
        prop_assert_eq!(digest, Digest::of(&pieces.concat()));
        prop_assert_eq!(Digest::parse(&digest.to_hex()), Ok(digest));
    }
}
