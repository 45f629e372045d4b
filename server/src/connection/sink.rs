//! Where the bytes of a body go.

use haul_protocol::RequestId;
use zeroize::Zeroizing;

use super::Connection;
use super::bundle::Bundle;
use super::compare::Check;
use super::fetch::Wants;
use super::file_body::Incoming;
use super::http::page::entries::Entries;
use super::http::resumable::body::Body;
use super::job::Job;
use super::turn::Turn;
use crate::commit::notify::Done;
use crate::net::buffer;
use crate::store::Change;
use crate::uploads::writer::PartWriter;

/// Bytes of the longest body that waits in the buffer until it is complete, and so is not copied or staged by
/// halves. All of it fits.
const WAITS: u64 = 128 * 1024;
const _: () = assert!(WAITS <= buffer::LEN as u64);

/// Bytes that BLAKE3 hashes side by side: 16 chunks of 1 KiB (with AVX-512; fewer with less), the first of them at
/// a multiple of that. If a piece is cut elsewhere, BLAKE3 hashes the chunks around the cut one by one, which costs a fifth of
/// the speed when 256 KiB come at once (measured). It is whole pages, too.
const WIDE: u64 = 16 * 1024;

/// Bytes of the entries of a comparison that are taken between two looks at the clock: a dozen of usual length, which
/// take some 20 µs together. A look for each entry costs 3 % of the server's time for an unchanged tree (measured).
const ENTRIES: usize = 1024;

/// The receiver of the body that comes now.
#[derive(Debug)]
pub(super) enum Sink {
    /// No request, or one that is answered already: its body is skipped.
    Nothing,
    /// A part that is held already: its body is skipped, then acknowledged.
    Held { id: RequestId },
    /// A whole file.
    File(Incoming),
    /// A part of a large file.
    Part { id: RequestId, writer: Box<PartWriter> },
    /// Bytes of an upload of HTTP, in order.
    Ordered(Box<Body>),
    /// Entries to compare.
    Check(Box<Check>),
    /// Small files together.
    Bundle(Box<Bundle>),
    /// Names of small files that the peer wants.
    Fetch(Box<Wants>),
    /// Several entries that a client of HTTP sends in one body.
    Entries(Box<Entries>),
    /// The form with which a browser logs in; its length was looked at.
    Login(Zeroizing<Vec<u8>>),
}

impl Sink {
    /// Where in a file the next byte goes.
    pub(super) fn offset(&self) -> u64 {
        match self {
            Self::File(file) => file.stream.as_ref().map_or(0, |stream| stream.offset),
            Self::Part { writer, .. } => writer.offset(),
            Self::Ordered(body) => body.offset(),
            Self::Nothing | Self::Held { .. } | Self::Check(_) => 0,
            Self::Bundle(_) | Self::Fetch(_) | Self::Entries(_) | Self::Login(_) => 0,
        }
    }

    /// The number of these bytes that it takes before the turn looks at the clock: of a comparison a few entries or one long
    /// one, because each entry is work, and a deep name may cost as much as a thousand others.
    pub(super) fn at_once(&self, input: &[u8]) -> usize {
        match self {
            Self::Check(_) => entries(input),
            Self::Entries(entries) => entries.at_once(input),
            _ => input.len(),
        }
    }

    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Check(check) => check.held_bytes(),
            Self::Bundle(bundle) => bundle.held_bytes(),
            Self::Fetch(wants) => wants.held_bytes(),
            Self::Ordered(body) => body.held_bytes(),
            Self::Entries(entries) => entries.held_bytes(),
            Self::Login(form) => form.capacity(),
            Self::Nothing | Self::Held { .. } | Self::File(_) | Self::Part { .. } => 0,
        }
    }

    /// The number of these bytes that it takes now, if `left` bytes of the body are to come: none of a body that is small
    /// enough to wait for all; of a larger one, so many that the next ones are hashed at full speed.
    pub(super) fn takes(&self, input: &[u8], left: u64) -> usize {
        let len = input.len();
        match self {
            _ if len as u64 >= left => len,
            Self::File(file) if file.stream.is_none() && file.size <= WAITS => 0,
            Self::Bundle(bundle) if bundle.is_empty() && bundle.length <= WAITS => 0,
            Self::Entries(entries) => match entries.file_of_rows() {
                Some(file)
                    if file.stream.is_none() && file.size <= WAITS && len as u64 != file.size =>
                {
                    0
                }
                _ => len,
            },
            Self::File(_) | Self::Part { .. } => wide(self.offset(), len),
            _ => len,
        }
    }
}

/// The length of the whole entries in the first [`ENTRIES`] bytes; of the first one, if it is longer.
fn entries(input: &[u8]) -> usize {
    let is_end = |&byte: &u8| byte == b'\n';
    let few = &input[..input.len().min(ENTRIES)];
    let end = few.iter().rposition(is_end).or_else(|| input.iter().position(is_end));
    end.map_or(input.len(), |at| at + 1)
}

/// The number of bytes, of `len` at `offset`, up to the last multiple of [`WIDE`].
fn wide(offset: u64, len: usize) -> usize {
    let beyond = (offset + len as u64) % WIDE;
    len.saturating_sub(usize::try_from(beyond).unwrap_or(0))
}

impl Connection {
    /// The next bytes of a body.
    pub(super) fn body(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        let result = match &mut self.sink {
            Sink::Nothing | Sink::Held { .. } => return,
            // Wholly in the buffer: verified before anything is written, and done.
            Sink::File(file)
                if file.stream.is_none() && file.size == bytes.len() as u64 && !file.grows() =>
            {
                if let Sink::File(file) = std::mem::replace(&mut self.sink, Sink::Nothing) {
                    self.whole_file(file, bytes, turn);
                }
                return;
            }
            Sink::Bundle(bundle) if bundle.is_empty() && bundle.length == bytes.len() as u64 => {
                if let Sink::Bundle(bundle) = std::mem::replace(&mut self.sink, Sink::Nothing) {
                    self.begin_bundle(*bundle, bytes, turn);
                }
                return;
            }
            Sink::File(file) => file.append(bytes, turn),
            Sink::Part { writer, .. } => writer.write(bytes),
            Sink::Ordered(body) => body.append(bytes, turn),
            Sink::Check(check) => check.append(bytes, turn),
            Sink::Bundle(bundle) => {
                bundle.append(bytes);
                Ok(())
            }
            Sink::Fetch(wants) => {
                wants.append(bytes);
                Ok(())
            }
            Sink::Login(form) => {
                form.extend_from_slice(bytes);
                Ok(())
            }
            Sink::Entries(_) => {
                if let Sink::Entries(entries) = std::mem::replace(&mut self.sink, Sink::Nothing) {
                    self.entries_go_on(entries, bytes, turn);
                }
                return;
            }
        };
        if let Err(refusal) = result {
            match std::mem::replace(&mut self.sink, Sink::Nothing) {
                Sink::File(file) => {
                    self.complete(Done { reply_to: file.reply_to(), result: Err(refusal) })
                }
                Sink::Part { id, .. } => self.refuse(id, refusal),
                Sink::Ordered(body) => {
                    let id = body.id;
                    body.end_refused();
                    self.refuse(id, refusal);
                }
                Sink::Check(check) => self.refuse(check.id, refusal),
                Sink::Bundle(bundle) => self.refuse_all(bundle.ids(), refusal),
                Sink::Fetch(wants) => self.refuse(wants.id, refusal),
                Sink::Nothing | Sink::Held { .. } | Sink::Entries(_) | Sink::Login(_) => {}
            }
        }
    }

    /// The body is complete.
    pub(super) fn body_end(&mut self, turn: &mut Turn<'_>) {
        match std::mem::replace(&mut self.sink, Sink::Nothing) {
            Sink::Nothing => {}
            Sink::Held { id } => self.done(id),
            Sink::File(mut file) => {
                let Some(stream) = file.stream.take() else {
                    return self.whole_file(file, &[], turn);
                };
                let staged = file.staged(*stream);
                self.file_staged(file, staged, turn);
            }
            Sink::Part { id, writer } => match writer.finish() {
                Ok(flush) => {
                    if let Some(flush) = flush {
                        turn.services.start_own(Change::Flush(Box::new(flush)));
                    }
                    self.done(id);
                }
                Err(refusal) => self.refuse(id, refusal),
            },
            Sink::Ordered(body) => self.ordered_complete(*body, turn),
            Sink::Check(check) => self.check_complete(check, turn),
            Sink::Bundle(bundle) => self.bundle_complete(*bundle, turn),
            Sink::Fetch(wants) => self.job = self.begin_fetch(&wants).map(Job::Fetch),
            Sink::Entries(entries) => self.entries_end(&entries),
            Sink::Login(form) => self.login_has_come(&form, turn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Believe;

    #[test]
    fn comparison_takes_few_entries_or_a_long_one_between_two_looks_at_the_clock() {
        let check = Sink::Check(Box::new(Check::new(RequestId::FIRST, false, Believe::Kept)));
        let (long, many) = ("x".repeat(ENTRIES), "0123456789\n".repeat(200));
        let last = ENTRIES / 11 * 11;
        for (input, taken) in [
            ("one\ntwo\nthr", 8),
            ("\n\n", 2),
            ("unfinished", 10),
            ("", 0),
            (&many, last),
            (&format!("{long}\nb\n"), ENTRIES + 1),
            (&format!("b\n{long}\n"), 2),
            (&long, ENTRIES),
        ] {
            assert_eq!(check.at_once(input.as_bytes()), taken, "{input}");
            assert_eq!(Sink::Nothing.at_once(input.as_bytes()), input.len(), "{input}");
        }
    }

    #[test]
    fn pieces_end_where_the_next_ones_are_hashed_side_by_side() {
        for (offset, len, taken) in [
            (0, 0, 0),
            (0, 16_383, 0),
            (0, 16_384, 16_384),
            (0, 262_144 - 177, 245_760),
            (245_760, 262_144, 262_144),
            // Nothing more had come, so it was cut elsewhere; from there on it is right again.
            (100_000, 262_144, 260_448),
            (100_000, 14_000, 0),
            (u64::from(u32::MAX), 16_385, 16_385),
        ] {
            assert_eq!(wide(offset, len), taken, "{len} bytes at {offset}");
        }
    }
}
