//! The line below a connection, as the kernel sees it: round trips and segments sent again.

use std::time::{Duration, Instant};

use super::congestion;
use super::transport::Socket;

/// Time between two looks.
pub const PERIOD: Duration = Duration::from_secs(1);

/// Facts of a line since its connection began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// The smoothed time there and back.
    pub round_trip: Duration,
    /// Segments that were sent again.
    pub retransmits: u32,
}

/// The events on a line in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Its length.
    pub time: Duration,
    /// Bytes that the line took.
    pub bytes: u64,
    /// Segments that were sent again.
    pub retransmits: u32,
    /// The time there and back at its end.
    pub round_trip: Duration,
    /// The lowest such time that was seen at the end of any period.
    pub lowest: Duration,
    /// At its end, bytes waited for the line.
    pub blocked: bool,
}

/// Looks at one line once in a period.
#[derive(Debug)]
pub struct Watch {
    last: Instant,
    bytes: u64,
    facts: Facts,
    lowest: Duration,
}

impl Watch {
    /// For a line that is worth it: it leaves the machine, and its algorithm takes every loss for a full line.
    #[must_use]
    pub fn new(socket: &Socket) -> Option<Self> {
        if !socket.leaves_the_machine() || congestion::of(socket)?.starts_with("bbr") {
            return None;
        }
        let facts = facts(socket)?;
        Some(Self { last: Instant::now(), bytes: 0, facts, lowest: facts.round_trip })
    }

    /// Time until the next look.
    #[must_use]
    pub fn due_in(&self) -> Duration {
        PERIOD.saturating_sub(self.last.elapsed())
    }

    /// The last period, if it is over. `bytes` is the number of bytes that the socket has taken in all.
    pub fn look(&mut self, socket: &Socket, bytes: u64, blocked: bool) -> Option<Interval> {
        let time = self.last.elapsed();
        if time < PERIOD {
            return None;
        }
        self.last = Instant::now();
        let facts = facts(socket)?;
        self.lowest = self.lowest.min(facts.round_trip);
        let interval = Interval {
            time,
            bytes: bytes - self.bytes,
            retransmits: facts.retransmits.wrapping_sub(self.facts.retransmits),
            round_trip: facts.round_trip,
            lowest: self.lowest,
            blocked,
        };
        (self.bytes, self.facts) = (bytes, facts);
        Some(interval)
    }
}

/// The facts of a socket now; none if it has no line or the system does not tell.
#[must_use]
pub fn facts(socket: &Socket) -> Option<Facts> {
    match socket {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Socket::Tcp(stream) => kernel::facts(stream),
        _ => None,
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod kernel {
    use std::time::Duration;

    use nix::sys::socket::GetSockOpt;
    use nix::sys::socket::sockopt::GetStruct;

    use super::Facts;

    /// The words of the kernel's `struct tcp_info` that each kernel has had since `TCP_INFO` exists; the last one is
    /// `tcpi_total_retrans`.
    type Words = [u32; 26];

    /// `tcpi_rtt`, in microseconds.
    const ROUND_TRIP: usize = 17;

    /// `tcpi_total_retrans`.
    const RETRANSMITS: usize = 25;

    #[derive(Debug, Clone, Copy)]
    struct TcpInfo;

    nix::getsockopt_impl!(TcpInfo, libc::IPPROTO_TCP, libc::TCP_INFO, Words, GetStruct<Words>);

    pub(super) fn facts(stream: &mio::net::TcpStream) -> Option<Facts> {
        let words = TcpInfo.get(stream).ok()?;
        let round_trip = Duration::from_micros(words[ROUND_TRIP].into());
        Some(Facts { round_trip, retransmits: words[RETRANSMITS] })
    }

    #[cfg(test)]
    mod tests {
        use std::mem::offset_of;

        use super::*;

        #[test]
        fn words_are_where_the_kernel_has_them() {
            assert_eq!(offset_of!(libc::tcp_info, tcpi_rtt), ROUND_TRIP * 4);
            assert_eq!(offset_of!(libc::tcp_info, tcpi_total_retrans), RETRANSMITS * 4);
        }

        #[test]
        fn round_trip_of_loopback_is_short() {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let facts = facts(&mio::net::TcpStream::from_std(stream)).unwrap();
            assert!(facts.round_trip < Duration::from_secs(1), "{facts:?}");
            assert_eq!(facts.retransmits, 0);
        }
    }
}
