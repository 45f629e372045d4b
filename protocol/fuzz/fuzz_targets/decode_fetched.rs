//! Reads arbitrary bytes as the body of the answer to `fetch`. Files that are read are the same once more after they were
//! written.
//!
//! An input is the number of names of the request, one byte, and the body.

#![no_main]

use haul_protocol::limits::MAX_FETCHED_SIZE;
use haul_protocol::{decode_fetched, encode_fetched, encode_unfetched};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&wanted, body)) = input.split_first() else {
        return;
    };
    let Ok(files) = decode_fetched(body, wanted.into()) else {
        return;
    };
    assert!((1..=usize::from(wanted)).contains(&files.len()));
    let bytes: usize = files.iter().flatten().map(|file| file.bytes.len()).sum();
    assert!(bytes < body.len(), "each file has a line");
    let mut again = Vec::new();
    for file in &files {
        match file {
            Ok(file) => {
                assert!(file.bytes.len() as u64 <= MAX_FETCHED_SIZE);
                let size = file.bytes.len() as u64;
                encode_fetched(size, &file.attributes, &mut again).expect("it was read");
                again.extend_from_slice(file.bytes);
            }
            Err(refusal) => encode_unfetched(refusal, &mut again),
        }
    }
    // White space and unknown fields are left out, and escapes may become longer.
    if again.len() <= body.len() {
        assert_eq!(decode_fetched(&again, wanted.into()), Ok(files));
    }
});
