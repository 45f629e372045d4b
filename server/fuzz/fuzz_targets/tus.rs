//! Gives arbitrary fields to the readers of resumable uploads: [`haul_server::fuzzing::tus`] has what must hold.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| haul_server::fuzzing::tus(input));
