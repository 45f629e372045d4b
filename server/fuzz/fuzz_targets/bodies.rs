//! Gives arbitrary bytes to the readers of rows, forms and XML: [`haul_server::fuzzing::bodies`] has what must hold.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| haul_server::fuzzing::bodies(input));
