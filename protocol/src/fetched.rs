//! The bodies of `fetch` and of its answer: names, and small files one after the other, each behind a line of its own.

use alloc::string::ToString;
use alloc::vec::Vec;

use memchr::memchr;

use crate::code::{Code, Refusal};
use crate::encode::{check, check_attributes};
use crate::error::{BundleError, DecodeError, EncodeError, WantedError};
use crate::field::{Text, parse};
use crate::header::FetchedLine;
use crate::limits::{MAX_BUNDLE_LEN, MAX_BUNDLED, MAX_FETCHED_SIZE, MAX_HEADER_LEN};
use crate::message::Attributes;
use crate::name::Name;

/// One file in the answer to `fetch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched<'a> {
    /// Mode and mtime.
    pub attributes: Attributes,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Appends a name to the body of `fetch`.
///
/// ```
/// use haul_protocol::{Name, decode_wanted, encode_wanted};
/// let mut body = Vec::new();
/// encode_wanted(&Name::parse(b"a.txt")?, &mut body);
/// encode_wanted(&Name::parse(b"b/c")?, &mut body);
/// assert_eq!(body, b"a.txt\0b/c\0");
/// assert_eq!(decode_wanted(&body)?.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encode_wanted(name: &Name, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.push(0);
}

/// Reads the whole body of `fetch`.
///
/// # Errors
/// If the body is not 1 to [`MAX_BUNDLED`] names, each with a NUL behind it, or longer than [`MAX_BUNDLE_LEN`].
pub fn decode_wanted(body: &[u8]) -> Result<Vec<Name>, WantedError> {
    if body.len() as u64 > MAX_BUNDLE_LEN {
        return Err(WantedError::Long(body.len() as u64));
    }
    let names = body.strip_suffix(b"\0").ok_or(WantedError::End)?.split(|&byte| byte == 0);
    let mut found = Vec::new();
    for name in names {
        if found.len() as u64 == MAX_BUNDLED {
            return Err(WantedError::Many);
        }
        found.push(Name::parse(name)?);
    }
    Ok(found)
}

/// Appends the line that precedes a file of `size` bytes in the answer to `fetch`. The bytes follow.
///
/// # Errors
/// If a number is out of range; `out` is then as before.
pub fn encode_fetched(
    size: u64,
    attributes: &Attributes,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let Attributes { mode, mtime } = *attributes;
    check("filesize", size, MAX_FETCHED_SIZE)?;
    check_attributes(mode, mtime)?;
    FetchedLine { filesize: Some(size), mode, mtime, ..FetchedLine::default() }.append(out);
    Ok(())
}

/// Appends the line that stands for a file that does not come, with the reason.
pub fn encode_unfetched(refusal: &Refusal, out: &mut Vec<u8>) {
    let line = FetchedLine {
        code: Some(Text::from(refusal.code.as_str())),
        message: Some(Text::from(refusal.message.as_str())),
        retry: Some(refusal.retry),
        ..FetchedLine::default()
    };
    line.append(out);
}

/// Reads the whole body of the answer to a `fetch` of `wanted` names: for each name in their order a file or the reason why
/// it does not come, until the body ends. Nothing is copied but reasons.
///
/// # Errors
/// If the body is not lines and files, has no line, or more than names; or if a file or the body is too long. Whether fewer
/// lines than names are sound is told by [`more`](crate::Reply::Fetched).
pub fn decode_fetched(
    body: &[u8],
    wanted: usize,
) -> Result<Vec<Result<Fetched<'_>, Refusal>>, BundleError> {
    if body.len() as u64 > MAX_BUNDLE_LEN {
        return Err(BundleError::Long(body.len() as u64));
    }
    let (mut rest, mut files) = (body, Vec::new());
    while !rest.is_empty() {
        if files.len() == wanted {
            return Err(BundleError::Rest(rest.len()));
        }
        let end = memchr(b'\n', &rest[..rest.len().min(MAX_HEADER_LEN)]);
        let end = end.ok_or(BundleError::Line)?;
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        let line: FetchedLine<'_> = parse(line)?;
        let missing = |field| DecodeError::Missing { command: "fetch".to_string(), field };
        let (file, after) = match line.code {
            Some(code) => {
                let message = line.message.ok_or_else(|| missing("message"))?.0.into_owned();
                let retry = line.retry.ok_or_else(|| missing("retry"))?;
                (Err(Refusal { code: Code::parse(&code.0), message, retry }), after)
            }
            None => {
                let size = line.filesize.ok_or_else(|| missing("filesize"))?;
                if size > MAX_FETCHED_SIZE {
                    return Err(BundleError::Size(size));
                }
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                let (bytes, after) = after.split_at_checked(size).ok_or(BundleError::Cut)?;
                let attributes = Attributes { mode: line.mode, mtime: line.mtime };
                (Ok(Fetched { attributes, bytes }), after)
            }
        };
        files.push(file);
        rest = after;
    }
    if files.is_empty() {
        return Err(BundleError::Count(0));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn names_are_1_to_256_and_each_ends_with_nul() {
        assert_eq!(decode_wanted(b""), Err(WantedError::End));
        assert_eq!(decode_wanted(b"a"), Err(WantedError::End));
        assert!(matches!(decode_wanted(b"\0"), Err(WantedError::Name(_))));
        assert!(matches!(decode_wanted(b"a\0\0"), Err(WantedError::Name(_))));
        assert!(matches!(decode_wanted(b"a\0../b\0"), Err(WantedError::Name(_))));
        assert_eq!(decode_wanted(&b"a\0".repeat(256)).map(|names| names.len()), Ok(256));
        assert_eq!(decode_wanted(&b"a\0".repeat(257)), Err(WantedError::Many));
        assert_eq!(decode_wanted(&vec![0; 262_145]), Err(WantedError::Long(262_145)));
    }

    #[test]
    fn files_and_reasons_come_in_the_order_of_names() {
        let mut body = Vec::new();
        let attributes = Attributes { mode: Some(0o600), mtime: None };
        encode_fetched(2, &attributes, &mut body).unwrap();
        body.extend_from_slice(b"ab");
        let refusal = Refusal::new(Code::NotFound, "no");
        encode_unfetched(&refusal, &mut body);
        encode_fetched(0, &Attributes::default(), &mut body).unwrap();
        let empty = Fetched { attributes: Attributes::default(), bytes: b"" };
        let expected = vec![Ok(Fetched { attributes, bytes: b"ab" }), Err(refusal), Ok(empty)];
        assert_eq!(decode_fetched(&body, 3), Ok(expected.clone()));
        assert_eq!(decode_fetched(&body, 4), Ok(expected));
        assert!(matches!(decode_fetched(&body, 2), Err(BundleError::Rest(_))));
        assert_eq!(decode_fetched(b"{\"filesize\":3}\nab", 1), Err(BundleError::Cut));
        assert_eq!(decode_fetched(b"{\"filesize\":3}", 1), Err(BundleError::Line));
        assert!(decode_fetched(b"{}\n", 1).is_err());
        assert!(decode_fetched(b"{\"code\":\"io\",\"retry\":true}\n", 1).is_err());
        assert_eq!(decode_fetched(b"", 1), Err(BundleError::Count(0)));
        assert!(encode_fetched(128 * 1024 + 1, &Attributes::default(), &mut Vec::new()).is_err());
    }

    #[test]
    fn file_or_body_that_is_too_long_is_refused() {
        let file = |len: usize| {
            let line = alloc::format!("{{\"filesize\":{len}}}\n").into_bytes();
            [line, vec![b'x'; len]].concat()
        };
        assert!(decode_fetched(&file(131_072), 1).is_ok());
        assert_eq!(decode_fetched(&file(131_073), 1).err(), Some(BundleError::Size(131_073)));
        let two = |last| [file(131_060), file(last)].concat();
        let last = 262_144 + 131_000 - two(131_000).len();
        assert_eq!(two(last).len(), 262_144);
        assert!(decode_fetched(&two(last), 2).is_ok());
        assert_eq!(decode_fetched(&two(last + 1), 2).err(), Some(BundleError::Long(262_145)));
    }
}
