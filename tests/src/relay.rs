//! A network between a client and a server that has bad days: a relay that passes bytes on, and cuts
//! or stalls connections at a word, or when so many bytes have passed.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What happens to all connections that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// They end, both sides of them.
    Cut,
    /// They stay open, and nothing passes any more. New connections are not concerned.
    Stall,
    /// They go on where they were stalled.
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
    target: String,
    state: Mutex<State>,
    resumed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Line>,
    accepted: usize,
    /// Bytes from clients to the server.
    passed: u64,
    /// What is to happen, and when so many bytes have passed; the next one last.
    plan: Vec<(u64, Event)>,
    over: bool,
}

/// One connection.
#[derive(Debug)]
struct Line {
    number: usize,
    ends: [TcpStream; 2],
    stalled: bool,
}

impl Relay {
    /// Passes on to `target`. Each event of `plan` happens when so many bytes have passed from
    /// clients to the server.
    ///
    /// # Errors
    /// If no address can be had.
    pub fn start(target: &str, plan: &[(u64, Event)]) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let mut plan = plan.to_vec();
        plan.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let state = Mutex::new(State { plan, ..State::default() });
        let shared = Shared { target: target.to_owned(), state, resumed: Condvar::new() };
        let shared = Arc::new(shared);
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

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Lets something happen now.
    pub fn now(&self, event: Event) {
        self.shared.happen(&mut self.shared.state(), event);
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
}

impl Drop for Relay {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.over = true;
        self.shared.happen(&mut state, Event::Cut);
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
        let ends = TcpStream::connect(&self.target).and_then(|server| {
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
        state.lines.push(Line { number, ends, stalled: false });
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
            if !self.may_pass(number, if up { len as u64 } else { 0 }) {
                break;
            }
            if to.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
        // The other end may have gone first.
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    }

    /// Waits while a connection is stalled; `false` if it is cut.
    fn may_pass(&self, number: usize, bytes: u64) -> bool {
        let mut state = self.state();
        state.passed += bytes;
        while let Some((at, event)) = state.plan.last().copied()
            && at <= state.passed
        {
            state.plan.pop();
            self.happen(&mut state, event);
        }
        loop {
            match state.lines.iter().find(|line| line.number == number) {
                None => return false,
                Some(line) if !line.stalled => return true,
                Some(_) => {
                    state = self.resumed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn happen(&self, state: &mut State, event: Event) {
        match event {
            Event::Cut => {
                for end in state.lines.drain(..).flat_map(|line| line.ends) {
                    // It may have ended by itself.
                    let _ = end.shutdown(Shutdown::Both);
                }
            }
            Event::Stall => state.lines.iter_mut().for_each(|line| line.stalled = true),
            Event::Resume => state.lines.iter_mut().for_each(|line| line.stalled = false),
        }
        self.resumed.notify_all();
    }
}
