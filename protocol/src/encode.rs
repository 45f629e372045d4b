//! Messages into frames: each function appends a prefix and a header; the body, if the message has
//! one, is the caller's to append.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use byteorder::{ByteOrder, LittleEndian};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::account::AccountObject;
use crate::error::EncodeError;
use crate::field::{Forms, Text, forms};
use crate::header::{AnswerHeader, RequestHeader};
use crate::id::RequestId;
use crate::limits::{
    MAX_BODY_LEN, MAX_BUNDLED, MAX_HEADER_LEN, MAX_MODE, MAX_NUMBER, MAX_TEXT_LEN,
    NANOS_PER_SECOND, PREFIX_LEN,
};
use crate::message::{Answer, Attributes, Hello, Mtime, PartFacts, Reply};
use crate::name::Name;
use crate::op::Op;

/// Appends the first frame of a connection in the haul dialect.
///
/// # Errors
/// If the header is too long or a number out of range; `out` is then as before.
pub fn hello(hello: &Hello, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    check("version", hello.version, MAX_NUMBER)?;
    check("slot", hello.slot, MAX_NUMBER)?;
    check_text("agent", &hello.agent)?;
    check_text("client", &hello.client)?;
    check_text("identity", hello.identity.as_deref().unwrap_or("none"))?;
    let (filename, filename_b64) = match &hello.publish {
        Some(publish) => forms(publish.name.as_bytes()),
        None => (None, None),
    };
    let header = RequestHeader {
        cmd: Some(Text::from("hello")),
        version: Some(hello.version),
        agent: Some(Text::from(hello.agent.as_str())),
        client: Some(Text::from(hello.client.as_str())),
        slot: Some(hello.slot),
        identity: hello.identity.as_deref().map(Text::from),
        filename,
        filename_b64,
        upload: hello.publish.as_ref().and_then(|publish| publish.tree),
        must: Some(hello.must.iter().map(|entry| Text::from(entry.as_str())).collect()),
        token: hello.token.clone(),
        ..RequestHeader::default()
    };
    // The token is in it.
    let mut json = Zeroizing::new(Vec::with_capacity(room(hello)));
    let room = json.capacity();
    append_json(&header, &mut json);
    debug_assert_eq!(json.capacity(), room, "a copy of the token is left");
    let prefix = prefix(json.len())?;
    out.reserve(prefix.len() + json.len() + BEHIND);
    out.extend_from_slice(&prefix);
    out.extend_from_slice(&json);
    Ok(())
}

/// Bytes that a client may append to `hello` in the same memory.
const BEHIND: usize = 16;

/// Bytes for the header of `hello` at most: where it does not fit, its copy stays behind. JSON has six for a byte of a text.
fn room(hello: &Hello) -> usize {
    const FIXED: usize = 1024;
    let name = hello.publish.as_ref().map_or(0, |publish| publish.name.as_bytes().len());
    let must: usize = hello.must.iter().map(|entry| entry.len() + 1).sum();
    let identity = hello.identity.as_ref().map_or(0, String::len);
    FIXED + 6 * (hello.agent.len() + hello.client.len() + identity + name + must)
}

/// Appends the header of a request; its body of `length` bytes follows.
///
/// For `put`, `length` must be the file's size.
///
/// # Errors
/// If a number is out of range; `out` is then as before.
///
/// ```
/// use haul_protocol::{Op, RequestId, encode};
/// let mut out = Vec::new();
/// encode::request(RequestId::new(7), 0, &Op::Ping, &mut out)?;
/// assert_eq!(out[4..], *br#"{"cmd":"ping","id":7}"#);
/// # Ok::<(), haul_protocol::EncodeError>(())
/// ```
pub fn request(id: RequestId, length: u64, op: &Op, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    check("id", id.get(), MAX_NUMBER)?;
    check("length", length, MAX_BODY_LEN)?;
    let mut header = RequestHeader {
        id: Some(id.get()),
        length: (length > 0).then_some(length),
        ..RequestHeader::default()
    };
    match op {
        Op::Put { name, size, digest, attributes } => {
            named(&mut header, name);
            with(&mut header, attributes);
            header.filesize = Some(*size);
            header.blake3 = Some(*digest);
        }
        Op::Bundle { count, digest } => {
            if !(1..=MAX_BUNDLED).contains(count) {
                return Err(EncodeError::OutOfRange { field: "count", value: *count });
            }
            (header.count, header.blake3) = (Some(*count), Some(*digest));
        }
        Op::Open(wanted) => {
            named(&mut header, &wanted.name);
            with(&mut header, &wanted.attributes);
            header.filesize = Some(wanted.size);
            check_text("fingerprint", &wanted.fingerprint)?;
            header.fingerprint = Some(Text::from(wanted.fingerprint.as_str()));
            header.replace = wanted.replace.then_some(true);
        }
        Op::Part { upload, offset, cv } => {
            header.upload = Some(*upload);
            header.offset = Some(*offset);
            header.cv = Some(*cv);
        }
        Op::Commit { upload, digest } => {
            header.upload = Some(*upload);
            header.blake3 = Some(*digest);
        }
        Op::Abort { upload } => {
            header.upload = Some(*upload);
        }
        Op::Mkdir { name, mode, replace } => {
            named(&mut header, name);
            header.mode = *mode;
            header.replace = replace.then_some(true);
        }
        Op::Symlink { name, target, mtime } => {
            named(&mut header, name);
            (header.target, header.target_b64) = forms(target.as_bytes());
            header.mtime = *mtime;
        }
        Op::Setattr { name, is_file, attributes } => {
            header.kind = is_file.then(|| Text::from("file"));
            named(&mut header, name);
            with(&mut header, attributes);
        }
        Op::Remove { name } => {
            named(&mut header, name);
        }
        Op::Rename { name, to, replace } => {
            named(&mut header, name);
            (header.to, header.to_b64) = forms(to.as_bytes());
            header.replace = replace.then_some(true);
        }
        Op::Publish { attributes, files } => {
            with(&mut header, attributes);
            header.files = *files;
        }
        Op::Rollback { name, again, token, repeated } => {
            (header.again, header.upload) = (again.then_some(true), *token);
            header.repeated = repeated.then_some(true);
            named(&mut header, name);
        }
        Op::List { name, after } => {
            if let Some(name) = name {
                named(&mut header, name);
            }
            if let Some(after) = after {
                (header.after, header.after_b64) = forms(after.as_bytes());
            }
        }
        Op::Get { name, offset, part_size, state, whole } => {
            named(&mut header, name);
            (header.offset, header.part_size) = (Some(*offset), Some(*part_size));
            (header.state, header.whole) = (*state, whole.then_some(true));
        }
        Op::Check { reread } => header.reread = reread.then_some(true),
        Op::Adopt | Op::Fetch | Op::Ping => {}
    }
    let numbers = [
        ("filesize", header.filesize),
        ("offset", header.offset),
        ("part_size", header.part_size),
        ("files", header.files),
    ];
    for (field, value) in numbers {
        check(field, value.unwrap_or(0), MAX_NUMBER)?;
    }
    check_attributes(header.mode, header.mtime)?;
    header.cmd = Some(Text::from(op.command()));
    frame(&header, out)
}

/// Appends the header of a classic `put`; `filesize` bytes follow. The classic dialect has only
/// UTF-8 names.
///
/// # Errors
/// If the header is too long; `out` is then as before.
pub fn classic_put(filename: &str, filesize: u64, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    check("filesize", filesize, MAX_NUMBER)?;
    frame(
        &RequestHeader {
            cmd: Some(Text::from("put")),
            filename: Some(Text::from(filename)),
            filesize: Some(filesize),
            ..RequestHeader::default()
        },
        out,
    )
}

/// Appends an answer; a body of its `length` bytes follows.
///
/// # Errors
/// If the header is too long or a number out of range; `out` is then as before.
pub fn answer(answer: &Answer, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut header = AnswerHeader::default();
    match answer {
        Answer::Hello(hello) => {
            check("hello", hello.version, MAX_NUMBER)?;
            check("limits", hello.limits.largest(), MAX_NUMBER)?;
            check_text("agent", &hello.agent)?;
            check_text("durability", hello.durability.as_str())?;
            header.hello = Some(hello.version);
            header.agent = Some(Text::from(hello.agent.as_str()));
            header.limits = Some(hello.limits);
            header.durability = Some(Text::from(hello.durability.as_str()));
            if let Some(tree) = hello.tree {
                (header.upload, header.resumed) = (Some(tree.token), Some(tree.resumed));
            }
            header.features =
                Some(hello.features.iter().map(|name| Text::from(name.as_str())).collect());
            header.account = hello.account.as_ref().map(AccountObject::of).transpose()?;
            header.next_pin = hello.next_pin;
        }
        Answer::Ack(id) => {
            check("ack", id.get(), MAX_NUMBER)?;
            header.ack = Some(id.get());
        }
        Answer::Refused { id, refusal } => {
            check("refused", id.get(), MAX_NUMBER)?;
            header.refused = Some(id.get());
            header.code = Some(Text::from(refusal.code.as_str()));
            header.message = Some(Text(shorten(&refusal.message)));
            header.retry = Some(refusal.retry);
        }
        Answer::Answered { id, length, reply } => {
            check("answer", id.get(), MAX_NUMBER)?;
            check("length", *length, MAX_BODY_LEN)?;
            header.answer = Some(id.get());
            header.length = (*length > 0).then_some(*length);
            match reply {
                Reply::Done => {}
                Reply::Opened { upload, part_size } => {
                    check("part_size", *part_size, MAX_NUMBER)?;
                    header.upload = Some(*upload);
                    header.part_size = Some(*part_size);
                }
                Reply::Listed { more, left_out } => {
                    check("left_out", *left_out, MAX_NUMBER)?;
                    header.more = Some(*more);
                    header.left_out = Some(*left_out).filter(|count| *count > 0);
                }
                Reply::Part(facts) => part(&mut header, facts)?,
                Reply::Fetched { more, digest } => {
                    (header.more, header.blake3) = (Some(*more), Some(*digest));
                }
                Reply::Version { published, files } => {
                    check_attributes(None, Some(*published))?;
                    check("files", files.unwrap_or(0), MAX_NUMBER)?;
                    (header.published, header.files) = (Some(*published), *files);
                }
            }
        }
    }
    frame(&header, out)
}

fn part(header: &mut AnswerHeader<'_>, facts: &PartFacts) -> Result<(), EncodeError> {
    let PartFacts { size, attributes: Attributes { mode, mtime }, state, cv, digest } = *facts;
    check("filesize", size, MAX_NUMBER)?;
    check_attributes(mode, mtime)?;
    (header.filesize, header.mode, header.mtime) = (Some(size), mode, mtime);
    (header.state, header.cv, header.blake3) = (Some(state), cv, digest);
    Ok(())
}

fn named<'a>(header: &mut RequestHeader<'a>, name: &'a Name) {
    let (text, base64): Forms<'a> = forms(name.as_bytes());
    (header.filename, header.filename_b64) = (text, base64);
}

fn with(header: &mut RequestHeader<'_>, attributes: &Attributes) {
    header.mode = attributes.mode;
    header.mtime = attributes.mtime;
}

/// A message quotes names, which may be long and escape sixfold; it must never make its own frame
/// too long.
fn shorten(message: &str) -> Cow<'_, str> {
    const ENOUGH: usize = MAX_HEADER_LEN / 8;
    if message.len() <= ENOUGH {
        return Cow::Borrowed(message);
    }
    let end = (0..=ENOUGH).rev().find(|&end| message.is_char_boundary(end)).unwrap_or(0);
    Cow::Borrowed(&message[..end])
}

/// The ranges of a mode and an mtime.
pub(crate) fn check_attributes(mode: Option<u32>, mtime: Option<Mtime>) -> Result<(), EncodeError> {
    check("mode", mode.unwrap_or(0).into(), MAX_MODE.into())?;
    if let Some(mtime) = mtime {
        check("mtime", mtime.s.unsigned_abs(), MAX_NUMBER)?;
        check("mtime", mtime.ns.into(), u64::from(NANOS_PER_SECOND) - 1)?;
    }
    Ok(())
}

pub(crate) fn check(field: &'static str, value: u64, max: u64) -> Result<(), EncodeError> {
    if value > max {
        return Err(EncodeError::OutOfRange { field, value });
    }
    Ok(())
}

/// Reports a text of the wrong length by that length.
pub(crate) fn check_text(field: &'static str, text: &str) -> Result<(), EncodeError> {
    match text.len() {
        1..=MAX_TEXT_LEN => Ok(()),
        len => Err(EncodeError::OutOfRange { field, value: len as u64 }),
    }
}

fn frame(header: &impl Serialize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let before = out.len();
    out.extend_from_slice(&[0; PREFIX_LEN]);
    append_json(header, out);
    let len = out.len() - before - PREFIX_LEN;
    match prefix(len) {
        Ok(prefix) => {
            out[before..before + PREFIX_LEN].copy_from_slice(&prefix);
            Ok(())
        }
        Err(error) => {
            out.truncate(before);
            Err(error)
        }
    }
}

/// Appends a header or a line as JSON. All of them are strings, numbers and structs, for which it can't fail; nothing at all
/// would be refused as too short.
pub(crate) fn append_json(value: &impl Serialize, out: &mut Vec<u8>) {
    #[cfg(feature = "std")]
    let written = serde_json::to_writer(out, value);
    // serde_json writes into a `Vec` that is there already only with std.
    #[cfg(not(feature = "std"))]
    let written = serde_json::to_vec(value).map(|json| out.extend_from_slice(&json));
    debug_assert!(written.is_ok(), "not JSON: {written:?}");
}

/// The prefix of a header of so many bytes.
fn prefix(len: usize) -> Result<[u8; PREFIX_LEN], EncodeError> {
    let value = match i32::try_from(len) {
        Ok(value @ 1..) if len <= MAX_HEADER_LEN => value,
        _ => return Err(EncodeError::HeaderTooLong(len)),
    };
    let mut bytes = [0; PREFIX_LEN];
    LittleEndian::write_i32(&mut bytes, value);
    Ok(bytes)
}
