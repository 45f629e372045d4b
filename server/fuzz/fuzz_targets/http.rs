//! Gives arbitrary bytes to the machine and the half of HTTP: [`haul_server::fuzzing::http`] has what must hold.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| haul_server::fuzzing::http(input));
