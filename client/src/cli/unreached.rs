//! The last words about a server that was not reached, with advice.

use std::io::ErrorKind;

use haul_protocol::Code;

use crate::error::ConnectionError;

/// The text of an error that ends a command. If the server takes only TLS, or no address of a haul server could be reached, the text ends with the first
/// thing to look at.
pub(super) fn told(error: &ConnectionError) -> String {
    let (server, source) = match error {
        ConnectionError::Unreachable { server, source } => (server, source),
        ConnectionError::Ended(refusal) if refusal.code == Code::Tls => {
            return format!("{error}; leave --insecure out");
        }
        _ => return error.to_string(),
    };
    match source.kind() {
        // Without the number of the system's error, the line fits a terminal.
        ErrorKind::ConnectionRefused => {
            format!("could not reach {server}: Connection refused; does hauld run there?")
        }
        ErrorKind::TimedOut => {
            format!("{error}; is the address right, or a firewall in the way?")
        }
        _ => error.to_string(),
    }
}
