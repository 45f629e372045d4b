//! A long line between two TUN devices: each way it has a bottleneck with a queue, a delay, and losses that a seed
//! repeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use haul_tests::random::Random;
use tun::Device;

/// Losses are counted in millionths.
pub(crate) const WHOLE: u32 = 1_000_000;

/// The properties of a line, the same each way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Bits a second.
    pub(crate) rate: u64,
    /// Time from one end to the other, without waiting.
    pub(crate) delay: Duration,
    /// The most time that a packet waits before the bottleneck.
    pub(crate) queue: Duration,
    pub(crate) seed: u64,
}

/// The dials and counters of a line.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Packets of a million that are lost.
    loss: AtomicU32,
    passed: AtomicU64,
    lost: AtomicU64,
    /// Packets that found the queue full.
    full: AtomicU64,
}

/// Packets since the last count.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) lost: u64,
    pub(crate) full: u64,
}

type Packet = (Instant, Vec<u8>);

impl Line {
    /// Passes packets on between two devices for as long as the program runs.
    pub(crate) fn start(ends: [&Arc<Device>; 2], shape: Shape) -> std::io::Result<Arc<Self>> {
        let line = Arc::new(Self::default());
        let ways = [(ends[0], ends[1], 0), (ends[1], ends[0], 1)];
        for (from, to, way) in ways {
            let (sender, receiver) = channel();
            let (from, to, line) = (Arc::clone(from), Arc::clone(to), Arc::clone(&line));
            let random = Random::new(shape.seed, way);
            let name = |what: &str| thread::Builder::new().name(format!("{what}-{way}"));
            name("in").spawn(move || line.take(&from, &sender, shape, random))?;
            name("out").spawn(move || give(&to, &receiver))?;
        }
        Ok(line)
    }

    /// So many packets of a million are lost from now on; packets are counted from 0 again.
    pub(crate) fn lose(&self, loss: u32) {
        self.loss.store(loss, Ordering::Relaxed);
        for count in [&self.passed, &self.lost, &self.full] {
            count.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn count(&self) -> Count {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Count { passed: get(&self.passed), lost: get(&self.lost), full: get(&self.full) }
    }

    /// Takes packets from a device, and decides for each when it arrives, if it does.
    fn take(&self, from: &Device, to: &Sender<Packet>, shape: Shape, mut random: Random) {
        let mut buffer = vec![0; 1 << 16];
        let mut bottleneck = Bottleneck::new(shape, Instant::now());
        while let Ok(len) = from.recv(&mut buffer) {
            let packet = &buffer[..len];
            // IPv4 only.
            if packet.first().is_none_or(|first| first >> 4 != 4) {
                continue;
            }
            if random.below(WHOLE.into()) < self.loss.load(Ordering::Relaxed).into() {
                self.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let Some(due) = bottleneck.pass(len, Instant::now()) else {
                self.full.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            self.passed.fetch_add(1, Ordering::Relaxed);
            if to.send((due, packet.to_vec())).is_err() {
                return;
            }
        }
    }
}

/// Gives packets to a device, each when it is due.
fn give(to: &Device, packets: &Receiver<Packet>) {
    for (due, packet) in packets {
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        // A full device loses packets, as devices do.
        let _ = to.send(&packet);
    }
}

/// The slowest place of a line, with the queue before it.
#[derive(Debug)]
struct Bottleneck {
    shape: Shape,
    /// When the last packet that was let in has left.
    free: Instant,
}

impl Bottleneck {
    fn new(shape: Shape, now: Instant) -> Self {
        Self { shape, free: now }
    }

    /// When a packet that comes now arrives at the other end; none if the queue is full.
    fn pass(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        let begin = self.free.max(now);
        if begin.saturating_duration_since(now) > self.shape.queue {
            return None;
        }
        let nanos = (bytes as u64).saturating_mul(8_000_000_000) / self.shape.rate;
        self.free = begin + Duration::from_nanos(nanos);
        Some(self.free + self.shape.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_leave_one_after_the_other_and_a_full_queue_takes_none() {
        const MILLI: Duration = Duration::from_millis(1);
        // 1000 bytes a millisecond.
        let shape = Shape { rate: 8_000_000, delay: 25 * MILLI, queue: 2 * MILLI, seed: 0 };
        let now = Instant::now();
        let mut bottleneck = Bottleneck::new(shape, now);
        for millis in [26, 27, 28] {
            assert_eq!(bottleneck.pass(1000, now), Some(now + millis * MILLI));
        }
        assert_eq!(bottleneck.pass(1000, now), None);
        assert_eq!(bottleneck.pass(1000, now + MILLI), Some(now + 29 * MILLI));
        let later = now + 100 * MILLI;
        assert_eq!(bottleneck.pass(500, later), Some(later + 25 * MILLI + MILLI / 2));
    }
}
