//! Several addresses of one server, tried a quarter of a second apart (RFC 8305): the first connection that stands is the
//! one, and the client closes all others.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::poller::Poller;
use super::transport::Socket;

/// Time that one address has for itself before the next one is tried as well.
const APART: Duration = Duration::from_millis(250);

/// Attempts that are under way at once: of a name with many addresses, the oldest one ends for the next one.
const MOST: usize = 16;

/// Connects to one of several addresses, which may take `limit` together; the socket is in the poller. `None` if the run
/// is over.
///
/// # Errors
/// The error of the address that has failed last.
pub(super) fn race(
    addresses: &[SocketAddr],
    limit: Duration,
    poller: &mut Poller,
    over: &dyn Fn() -> bool,
) -> io::Result<Option<Socket>> {
    let mut race = Race { begun: Vec::new(), poller };
    let (deadline, mut next) = (Instant::now() + limit, Instant::now());
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut addresses = addresses.iter().copied().peekable();
    loop {
        if over() {
            return Ok(None);
        }
        match race.standing() {
            Ok(Some(socket)) => return socket.set_options().map(|()| Some(socket)),
            Ok(None) => {}
            Err(error) => {
                last = error;
                // The next address need not wait for one that has failed.
                next = Instant::now();
                continue;
            }
        }
        let now = Instant::now();
        if now >= deadline {
            let text = format!("no answer in {}", humantime::format_duration(limit));
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        if (now >= next || race.begun.is_empty())
            && let Some(address) = addresses.next()
        {
            match race.begin(address) {
                Ok(()) => next = now + APART,
                Err(error) => last = error,
            }
            continue;
        }
        if race.begun.is_empty() {
            return Err(last);
        }
        let until = addresses.peek().map_or(deadline, |_| next.min(deadline));
        race.poller.wait(until.saturating_duration_since(now))?;
    }
}

/// The attempts that are under way, each with its socket in the poller. When the race ends, the sockets are closed.
struct Race<'a> {
    begun: Vec<Socket>,
    poller: &'a mut Poller,
}

impl Race<'_> {
    fn begin(&mut self, address: SocketAddr) -> io::Result<()> {
        let mut socket = Socket::tcp(address)?;
        self.poller.add(&mut socket)?;
        self.begun.push(socket);
        if self.begun.len() > MOST {
            self.close(0);
        }
        Ok(())
    }

    /// A socket that is connected, if there is one.
    ///
    /// # Errors
    /// If an attempt has failed; the attempt is over.
    fn standing(&mut self) -> io::Result<Option<Socket>> {
        for index in 0..self.begun.len() {
            match self.begun[index].is_connected() {
                Ok(true) => return Ok(Some(self.begun.remove(index))),
                Ok(false) => {}
                Err(error) => {
                    self.close(index);
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    fn close(&mut self, index: usize) {
        let mut socket = self.begun.remove(index);
        self.poller.remove(&mut socket);
    }
}

impl Drop for Race<'_> {
    fn drop(&mut self) {
        self.begun.iter_mut().for_each(|socket| self.poller.remove(socket));
    }
}

#[cfg(test)]
#[cfg(any(target_os = "linux", target_os = "android"))]
mod tests {
    use std::cell::Cell;
    use std::net::{TcpListener, TcpStream};

    use socket2::{Domain, Type};

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    /// An address that answers nobody: connections wait to be accepted, and there is no room for more of them.
    struct Silent {
        address: SocketAddr,
        _held: (socket2::Socket, Vec<TcpStream>),
    }

    fn silent(at: &str) -> Silent {
        let wanted: SocketAddr = at.parse().unwrap();
        let socket = socket2::Socket::new(Domain::for_address(wanted), Type::STREAM, None).unwrap();
        socket.bind(&wanted.into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            waiting.push(stream);
        }
        Silent { address, _held: (socket, waiting) }
    }

    fn peer(socket: Option<Socket>) -> SocketAddr {
        match socket.unwrap() {
            Socket::Tcp(stream) => stream.peer_addr().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn address_that_answers_wins_over_one_that_never_does() {
        let (silent, server) = (silent("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0").unwrap());
        let address = server.local_addr().unwrap();
        let began = Instant::now();
        let mut poller = Poller::new().unwrap();
        let won = race(&[silent.address, address], LONG, &mut poller, &|| false).unwrap();
        let took = began.elapsed();
        assert_eq!(peer(won), address);
        assert!(APART <= took && took < LONG / 4, "{took:?}");
    }

    #[test]
    fn address_that_refuses_is_not_waited_for() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let began = Instant::now();
        let mut poller = Poller::new().unwrap();
        let mut addresses = vec![closed; 40];
        addresses.push(address);
        let won = race(&addresses, LONG, &mut poller, &|| false).unwrap();
        assert_eq!(peer(won), address);
        assert!(began.elapsed() < 20 * APART, "{:?}", began.elapsed());
        let error = race(&[closed], LONG, &mut poller, &|| false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn first_address_wins_if_both_answer_and_the_other_is_never_tried() {
        let servers = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = servers.each_ref().map(|server| server.local_addr().unwrap());
        let won = race(&addresses, LONG, &mut Poller::new().unwrap(), &|| false).unwrap();
        assert_eq!(peer(won), addresses[0]);
        servers[1].set_nonblocking(true).unwrap();
        assert_eq!(servers[1].accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn all_addresses_together_have_one_time() {
        let (silent, began) = (silent("127.0.0.1:0"), Instant::now());
        let limit = Duration::from_millis(600);
        let mut poller = Poller::new().unwrap();
        let error = race(&[silent.address; 9], limit, &mut poller, &|| false).unwrap_err();
        assert_eq!(error.to_string(), "no answer in 600ms");
        assert!(began.elapsed() < LONG / 4, "{:?}", began.elapsed());
    }

    #[test]
    fn losers_are_closed_and_a_run_that_is_over_ends_the_race() {
        let (silent, asked) = (silent("127.0.0.1:0"), Cell::new(0));
        let mut poller = Poller::new().unwrap();
        let over = || asked.replace(asked.get() + 1) > 2;
        assert!(race(&[silent.address; 40], LONG, &mut poller, &over).unwrap().is_none());
        let mut race = Race { begun: Vec::new(), poller: &mut poller };
        (0..40).for_each(|_| race.begin(silent.address).unwrap());
        assert_eq!(race.begun.len(), MOST);
    }
}
