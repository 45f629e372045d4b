//! Bytes between both sides: batches, each with its length and its digest in front; and their entries.

use std::ffi::CStr;
use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;

use rustix::fs::{Stat, Timespec, Timestamps};
use rustix::net::{RecvFlags, recv};

/// As many as haul has on two processors.
pub(crate) const CONNECTIONS: usize = 2;

/// Bytes of the longest batch of entries: they stay in the second-level cache from the first copy to the last.
pub(crate) const BATCH: usize = 256 * 1024;

/// Bytes of a piece of a larger file: a part of haul's. Shorter ones cost more processor time (measured), because threads that
/// write to one file wait for each other.
pub(crate) const PIECE: usize = 1024 * 1024;

/// Bytes in front of each batch: its kind, its length, the place of a piece in its file, the digest.
const HEAD: usize = 48;

/// Bytes of an answer.
pub(crate) const ANSWER: usize = 8;

/// Bytes of a page.
const PAGE: usize = 4096;

/// The bytes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Entries, small files with all of their bytes.
    Entries,
    /// Bytes of a larger file, from this offset on.
    Piece(u64),
}

/// The first bytes of a connection.
#[derive(Debug)]
pub(crate) enum Request {
    /// The client sends.
    Put,
    /// The server sends an entry of its root.
    Get(Vec<u8>),
}

impl Request {
    pub(crate) fn write(&self, stream: &mut TcpStream) -> io::Result<()> {
        let name = if let Self::Get(name) = self { &name[..] } else { &[] };
        stream.write_all(&(name.len() as u64).to_le_bytes())?;
        stream.write_all(name)
    }

    pub(crate) fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let mut len = [0; 8];
        stream.read_exact(&mut len)?;
        let mut name = vec![0; size(u64::from_le_bytes(len))];
        stream.read_exact(&mut name)?;
        Ok(if name.is_empty() { Self::Put } else { Self::Get(name) })
    }
}

/// A buffer for one batch. It begins at the start of a page, as the pieces of a file do: so the kernel copies fastest.
#[derive(Debug)]
pub(crate) struct Pages {
    bytes: Vec<u8>,
    start: usize,
}

impl Pages {
    pub(crate) fn new() -> Self {
        let bytes = vec![0; PIECE + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, start }
    }

    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + PIECE]
    }
}

/// Hashes a batch and sends it.
pub(crate) fn send_batch(stream: &mut TcpStream, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    let mut head = [0; HEAD];
    let (code, offset) = match kind {
        Kind::Entries => (0_u32, 0),
        Kind::Piece(offset) => (1, offset),
    };
    head[..4].copy_from_slice(&code.to_le_bytes());
    head[4..8]
        .copy_from_slice(&u32::try_from(bytes.len()).map_err(io::Error::other)?.to_le_bytes());
    head[8..16].copy_from_slice(&offset.to_le_bytes());
    head[16..].copy_from_slice(blake3::hash(bytes).as_bytes());
    let mut slices = &mut [IoSlice::new(&head), IoSlice::new(bytes)][..];
    while !slices.is_empty() {
        let sent = stream.write_vectored(slices)?;
        IoSlice::advance_slices(&mut slices, sent);
    }
    Ok(())
}

/// Receives a batch and compares its digest; `None` at the end of the stream.
pub(crate) fn receive_batch<'a>(
    stream: &TcpStream,
    pages: &'a mut Pages,
) -> io::Result<Option<(Kind, &'a [u8])>> {
    let mut head = [0; HEAD];
    if !receive(stream, &mut head)? {
        return Ok(None);
    }
    let mut fields = Fields(&head);
    let (code, len, offset) = (fields.u32(), fields.u32(), fields.u64());
    let bytes = &mut pages.room()[..len as usize];
    receive(stream, bytes)?;
    if blake3::hash(bytes).as_bytes() != fields.0 {
        return Err(io::Error::other("the bytes do not match their digest"));
    }
    Ok(Some((if code == 0 { Kind::Entries } else { Kind::Piece(offset) }, bytes)))
}

/// `false` if the stream ends here.
fn receive(stream: &TcpStream, bytes: &mut [u8]) -> io::Result<bool> {
    let mut len = 0;
    while len < bytes.len() {
        match recv(stream, &mut bytes[len..], RecvFlags::WAITALL)?.0 {
            0 if len == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => len += more,
        }
    }
    Ok(true)
}

/// The mode and the mtime of an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

impl From<&Stat> for Attributes {
    fn from(found: &Stat) -> Self {
        let nanoseconds = u32::try_from(found.st_mtime_nsec).unwrap_or(0);
        Self { mode: found.st_mode & 0o777, seconds: found.st_mtime, nanoseconds }
    }
}

impl Attributes {
    pub(crate) fn times(&self) -> Timestamps {
        let time = Timespec { tv_sec: self.seconds, tv_nsec: self.nanoseconds.into() };
        Timestamps { last_access: time, last_modification: time }
    }
}

/// An entry of a batch. Names have their NUL with them, as the kernel wants them.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    /// A directory begins: those that follow are in it. The path begins at the root.
    Directory { id: u32, parent: u32, attributes: Attributes, path: &'a CStr },
    /// A file and all of its bytes; or none of them, if they are pieces of their own.
    File { size: u64, attributes: Attributes, name: &'a CStr },
    /// A symlink.
    Link { attributes: Attributes, name: &'a CStr, target: &'a CStr },
    /// The directory is complete, but for the directories in it.
    End { has_directories: bool },
}

/// Bytes of an entry at most, but for the bytes of a file.
pub(crate) const LONGEST_ENTRY: usize = 2 * PAGE + 64;

impl<'a> Entry<'a> {
    /// Writes it to the start of a buffer; returns its length.
    pub(crate) fn encode(&self, room: &mut [u8]) -> usize {
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            room[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        let attributes = |of: &Attributes| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&of.mode.to_le_bytes());
            bytes[4..12].copy_from_slice(&of.seconds.to_le_bytes());
            bytes[12..].copy_from_slice(&of.nanoseconds.to_le_bytes());
            bytes
        };
        match self {
            Self::Directory { id, parent, attributes: of, path } => {
                put(&[0]);
                put(&attributes(of));
                put(&id.to_le_bytes());
                put(&parent.to_le_bytes());
                put(path.to_bytes_with_nul());
            }
            Self::File { size, attributes: of, name } => {
                put(&[1]);
                put(&attributes(of));
                put(&size.to_le_bytes());
                put(name.to_bytes_with_nul());
            }
            Self::Link { attributes: of, name, target } => {
                put(&[2]);
                put(&attributes(of));
                put(name.to_bytes_with_nul());
                put(target.to_bytes_with_nul());
            }
            Self::End { has_directories } => put(&[3, u8::from(*has_directories)]),
        }
        at
    }

    /// The next one.
    pub(crate) fn decode(fields: &mut Fields<'a>) -> io::Result<Self> {
        let [kind] = fields.take();
        Ok(match kind {
            0 => {
                let attributes = fields.attributes();
                let (id, parent) = (fields.u32(), fields.u32());
                Self::Directory { id, parent, attributes, path: fields.name()? }
            }
            1 => {
                let attributes = fields.attributes();
                Self::File { size: fields.u64(), attributes, name: fields.name()? }
            }
            2 => {
                let attributes = fields.attributes();
                Self::Link { attributes, name: fields.name()?, target: fields.name()? }
            }
            _ => Self::End { has_directories: fields.take() != [0] },
        })
    }
}

/// The bytes of a batch that are not taken yet.
#[derive(Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        bytes
    }

    fn take<const LEN: usize>(&mut self) -> [u8; LEN] {
        let mut taken = [0; LEN];
        taken.copy_from_slice(self.bytes(LEN));
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn attributes(&mut self) -> Attributes {
        let (mode, seconds) = (self.u32(), self.u64().cast_signed());
        Attributes { mode, seconds, nanoseconds: self.u32() }
    }

    fn name(&mut self) -> io::Result<&'a CStr> {
        let name = CStr::from_bytes_until_nul(self.0).map_err(io::Error::other)?;
        self.bytes(name.count_bytes() + 1);
        Ok(name)
    }
}

/// A number of bytes that a file or a peer tells.
pub(crate) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
