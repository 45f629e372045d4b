//! A long line: passes bytes on to another port, each so much later, as many at once as are sent.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that are under way at once on one connection in one direction, in pieces of up to 64 KiB:
/// more than a sender's and a receiver's buffers and the bytes that a fast line holds in a tenth of a
/// second.
const PIECES: usize = 4096;

/// Listens on a port of its own for as long as the program runs, and passes on to `target`.
pub(crate) fn start(target: u16, delay: Duration) -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            // Without a server behind it the client sees its connection end, as on a real line.
            let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else { continue };
            for stream in [&near, &far] {
                let _ = stream.set_nodelay(true);
            }
            let ends = near.try_clone().and_then(|near| Ok((near, far.try_clone()?)));
            let Ok((near_too, far_too)) = ends else { continue };
            pass(near, far, delay);
            pass(far_too, near_too, delay);
        }
    });
    Ok(port)
}

type Piece = (Instant, Vec<u8>);

fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = sync_channel::<Piece>(PIECES);
    thread::spawn(move || read(&mut from, &sender, delay));
    thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                // The thread that reads for this end sees the end of the stream.
                let _ = to.shutdown(Shutdown::Both);
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

fn read(from: &mut TcpStream, sender: &SyncSender<Piece>, delay: Duration) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(len) = from.read(&mut buffer) {
        let piece = (Instant::now() + delay, buffer[..len].to_vec());
        if len == 0 || sender.send(piece).is_err() {
            return;
        }
    }
}
