//! Reads arbitrary bytes as the body of `fetch`. Names that are read are written as the same bytes.

#![no_main]

use haul_protocol::limits::{MAX_BUNDLE_LEN, MAX_BUNDLED};
use haul_protocol::{decode_wanted, encode_wanted};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(names) = decode_wanted(body) else {
        return;
    };
    assert!((1..=MAX_BUNDLED).contains(&(names.len() as u64)));
    assert!(body.len() as u64 <= MAX_BUNDLE_LEN);
    let mut again = Vec::new();
    names.iter().for_each(|name| encode_wanted(name, &mut again));
    assert_eq!(again, body);
});
