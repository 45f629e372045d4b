//! The toy server: keeps files in memory and believes no body before it has verified it.

use std::collections::BTreeMap;

use haul_protocol::{
    AccessToken, AccountFacts, Code, Cv, Digest, Durability, Geometry, Name, Op, Refusal, Reply,
    Request, Rights, ServerConnection, ServerEvent, ServerHello, ServerLimits, Token, limits,
    merge,
};

use crate::{NOW, Result, chaining_value};

/// A real server makes each token of random bytes; this one has one upload only.
const TOKEN: Token = Token(*b"not very random!");

pub(crate) struct Server {
    connection: ServerConnection,
    /// The digest of the secret of the only account. A real server keeps these in a file, by the ids of tokens.
    account: Digest,
    current: Option<Request>,
    body: Vec<u8>,
    upload: Option<Upload>,
    pub(crate) files: BTreeMap<Name, Vec<u8>>,
}

/// The one large file that is under way.
struct Upload {
    name: Name,
    geometry: Geometry,
    bytes: Vec<u8>,
    cvs: Vec<Option<Cv>>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            connection: ServerConnection::new(&ServerLimits::default(), NOW),
            account: AccessToken::new([7; 5], [9; 32]).hash(),
            current: None,
            body: Vec::new(),
            upload: None,
            files: BTreeMap::new(),
        }
    }

    /// Takes bytes, in pieces of any length, and returns the bytes of answers.
    pub(crate) fn read(&mut self, mut input: &[u8]) -> Result<Vec<u8>> {
        while let Some(event) = self.connection.receive(&mut input, NOW)? {
            match event {
                ServerEvent::Hello(hello) => {
                    println!("server: this is {}", hello.agent);
                    if hello.token.is_none_or(|token| token.hash() != self.account) {
                        let message = "no account has this token";
                        self.connection.end(Refusal::new(Code::Unauthorized, message));
                        continue;
                    }
                    self.connection.greet(ServerHello {
                        version: limits::VERSION,
                        agent: "toy/0.1".to_string(),
                        limits: ServerLimits::default(),
                        durability: Durability::None,
                        tree: None,
                        features: vec!["accounts".to_string()],
                        account: Some(AccountFacts {
                            name: "alice".to_string(),
                            rights: Rights::mirror(),
                            expires: None,
                            bytes: None,
                            files: None,
                        }),
                        next_pin: None,
                    })?;
                }
                ServerEvent::Request(request) => self.current = Some(request),
                ServerEvent::Body(bytes) => self.body.extend_from_slice(bytes),
                ServerEvent::End => {
                    let body = std::mem::take(&mut self.body);
                    if let Some(request) = self.current.take() {
                        self.serve(request, &body)?;
                    }
                }
                _ => return Err("no classic here".into()),
            }
        }
        self.connection.acknowledge();
        let out = self.connection.output().to_vec();
        self.connection.sent(out.len(), NOW);
        Ok(out)
    }

    fn serve(&mut self, request: Request, body: &[u8]) -> Result<()> {
        let id = request.id;
        match request.op.and_then(|op| self.carry_out(op, body)) {
            Ok(None) => self.connection.done(id),
            Ok(Some(reply)) => self.connection.answer(id, reply, &[])?,
            Err(refusal) => self.connection.refuse(id, refusal)?,
        }
        Ok(())
    }

    /// `None` for a change, which is acknowledged together with others.
    fn carry_out(&mut self, op: Op, body: &[u8]) -> std::result::Result<Option<Reply>, Refusal> {
        let refuse = |code, message| Err(Refusal::new(code, message));
        match op {
            Op::Put { name, digest, .. } if Digest::of(body) == digest => {
                self.files.insert(name, body.to_vec());
                Ok(None)
            }
            Op::Put { .. } => refuse(Code::DigestMismatch, "the body has another digest"),
            Op::Open(wanted) => {
                let part_size = limits::part_size_for(wanted.size).unwrap_or(u64::MAX);
                let geometry = Geometry::new(wanted.size, part_size)
                    .map_err(|error| Refusal::new(Code::BadRequest, error))?;
                let (bytes, cvs) = (Vec::new(), vec![None; geometry.parts()]);
                self.upload = Some(Upload { name: wanted.name, geometry, bytes, cvs });
                Ok(Some(Reply::Opened { upload: TOKEN, part_size }))
            }
            Op::Part { upload: TOKEN, offset, cv } => {
                let Some(upload) = &mut self.upload else {
                    return refuse(Code::UnknownUpload, "nothing is open");
                };
                let index = upload
                    .geometry
                    .locate(offset, body.len() as u64)
                    .map_err(|error| Refusal::new(Code::BadPart, error))?;
                if chaining_value(&upload.geometry, index, body) != Some(cv) {
                    return refuse(Code::DigestMismatch, "the body has another chaining value");
                }
                // A server with a disk writes at the offset instead, and takes parts in any order.
                if offset != upload.bytes.len() as u64 {
                    return refuse(Code::BadPart, "this toy takes parts in order only");
                }
                upload.bytes.extend_from_slice(body);
                upload.cvs[index] = Some(cv);
                Ok(None)
            }
            Op::Commit { upload: TOKEN, digest } => {
                let Some(upload) = self.upload.take() else {
                    return refuse(Code::UnknownUpload, "nothing is open");
                };
                let Some(cvs) = upload.cvs.into_iter().collect::<Option<Vec<Cv>>>() else {
                    return refuse(Code::Incomplete, "parts are missing");
                };
                if merge(&cvs) != Some(digest) {
                    return refuse(Code::DigestMismatch, "the parts make another file");
                }
                self.files.insert(upload.name, upload.bytes);
                Ok(Some(Reply::Done))
            }
            _ => refuse(Code::UnknownCommand, "the toy knows put, open, part and commit"),
        }
    }
}
