//! Headers into messages, for either side of a connection.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::account::AccountObject;
use crate::code::{Code, Refusal};
use crate::error::{DecodeError, NameError};
use crate::field::{Text, link, name, parse};
use crate::header::{AnswerHeader, CommandHeader, RequestHeader, VersionHeader};
use crate::id::RequestId;
use crate::limits::{CHUNK_LEN, MAX_BODY_LEN, VERSION};
use crate::message::{
    Answer, Attributes, Classic, Durability, FirstOrLater, Hello, PartFacts, Publish, Reply,
    Request, ServerHello, Tree,
};
use crate::name::Name;
use crate::op::{Op, Wanted};

/// The reading of headers on one side: [`Requests`] or [`Answers`].
pub trait Headers {
    /// The value that a header becomes.
    type Header;

    /// Reads the JSON of one header and says how long the body behind it is.
    ///
    /// # Errors
    /// If the header is malformed.
    fn read(&mut self, header: &[u8]) -> Result<(Self::Header, u64), DecodeError>;
}

/// A server's side: reads the headers of requests. The first frame decides the dialect.
#[derive(Debug, Default)]
pub struct Requests {
    dialect: Option<Dialect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Haul,
    Classic,
}

impl Requests {
    /// Whether the first frame was a `hello`, sound or not: such a peer reads answers.
    #[must_use]
    pub fn is_haul(&self) -> bool {
        self.dialect == Some(Dialect::Haul)
    }

    /// Whether the first frame has come, which decides the dialect.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.dialect.is_some()
    }
}

impl Headers for Requests {
    type Header = FirstOrLater;

    fn read(&mut self, header: &[u8]) -> Result<(FirstOrLater, u64), DecodeError> {
        if self.dialect.is_none() && is_hello(header) {
            self.dialect = Some(Dialect::Haul);
            return first(header).map_err(|error| other_version(header).unwrap_or(error));
        }
        let header: RequestHeader<'_> = parse(header)?;
        let command = need("header", "cmd", header.cmd.as_ref())?.0.to_string();
        match self.dialect {
            Some(Dialect::Haul) => {
                let length = body_len(header.length)?;
                let id = need(&command, "id", header.id)?;
                let op = op(&command, header, length)?;
                Ok((FirstOrLater::Request(Request { id: RequestId::new(id), length, op }), length))
            }
            None | Some(Dialect::Classic) => {
                self.dialect = Some(Dialect::Classic);
                let (classic, len) = classic(command, header)?;
                Ok((FirstOrLater::Classic(classic), len))
            }
        }
    }
}

fn is_hello(header: &[u8]) -> bool {
    let read: Result<CommandHeader<'_>, _> = parse(header);
    read.is_ok_and(|header| header.cmd.is_some_and(|cmd| cmd.0 == "hello"))
}

/// Reads a `hello`. Its client reads answers, so it can be told about anything that is wrong with the rest.
fn first(header: &[u8]) -> Result<(FirstOrLater, u64), DecodeError> {
    let header: RequestHeader<'_> = parse(header)?;
    let len = body_len(header.length)?;
    Ok((FirstOrLater::Hello(hello(header)?), len))
}

/// Another version explains whatever else is wrong: a later version may have other fields.
fn other_version(header: &[u8]) -> Option<DecodeError> {
    let read: VersionHeader = parse(header).ok()?;
    read.version.filter(|version| *version != VERSION).map(DecodeError::Version)
}

fn hello(mut header: RequestHeader<'_>) -> Result<Hello, DecodeError> {
    let named = name("filename", &(header.filename.take(), header.filename_b64.take()))
        .map_err(|error| DecodeError::Json(error.to_string()))?;
    Ok(Hello {
        publish: named.map(|name| Publish { name, tree: header.upload }),
        version: need("hello", "version", header.version)?,
        agent: need("hello", "agent", header.agent)?.0.into_owned(),
        client: need("hello", "client", header.client)?.0.into_owned(),
        slot: need("hello", "slot", header.slot)?,
        identity: header.identity.map(|identity| identity.0.into_owned()),
        must: texts(header.must),
        token: header.token,
    })
}

fn classic(command: String, header: RequestHeader<'_>) -> Result<(Classic, u64), DecodeError> {
    if command != "put" {
        return Ok((Classic::Unknown(command), 0));
    }
    let filename = need("put", "filename", header.filename)?;
    let size = need("put", "filesize", header.filesize)?;
    Ok((Classic::Put { name: Name::parse(filename.0.as_bytes()), size }, size))
}

/// Reads a request whose frame is sound. The outer error ends the connection, the inner one refuses
/// the request, whose body can be skipped.
fn op(
    command: &str,
    mut header: RequestHeader<'_>,
    length: u64,
) -> Result<Result<Op, Refusal>, DecodeError> {
    if command == "bundle" {
        let count = need(command, "count", header.count)?;
        return Ok(Ok(Op::Bundle { count, digest: need(command, "blake3", header.blake3)? }));
    }
    let attributes = Attributes { mode: header.mode, mtime: header.mtime };
    let named = name("filename", &(header.filename.take(), header.filename_b64.take()));
    let named = match named {
        Ok(name) => name,
        Err(error) => return Ok(Err(bad_name(&error))),
    };
    let wrong = |message: &str| Ok(Err(Refusal::new(Code::BadRequest, message)));
    let op = match command {
        "put" => {
            let size = need(command, "filesize", header.filesize)?;
            let digest = need(command, "blake3", header.blake3)?;
            let name = need(command, "filename", named)?;
            if size != length {
                return wrong("`length` of a put is not its `filesize`");
            }
            Op::Put { name, size, digest, attributes }
        }
        "open" => Op::Open(Box::new(Wanted {
            name: need(command, "filename", named)?,
            size: need(command, "filesize", header.filesize)?,
            attributes,
            fingerprint: need(command, "fingerprint", header.fingerprint)?.0.into_owned(),
            replace: header.replace.unwrap_or(false),
        })),
        "part" => Op::Part {
            upload: need(command, "upload", header.upload)?,
            offset: need(command, "offset", header.offset)?,
            cv: need(command, "cv", header.cv)?,
        },
        "commit" => Op::Commit {
            upload: need(command, "upload", header.upload)?,
            digest: need(command, "blake3", header.blake3)?,
        },
        "abort" => Op::Abort { upload: need(command, "upload", header.upload)? },
        "mkdir" => Op::Mkdir {
            name: need(command, "filename", named)?,
            mode: header.mode,
            replace: header.replace.unwrap_or(false),
        },
        "symlink" => match link(&(header.target.take(), header.target_b64.take())) {
            Err(error) => return Ok(Err(bad_name(&error))),
            Ok(target) => Op::Symlink {
                name: need(command, "filename", named)?,
                target: need(command, "target", target)?,
                mtime: header.mtime,
            },
        },
        "setattr" => {
            let name = need(command, "filename", named)?;
            let is_file = match header.kind.as_ref().map(|kind| &*kind.0) {
                None | Some("directory") => false,
                Some("file") => true,
                Some(_) => return wrong("`kind` is neither `file` nor `directory`"),
            };
            Op::Setattr { name, is_file, attributes }
        }
        "remove" => Op::Remove { name: need(command, "filename", named)? },
        "check" => Op::Check { reread: header.reread.unwrap_or(false) },
        "adopt" => Op::Adopt,
        "publish" => Op::Publish { attributes, files: header.files },
        "rollback" => Op::Rollback {
            name: need(command, "filename", named)?,
            again: header.again.unwrap_or(false),
            token: header.upload,
            repeated: header.repeated.unwrap_or(false),
        },
        "rename" => match name("to", &(header.to.take(), header.to_b64.take())) {
            Err(error) => return Ok(Err(bad_name(&error))),
            Ok(to) => Op::Rename {
                name: need(command, "filename", named)?,
                to: need(command, "to", to)?,
                replace: header.replace.unwrap_or(false),
            },
        },
        "list" => match name("after", &(header.after.take(), header.after_b64.take())) {
            Err(error) => return Ok(Err(bad_name(&error))),
            Ok(after) => Op::List { name: named, after },
        },
        "get" => {
            let name = need(command, "filename", named)?;
            let offset = need(command, "offset", header.offset)?;
            let part_size = need(command, "part_size", header.part_size)?;
            if !is_part(offset, part_size) {
                return wrong("`offset` and `part_size` are not those of a part");
            }
            let whole = header.whole.unwrap_or(false);
            Op::Get { name, offset, part_size, state: header.state, whole }
        }
        "fetch" => Op::Fetch,
        "ping" => Op::Ping,
        unknown => {
            let message = alloc::format!("command `{}` is not known", unknown.escape_debug());
            return Ok(Err(Refusal::new(Code::UnknownCommand, message)));
        }
    };
    if length > 0 && !op.has_body() {
        return wrong("this request has no body");
    }
    Ok(Ok(op))
}

/// Whether a part of some file begins there.
fn is_part(offset: u64, part_size: u64) -> bool {
    let is_length = part_size.is_power_of_two() && (CHUNK_LEN..=MAX_BODY_LEN).contains(&part_size);
    is_length && offset.is_multiple_of(part_size)
}

fn bad_name(error: &NameError) -> Refusal {
    Refusal::new(Code::BadName, error)
}

/// A client's side: reads the headers of answers.
#[derive(Debug, Default)]
pub struct Answers;

impl Headers for Answers {
    type Header = Answer;

    fn read(&mut self, header: &[u8]) -> Result<(Answer, u64), DecodeError> {
        let header: AnswerHeader<'_> = parse(header)?;
        let length = body_len(header.length)?;
        let answer = match (header.hello, header.ack, header.refused, header.answer) {
            (Some(version), None, None, None) => Answer::Hello(Box::new(ServerHello {
                version,
                agent: need("hello", "agent", header.agent)?.0.into_owned(),
                limits: need("hello", "limits", header.limits)?,
                durability: Durability::parse(&need("hello", "durability", header.durability)?.0),
                tree: header
                    .upload
                    .map(|token| Tree { token, resumed: header.resumed.unwrap_or(false) }),
                features: texts(header.features),
                account: header.account.map(AccountObject::facts),
                next_pin: header.next_pin,
            })),
            (None, Some(id), None, None) => Answer::Ack(RequestId::new(id)),
            (None, None, Some(id), None) => Answer::Refused {
                id: RequestId::new(id),
                refusal: Refusal {
                    code: Code::parse(&need("refused", "code", header.code)?.0),
                    message: need("refused", "message", header.message)?.0.into_owned(),
                    retry: need("refused", "retry", header.retry)?,
                },
            },
            (None, None, None, Some(id)) => {
                Answer::Answered { id: RequestId::new(id), length, reply: reply(&header)? }
            }
            _ => return Err(DecodeError::UnknownAnswer),
        };
        Ok((answer, length))
    }
}

/// The fields of an answer by id, whose kind they tell.
fn reply(header: &AnswerHeader<'_>) -> Result<Reply, DecodeError> {
    if let Some(upload) = header.upload {
        let part_size = need("open", "part_size", header.part_size)?;
        return Ok(Reply::Opened { upload, part_size });
    }
    if let Some(state) = header.state {
        return Ok(Reply::Part(PartFacts {
            size: need("get", "filesize", header.filesize)?,
            attributes: Attributes { mode: header.mode, mtime: header.mtime },
            state,
            cv: header.cv,
            digest: header.blake3,
        }));
    }
    Ok(match (header.more, header.blake3, header.published) {
        (Some(more), Some(digest), _) => Reply::Fetched { more, digest },
        (Some(more), None, _) => Reply::Listed { more, left_out: header.left_out.unwrap_or(0) },
        (None, _, Some(published)) => Reply::Version { published, files: header.files },
        (None, _, None) => Reply::Done,
    })
}

fn need<T>(command: &str, field: &'static str, value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or_else(|| DecodeError::Missing {
        command: command.escape_debug().take(32).collect(),
        field,
    })
}

fn texts(texts: Option<Vec<Text<'_>>>) -> Vec<String> {
    texts.unwrap_or_default().into_iter().map(|text| text.0.into_owned()).collect()
}

fn body_len(length: Option<u64>) -> Result<u64, DecodeError> {
    match length.unwrap_or(0) {
        len if len > MAX_BODY_LEN => Err(DecodeError::BodyTooLong(len)),
        len => Ok(len),
    }
}
