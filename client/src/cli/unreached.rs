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
        _ => match source.to_string().split_once(LOOKUP) {
            // People who know a host by its name in the configuration of ssh write it as for scp without a path.
            Some((_, reason)) => {
                format!("could not reach {server}: {reason}; is it a host of ssh? Write HOST:PATH")
            }
            None => error.to_string(),
        },
    }
}

/// The beginning of an error of getaddrinfo(3), as the standard library tells it.
const LOOKUP: &str = "failed to lookup address information: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_that_is_not_known_may_be_one_of_ssh() {
        let source =
            std::net::ToSocketAddrs::to_socket_addrs("no.such.host.invalid:1").unwrap_err();
        let error = ConnectionError::Unreachable { server: String::from("box:8080"), source };
        let told = told(&error);
        assert!(told.starts_with("could not reach box:8080: "), "{told}");
        assert!(told.ends_with("; is it a host of ssh? Write HOST:PATH"), "{told}");
        assert!(!told.contains("lookup"), "{told}");
    }
}
