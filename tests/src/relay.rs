//! A network between a client and a server that has bad days: a relay that passes bytes on, and cuts,
//! truncates, stalls or delays connections at a word, or when so many bytes have passed.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;

/// A disturbance of all connections that there are, or of one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Connections end, both sides of them.
    Cut,
    /// Connections end in the middle of the next piece that they pass on, in either direction.
    Truncate,
    /// Connections stay open, and no bytes pass any more. New connections are not concerned.
    Stall,
    /// Connections go on where they were stalled.
    Resume,
}

/// A relay on an address of its own. Dropping it ends it.
#[derive(Debug)]
pub struct Relay {
    address: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    resumed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    target: String,
    lines: Vec<Line>,
    accepted: usize,
    /// Bytes from clients to the server.
    passed: u64,
    /// Bytes from the server to clients, as far as they have been passed on.
    brought: u64,
    /// Pause of each piece before it is passed on.
    delay: Duration,
    /// The events to come, and the numbers of passed bytes at which they happen; the next one last.
    plan: Vec<(u64, Event)>,
    /// The same for numbers of brought bytes.
    plan_brought: Vec<(u64, Event)>,
    /// All bytes of each direction of each connection, if they are kept.
    kept: Option<BTreeMap<(usize, bool), Vec<u8>>>,
    over: bool,
}

/// One connection.
#[derive(Debug)]
struct Line {
    number: usize,
    ends: [TcpStream; 2],
    /// Directions that have not ended.
    open: u8,
    stalled: bool,
    truncated: bool,
}

impl Relay {
    /// Passes on to `target`. Each event of `plan` happens when so many bytes have passed from
    /// clients to the server.
    ///
    /// # Errors
    /// If no address can be had.
    pub fn start(target: &str, plan: &[(u64, Event)]) -> io::Result<Self> {
        let mut plan = plan.to_vec();
        plan.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        Self::begin("127.0.0.1:0", State { target: target.to_owned(), plan, ..State::default() })
    }

    /// Passes on from an address to `target`, and keeps all bytes.
    ///
    /// # Errors
    /// If the address can't be had.
    pub fn tapped(address: &str, target: &str) -> io::Result<Self> {
        let kept = Some(BTreeMap::new());
        Self::begin(address, State { target: target.to_owned(), kept, ..State::default() })
    }

    fn begin(address: &str, state: State) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        // Clients have sent bytes even if a stalled relay has not read them; the small buffer keeps these bytes
        // few.
        set_socket_recv_buffer_size(&listener, 64 << 10)?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared { state: Mutex::new(state), resumed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.state().over {
                    return;
                }
                accepting.connect(stream);
            }
        });
        Ok(Self { address, shared })
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Lets an event happen now.
    pub fn now(&self, event: Event) {
        self.shared.happen(&mut self.shared.state(), event, None);
    }

    /// Lets an event happen when so many bytes have passed from clients to the server, counted from the start.
    pub fn at(&self, bytes: u64, event: Event) {
        let mut state = self.shared.state();
        state.plan.push((bytes, event));
        state.plan.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    }

    /// Lets an event happen when so many bytes have been passed on from the server to clients, counted from the start.
    pub fn at_brought(&self, bytes: u64, event: Event) {
        let mut state = self.shared.state();
        state.plan_brought.push((bytes, event));
        state.plan_brought.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    }

    /// Lets an event happen now to one connection, the one that `pick` leads to.
    pub fn now_to_one(&self, event: Event, pick: usize) {
        let mut state = self.shared.state();
        if let Some(index) = pick.checked_rem(state.lines.len()) {
            let number = state.lines[index].number;
            self.shared.happen(&mut state, event, Some(number));
        }
    }

    /// Each piece of at most 16 KiB waits so long from now on, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.shared.state().delay = delay;
    }

    /// New connections go to another address from now on.
    pub fn lead_to(&self, target: &str) {
        target.clone_into(&mut self.shared.state().target);
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.state().accepted
    }

    /// Bytes that have passed from clients to the server.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.shared.state().passed
    }

    /// Bytes that have been passed on from the server to clients.
    #[must_use]
    pub fn brought(&self) -> u64 {
        self.shared.state().brought
    }

    /// The bytes of each direction of each connection so far, if they are kept.
    #[must_use]
    pub fn kept(&self) -> Vec<Vec<u8>> {
        self.shared.state().kept.iter().flat_map(BTreeMap::values).cloned().collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.over = true;
        self.shared.happen(&mut state, Event::Cut, None);
        drop(state);
        // Ends the thread that accepts; if nobody accepts any more, it has ended.
        let _ = TcpStream::connect(&self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client has come; without a server it is sent away.
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let target = self.state().target.clone();
        let ends = TcpStream::connect(target).and_then(|server| {
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            let copies = [client.try_clone()?, server.try_clone()?];
            Ok((copies, server))
        });
        let Ok((ends, server)) = ends else { return };
        let Ok(copies) = ends[0].try_clone().and_then(|a| Ok((a, ends[1].try_clone()?))) else {
            return;
        };
        let mut state = self.state();
        let number = state.accepted;
        state.accepted += 1;
        state.lines.push(Line { number, ends, open: 2, stalled: false, truncated: false });
        drop(state);
        for (from, to, up) in [(client, copies.1, true), (server, copies.0, false)] {
            let shared = Arc::clone(self);
            thread::spawn(move || shared.pass(number, from, to, up));
        }
    }

    /// One direction of one connection, to its end.
    fn pass(&self, number: usize, mut from: TcpStream, mut to: TcpStream, up: bool) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            if let Some(kept) = &mut self.state().kept {
                kept.entry((number, up)).or_default().extend(&buffer[..len]);
            }
            let may = self.may_pass(number, len, up);
            if to.write_all(&buffer[..may]).is_err() {
                break;
            }
            if !up {
                self.bring(may);
            }
            if may < len {
                break;
            }
        }
        // The other end may have gone first.
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
        let mut state = self.state();
        if let Some(index) = state.lines.iter().position(|line| line.number == number) {
            state.lines[index].open -= 1;
            if state.lines[index].truncated {
                state.lines.remove(index).end();
            } else if state.lines[index].open == 0 {
                state.lines.remove(index);
            }
        }
    }

    /// So many bytes more have been passed on to a client.
    fn bring(&self, len: usize) {
        let mut state = self.state();
        state.brought += len as u64;
        while let Some((at, event)) = state.plan_brought.last().copied()
            && at <= state.brought
        {
            state.plan_brought.pop();
            self.happen(&mut state, event, None);
        }
    }

    /// Bytes of a piece that are passed on: all, after waiting while the connection is stalled; half of it if
    /// it is truncated; none if it is cut.
    fn may_pass(&self, number: usize, len: usize, up: bool) -> usize {
        let mut state = self.state();
        state.passed += if up { len as u64 } else { 0 };
        while let Some((at, event)) = state.plan.last().copied()
            && at <= state.passed
        {
            state.plan.pop();
            self.happen(&mut state, event, None);
        }
        loop {
            match state.lines.iter().find(|line| line.number == number) {
                None => return 0,
                Some(line) if line.truncated => return len / 2,
                Some(line) if !line.stalled => break,
                Some(_) => {
                    state = self.resumed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        let delay = state.delay;
        drop(state);
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        len
    }

    /// Lets an event happen to all connections, or to the one with a number.
    fn happen(&self, state: &mut State, event: Event, only: Option<usize>) {
        let concerned = |line: &mut Line| only.is_none_or(|number| line.number == number);
        if event == Event::Cut {
            for line in state.lines.extract_if(.., concerned) {
                line.end();
            }
        }
        for line in state.lines.iter_mut().filter_map(|line| concerned(line).then_some(line)) {
            match event {
                Event::Cut => {}
                Event::Truncate => line.truncated = true,
                Event::Stall => line.stalled = true,
                Event::Resume => line.stalled = false,
            }
        }
        self.resumed.notify_all();
    }
}

impl Line {
    fn end(self) {
        for end in self.ends {
            // The connection may have ended by itself.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}
