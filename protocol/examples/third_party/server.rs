//! The toy server: keeps files in memory and believes no body before it has verified it.

use std::collections::BTreeMap;

use haul_protocol::{
    AccessToken, AccountFacts, Attributes, Code, Cv, Digest, Durability, Geometry, Name, Op,
    PartFacts, Refusal, Reply, Request, Rights, ServerConnection, ServerEvent, ServerHello,
    ServerLimits, Token, WantedError, decode_wanted, encode_fetched, encode_unfetched, limits,
    merge,
};

use crate::{NOW, Result, chaining_value};

/// A real server makes each token of random bytes; this one has one upload only.
const TOKEN: Token = Token(*b"not very random!");

/// The outcome of a request. `None` for a change, else the answer and its body.
type Outcome = std::result::Result<Option<(Reply, Vec<u8>)>, Refusal>;

pub(crate) struct Server {
    connection: ServerConnection,
    /// The digest of the secret of the only account. A real server keeps these in a file, by the ids of tokens.
    account: Digest,
    current: Option<Request>,
    body: Vec<u8>,
    upload: Option<Upload>,
    pub(crate) files: BTreeMap<Name, Vec<u8>>,
    /// A file that somebody else will put when the next part is read.
    replaced: Option<(Name, Vec<u8>)>,
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
            replaced: None,
        }
    }

    /// Behind the back of a client that reads a file, somebody puts another one in its place.
    pub(crate) fn replaces_after_one_part(&mut self, name: Name, bytes: Vec<u8>) {
        self.replaced = Some((name, bytes));
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
                        features: vec!["accounts".to_string(), "get".to_string()],
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
            Ok(Some((reply, body))) => self.connection.answer(id, reply, &body)?,
            Err(refusal) => self.connection.refuse(id, refusal)?,
        }
        Ok(())
    }

    /// `None` for a change, which is acknowledged together with others.
    fn carry_out(&mut self, op: Op, body: &[u8]) -> Outcome {
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
                Ok(Some((Reply::Opened { upload: TOKEN, part_size }, Vec::new())))
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
                Ok(Some((Reply::Done, Vec::new())))
            }
            Op::Get { name, offset, part_size, state, whole } => {
                let (facts, bytes) = self.part(&name, offset, part_size, state)?;
                // A server that knows the digest of the file saves the work for the chaining value.
                let cv = facts.cv.filter(|_| !whole);
                let part = (Reply::Part(PartFacts { cv, ..facts }), bytes);
                self.files.extend(self.replaced.take());
                Ok(Some(part))
            }
            Op::Fetch => self.fetched(body).map(Some),
            _ => refuse(Code::UnknownCommand, "the toy knows no such request"),
        }
    }

    /// The answer to `get`. The protocol has checked `offset` and `part_size`, but knows no file.
    fn part(
        &self,
        name: &Name,
        offset: u64,
        part_size: u64,
        wanted: Option<Token>,
    ) -> std::result::Result<(PartFacts, Vec<u8>), Refusal> {
        let none = || Refusal::new(Code::NotFound, format!("`{name}` does not exist"));
        let file = self.files.get(name).ok_or_else(none)?;
        let (size, digest) = (file.len() as u64, Digest::of(file));
        // The toy has all of a file, and so tells its state by its digest. A server with a disk takes what its file
        // system says of the file: inode, size and times.
        let state = Token(digest.0[..16].try_into().unwrap_or_default());
        if wanted.is_some_and(|wanted| wanted != state) {
            return Err(Refusal::new(Code::Changed, format!("`{name}` has changed")));
        }
        let (cv, bytes) = if size <= part_size {
            let bytes = (offset == 0).then_some(&file[..]);
            (None, bytes.ok_or_else(|| Refusal::new(Code::BadRequest, "no such part"))?)
        } else {
            let bad = |error| Refusal::new(Code::BadRequest, error);
            let geometry = Geometry::new(size, part_size).map_err(bad)?;
            let range = usize::try_from(offset / part_size).ok().and_then(|at| geometry.range(at));
            let Some(range) = range else {
                return Err(Refusal::new(Code::BadRequest, "the file ends before this offset"));
            };
            let index = usize::try_from(offset / part_size).unwrap_or(usize::MAX);
            let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap_or(0));
            (chaining_value(&geometry, index, &file[start..end]), &file[start..end])
        };
        let attributes = Attributes::default();
        let facts = PartFacts { size, attributes, state, cv, digest: Some(digest) };
        Ok((facts, bytes.to_vec()))
    }

    /// The answer to `fetch`.
    fn fetched(&self, body: &[u8]) -> std::result::Result<(Reply, Vec<u8>), Refusal> {
        let names = decode_wanted(body).map_err(|error| {
            let code = match error {
                WantedError::Name(_) => Code::BadName,
                _ => Code::BadRequest,
            };
            Refusal::new(code, error)
        })?;
        let (mut out, mut more) = (Vec::new(), false);
        for name in &names {
            let before = out.len();
            match self.files.get(name) {
                None => encode_unfetched(&Refusal::new(Code::NotFound, "not here"), &mut out),
                Some(file) => {
                    let size = file.len() as u64;
                    match encode_fetched(size, &Attributes::default(), &mut out) {
                        Ok(()) => out.extend_from_slice(file),
                        Err(_) => {
                            let refusal = Refusal::new(Code::TooLarge, "it comes with `get`");
                            encode_unfetched(&refusal, &mut out);
                        }
                    }
                }
            }
            if out.len() as u64 > limits::MAX_BUNDLE_LEN {
                out.truncate(before);
                more = true;
                break;
            }
        }
        Ok((Reply::Fetched { more, digest: Digest::of(&out) }, out))
    }
}
