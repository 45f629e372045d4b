//! `haul`: the command line of [`haul_client`].

use std::process::ExitCode;

fn main() -> ExitCode {
    haul_client::cli::main()
}
