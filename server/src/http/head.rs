//! The head of one request: its first line and the fields that mean something here.

use zeroize::Zeroize;

use super::credentials::{Cookies, Credentials};
use super::forwarded::Values;
use super::lines::MAX_LINES;
use super::method::Method;
use super::status::{Status, Wrong};

/// A field that means something here. All others have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Host,
    Origin,
    Range,
    IfRange,
    IfMatch,
    IfNoneMatch,
    IfModifiedSince,
    IfUnmodifiedSince,
    ContentDigest,
    ReprDigest,
    WantReprDigest,
    ContentEncoding,
    ContentRange,
    Destination,
    Overwrite,
    Depth,
    If,
    LockToken,
    Timeout,
    ContentLength,
    TransferEncoding,
    Connection,
    Expect,
    Authorization,
    Accept,
    AcceptEncoding,
    RequestMethod,
    Cookie,
    TusResumable,
    UploadLength,
    UploadDeferLength,
    UploadMetadata,
    UploadOffset,
    UploadChecksum,
    UploadConcat,
    UploadComplete,
    UploadDraftInteropVersion,
    MethodOverride,
    OcMtime,
    ContentType,
    Forwarded,
    ForwardedFor,
    ForwardedProto,
    ForwardedHost,
}

const FIELDS: [(&str, Field); 44] = [
    ("host", Field::Host),
    ("origin", Field::Origin),
    ("range", Field::Range),
    ("if-range", Field::IfRange),
    ("if-match", Field::IfMatch),
    ("if-none-match", Field::IfNoneMatch),
    ("if-modified-since", Field::IfModifiedSince),
    ("if-unmodified-since", Field::IfUnmodifiedSince),
    ("content-digest", Field::ContentDigest),
    ("repr-digest", Field::ReprDigest),
    ("want-repr-digest", Field::WantReprDigest),
    ("content-encoding", Field::ContentEncoding),
    ("content-range", Field::ContentRange),
    ("destination", Field::Destination),
    ("overwrite", Field::Overwrite),
    ("depth", Field::Depth),
    ("if", Field::If),
    ("lock-token", Field::LockToken),
    ("timeout", Field::Timeout),
    ("content-length", Field::ContentLength),
    ("transfer-encoding", Field::TransferEncoding),
    ("connection", Field::Connection),
    ("expect", Field::Expect),
    ("authorization", Field::Authorization),
    ("tus-resumable", Field::TusResumable),
    ("upload-length", Field::UploadLength),
    ("upload-defer-length", Field::UploadDeferLength),
    ("upload-metadata", Field::UploadMetadata),
    ("upload-offset", Field::UploadOffset),
    ("upload-checksum", Field::UploadChecksum),
    ("upload-concat", Field::UploadConcat),
    ("upload-complete", Field::UploadComplete),
    ("upload-draft-interop-version", Field::UploadDraftInteropVersion),
    ("x-http-method-override", Field::MethodOverride),
    ("accept", Field::Accept),
    ("accept-encoding", Field::AcceptEncoding),
    ("access-control-request-method", Field::RequestMethod),
    ("cookie", Field::Cookie),
    ("x-oc-mtime", Field::OcMtime),
    ("content-type", Field::ContentType),
    ("forwarded", Field::Forwarded),
    ("x-forwarded-for", Field::ForwardedFor),
    ("x-forwarded-proto", Field::ForwardedProto),
    ("x-forwarded-host", Field::ForwardedHost),
];

impl Field {
    /// Whether it may come several times, and is one list then.
    fn is_list(self) -> bool {
        matches!(
            self,
            Self::IfMatch
                | Self::IfNoneMatch
                | Self::ContentDigest
                | Self::ReprDigest
                | Self::WantReprDigest
                | Self::Connection
                | Self::Accept
                | Self::AcceptEncoding
        ) || self.is_forwarded()
    }

    /// Whether a proxy tells by it for whom it asks. From anybody else it means nothing, so it may be anything.
    fn is_forwarded(self) -> bool {
        matches!(
            self,
            Self::Forwarded | Self::ForwardedFor | Self::ForwardedProto | Self::ForwardedHost
        )
    }

    /// Whether a value that can't be read is as good as none: other servers of the same host have set it.
    fn may_be_odd(self) -> bool {
        matches!(self, Self::Accept | Self::AcceptEncoding | Self::WantReprDigest | Self::Cookie)
    }
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes.
    Length(u64),
    Chunked,
}

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: Method,
    /// As it came: printable ASCII.
    pub(crate) target: String,
    pub(crate) framing: Framing,
    /// The client speaks HTTP/1.0.
    pub(crate) is_old: bool,
    /// The client wants to ask for more over this connection.
    pub(crate) keeps: bool,
    /// The client waits for a word before it sends the body.
    pub(crate) expects: bool,
    pub(crate) credentials: Credentials,
    /// The cookies, if a proxy may tell of another `Host` for which they are.
    cookies: Option<Cookies>,
    fields: Vec<(Field, String)>,
}

impl Head {
    /// The value of a field.
    pub(crate) fn field(&self, field: Field) -> Option<&str> {
        let found = self.fields.iter().find(|(name, _)| *name == field);
        found.map(|(_, value)| &**value)
    }

    /// The fields by which a proxy tells for whom it asks.
    pub(crate) fn forwarded(&self) -> Values<'_> {
        Values {
            addresses: self.field(Field::ForwardedFor),
            scheme: self.field(Field::ForwardedProto),
            host: self.field(Field::ForwardedHost),
            elements: self.field(Field::Forwarded),
        }
    }

    /// The client has asked for this `Host`, as a proxy tells that is believed.
    pub(crate) fn is_for(&mut self, host: String) {
        let has_token = matches!(self.credentials, Credentials::Token { .. });
        if let Some(cookies) = self.cookies.take().filter(|_| !has_token) {
            self.credentials = cookies.credentials(&host);
        }
        match self.fields.iter_mut().find(|(name, _)| *name == Field::Host) {
            Some((_, value)) => *value = host,
            None => self.fields.push((Field::Host, host)),
        }
    }

    /// Whether a person asks with a browser: it takes a page, and says so. `HEAD` has the fields that `GET` would have.
    pub(crate) fn wants_page(&self) -> bool {
        matches!(self.method, Method::Get | Method::Head)
            && self.field(Field::Accept).is_some_and(|types| types.contains("text/html"))
    }

    /// Whether the client takes an answer that is packed by gzip.
    pub(crate) fn takes_gzip(&self) -> bool {
        let codings = self.field(Field::AcceptEncoding).unwrap_or_default();
        codings.split(',').any(|coding| {
            let (name, rest) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = rest.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
            name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
        })
    }

    /// The client asks as one that has no cookie.
    pub(crate) fn forget_cookie(&mut self) {
        self.cookies = None;
        if matches!(self.credentials, Credentials::Session(_)) {
            self.credentials = Credentials::None;
        }
    }

    /// Bytes of memory that it takes, about.
    pub(crate) fn held_bytes(&self) -> usize {
        let values: usize = self.fields.iter().map(|(_, value)| value.len() + 32).sum();
        let cookies = self.cookies.as_ref().map_or(0, Cookies::held_bytes);
        size_of::<Self>() + self.target.len() + values + cookies
    }

    /// Reads a whole head, up to the empty line, whose lines all end with CR LF.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Wrong> {
        let mut room = [httparse::EMPTY_HEADER; MAX_LINES];
        let mut request = httparse::Request::new(&mut room);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Wrong::new(Status::HEAD_TOO_LARGE, "more than 100 header fields"));
            }
            Err(httparse::Error::Version) => {
                return Err(Wrong::bad("only version 1.1 of HTTP is spoken here"));
            }
            Err(httparse::Error::HeaderName) => return Err(Wrong::bad("the name of a field")),
            Err(httparse::Error::HeaderValue) => return Err(Wrong::bad("the value of a field")),
            _ => return Err(Wrong::bad("the first line of the request")),
        }
        let (Some(method), Some(target), Some(minor)) =
            (request.method, request.path, request.version)
        else {
            return Err(Wrong::bad("the first line of the request"));
        };
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Wrong::bad("the address has bytes that have to be encoded"));
        }
        let fields = fields(request.headers)?;
        let mut head = Self {
            method: Method::parse(method),
            target: target.to_owned(),
            framing: Framing::Length(0),
            is_old: minor == 0,
            keeps: minor > 0,
            expects: false,
            credentials: Credentials::None,
            cookies: None,
            fields,
        };
        if let Some(at) = head.fields.iter().position(|(name, _)| *name == Field::Authorization) {
            let (_, value) = head.fields.swap_remove(at);
            head.credentials = Credentials::parse(value);
        }
        if let Some(at) = head.fields.iter().position(|(name, _)| *name == Field::Cookie) {
            let cookies = Cookies::new(head.fields.swap_remove(at).1);
            if head.credentials == Credentials::None {
                let host = head.field(Field::Host).unwrap_or_default();
                head.credentials = cookies.credentials(host);
                let is_forwarded = head.fields.iter().any(|(field, _)| field.is_forwarded());
                head.cookies = is_forwarded.then_some(cookies);
            }
        }
        head.framing = framing(&head)?;
        head.keeps = keeps(&head);
        head.expects = match head.field(Field::Expect) {
            Some(value) if value.eq_ignore_ascii_case("100-continue") => {
                !head.is_old && head.framing != Framing::Length(0)
            }
            Some(_) => {
                return Err(Wrong::new(Status::EXPECTATION, "expects what is not known here"));
            }
            None => false,
        };
        if head.field(Field::Host).is_none() && !head.is_old {
            return Err(Wrong::bad("no Host"));
        }
        Ok(head)
    }
}

/// The fields that mean something.
fn fields(headers: &[httparse::Header<'_>]) -> Result<Vec<(Field, String)>, Wrong> {
    let mut fields = Vec::new();
    let read = read_fields(headers, &mut fields);
    if read.is_err() {
        // An access token may be in one of them.
        fields.iter_mut().for_each(|(_, value)| value.zeroize());
    }
    read.map(|()| fields)
}

fn read_fields(
    headers: &[httparse::Header<'_>],
    fields: &mut Vec<(Field, String)>,
) -> Result<(), Wrong> {
    for header in headers {
        let known = FIELDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(header.name));
        let Some((_, field)) = known else { continue };
        let is_plain = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
        // Odd bytes of a client may stand in front of words that a proxy has added.
        if !header.value.iter().all(is_plain) && !field.is_forwarded() {
            if field.may_be_odd() {
                continue;
            }
            return Err(Wrong::bad("a field has bytes that it can't have"));
        }
        let value = String::from_utf8_lossy(header.value);
        let value = value.trim_matches([' ', '\t']);
        match fields.iter_mut().find(|(name, _)| name == field) {
            Some((_, list)) if field.is_list() => {
                list.push_str(", ");
                list.push_str(value);
            }
            // Each of them would do.
            Some(_) if *field == Field::Cookie => {}
            Some(_) => return Err(Wrong::bad("a field came twice that may come once")),
            None => fields.push((*field, value.to_owned())),
        }
    }
    Ok(())
}

/// RFC 9112, section 6.3, without anything that two readers could take for two things.
fn framing(head: &Head) -> Result<Framing, Wrong> {
    match (head.field(Field::TransferEncoding), head.field(Field::ContentLength)) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(_), Some(_)) => Err(Wrong::bad("both Transfer-Encoding and Content-Length")),
        (Some(_), None) if head.is_old => Err(Wrong::bad("Transfer-Encoding in HTTP/1.0")),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        (Some(_), None) => {
            Err(Wrong::new(Status::NOT_IMPLEMENTED, "a Transfer-Encoding other than chunked"))
        }
        (None, Some(length)) => match length.bytes().all(|byte| byte.is_ascii_digit()) {
            true => length.parse().map(Framing::Length).map_err(|_| Wrong::bad("Content-Length")),
            false => Err(Wrong::bad("Content-Length")),
        },
    }
}

/// Whether the client wants to ask for more.
fn keeps(head: &Head) -> bool {
    let options = head.field(Field::Connection).unwrap_or_default();
    let has = |wanted: &str| {
        options
            .split(',')
            .any(|option| option.trim_matches([' ', '\t']).eq_ignore_ascii_case(wanted))
    };
    if head.is_old { has("keep-alive") && !has("close") } else { !has("close") }
}
