//! Every limit of the protocol, each with its unit and the reason for its value.
//!
//! A number that a peer sends is compared with one of these before it sizes anything.

/// Bytes of the prefix that precedes every header: one signed 32-bit little-endian integer.
pub const PREFIX_LEN: usize = 4;

/// Longest header in bytes, the prefix not counted: room for two names of [`MAX_NAME_LEN`] bytes
/// that JSON escapes sixfold, and small enough to be held for every connection at once.
pub const MAX_HEADER_LEN: usize = 64 * 1024;

/// Deepest nesting of objects and arrays in a header. The protocol needs 3; unknown fields get
/// room, and a recursive JSON reader in any language gets no surprise.
pub const MAX_HEADER_DEPTH: usize = 16;

/// Longest body in bytes (8 MiB): a peer may have to skip so much, and a client sends so much again
/// after a bad body.
pub const MAX_BODY_LEN: u64 = 8 * 1024 * 1024;

/// Longest body of a bundle in bytes: all of it is in memory before any of it happens.
pub const MAX_BUNDLE_LEN: u64 = 256 * 1024;

/// Most files of one bundle: each may be an open file until it is durable.
pub const MAX_BUNDLED: u64 = 256;

/// Largest file in bytes that an answer to `fetch` has: several of them, and their lines, fit
/// [`MAX_BUNDLE_LEN`]. A larger one comes by `get`.
pub const MAX_FETCHED_SIZE: u64 = 128 * 1024;

/// Largest number in a header (2^53 − 1): every JSON reader holds it exactly (RFC 8259, section 6).
pub const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Bytes of one BLAKE3 chunk; a part is a power of two of them.
pub const CHUNK_LEN: u64 = 1024;

/// Most parts of one large file: their bitmap is 16 KiB and their chaining values 4 MiB.
pub const MAX_PARTS: u64 = 1 << 17;

/// Smallest part in bytes, and the largest file that is sent whole in one `put` by `haul`: a part
/// then stays in the second-level cache from hashing to sending.
pub const MIN_PART_LEN: u64 = 1024 * 1024;

/// Parts that [`part_size_for`] aims to stay under before it makes parts larger.
pub const USUAL_PARTS: u64 = 1 << 14;

/// Largest file in bytes that can be sent as parts (1 TiB).
pub const MAX_PARTED_SIZE: u64 = MAX_PARTS * MAX_BODY_LEN;

/// Longest name in bytes, all components and slashes together (Linux's `PATH_MAX`).
pub const MAX_NAME_LEN: usize = 4096;

/// Longest component of a name in bytes (Linux's `NAME_MAX`).
pub const MAX_COMPONENT_LEN: usize = 255;

/// Longest target of a symbolic link in bytes (`PATH_MAX` without its final NUL).
pub const MAX_LINK_LEN: usize = 4095;

/// Longest free text that a peer sends to identify itself or a source, in bytes.
pub const MAX_TEXT_LEN: usize = 128;

/// Largest permission value that a header may carry; only `mode & 0o777` is kept.
pub const MAX_MODE: u32 = 0o7777;

/// Nanoseconds of a second; `ns` stays below it.
pub const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// Unanswered requests that a server of this crate's version allows on one connection: enough for
/// most directories in one go, and for 10,000 small files in one round trip over four connections.
pub const WINDOW_REQUESTS: u64 = 4096;

/// Bytes of unanswered bodies that a server of this crate's version allows on one connection.
pub const WINDOW_BYTES: u64 = 32 * 1024 * 1024;

/// Version of the haul dialect.
pub const VERSION: u64 = 1;

const _: () = assert!(MAX_HEADER_LEN > 6 * (MAX_NAME_LEN + MAX_LINK_LEN) + 1024);
const _: () = assert!(MIN_PART_LEN.is_power_of_two() && MIN_PART_LEN >= CHUNK_LEN);
const _: () = assert!(MIN_PART_LEN <= MAX_BODY_LEN && MAX_BODY_LEN.is_power_of_two());
const _: () = assert!(WINDOW_BYTES >= MAX_BODY_LEN);
const _: () = assert!(MAX_PARTED_SIZE <= MAX_NUMBER);
const _: () = assert!(MAX_BUNDLE_LEN <= MAX_BODY_LEN && MAX_BUNDLED <= WINDOW_REQUESTS);
const _: () = assert!(MAX_PARTS / 8 <= MAX_BODY_LEN);

/// The part size that a server should choose for a file of `size` bytes: the smallest power of two
/// from [`MIN_PART_LEN`] to [`MAX_BODY_LEN`] that gives at most [`USUAL_PARTS`] parts.
///
/// Returns `None` if the file is larger than [`MAX_PARTED_SIZE`].
///
/// ```
/// use haul_protocol::limits::part_size_for;
/// assert_eq!(part_size_for(5 << 30), Some(1 << 20));
/// assert_eq!(part_size_for(1 << 40), Some(8 << 20));
/// assert_eq!(part_size_for((1 << 40) + 1), None);
/// ```
#[must_use]
pub fn part_size_for(size: u64) -> Option<u64> {
    if size > MAX_PARTED_SIZE {
        return None;
    }
    let wanted = size.div_ceil(USUAL_PARTS).next_power_of_two();
    Some(wanted.clamp(MIN_PART_LEN, MAX_BODY_LEN))
}
