//! The toy server: keeps files in memory and believes no body before it has verified it.

use std::collections::BTreeMap;

use haul_protocol::{
    Answer, Code, Cv, Decoder, Digest, Event, FirstOrLater, Geometry, Name, Op, Refusal, Reply,
    Request, Requests, Responder, ServerHello, ServerLimits, Token, encode, limits, merge,
};

use crate::{Result, chaining_value};

/// A real server makes each token of random bytes; this one has one upload only.
const TOKEN: Token = Token(*b"not very random!");

pub(crate) struct Server {
    decoder: Decoder<Requests>,
    book: Responder,
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
            decoder: Decoder::new(Requests::default()),
            book: Responder::new(&ServerLimits::default()),
            current: None,
            body: Vec::new(),
            upload: None,
            files: BTreeMap::new(),
        }
    }

    /// Takes bytes, in whatever pieces, and returns the bytes of answers.
    pub(crate) fn read(&mut self, mut input: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        while let Some(event) = self.decoder.decode(&mut input)? {
            match event {
                Event::Header(FirstOrLater::Hello(hello)) => {
                    println!("server: this is {}", hello.agent);
                    let hello = ServerHello {
                        version: limits::VERSION,
                        agent: "toy/0.1".to_string(),
                        limits: ServerLimits::default(),
                        durability: "none".to_string(),
                        tree: None,
                        features: Vec::new(),
                    };
                    encode::answer(&Answer::Hello(hello), &mut out)?;
                }
                Event::Header(FirstOrLater::Request(request)) => {
                    let change = request.op.as_ref().is_ok_and(Op::is_change);
                    self.book.received(request.id, change, request.length)?;
                    self.current = Some(request);
                }
                Event::Header(FirstOrLater::Classic(_)) => return Err("no classic here".into()),
                Event::Body(bytes) => self.body.extend_from_slice(bytes),
                Event::End => {
                    let body = std::mem::take(&mut self.body);
                    if let Some(request) = self.current.take() {
                        self.serve(request, &body, &mut out)?;
                    }
                }
            }
        }
        // Every refusal is in `out` by now, so that an ack may follow.
        if let Some(id) = self.book.ack() {
            encode::answer(&Answer::Ack(id), &mut out)?;
        }
        Ok(out)
    }

    fn serve(&mut self, request: Request, body: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let id = request.id;
        let answer = match request.op.and_then(|op| self.carry_out(op, body)) {
            Ok(None) => {
                self.book.done(id);
                return Ok(());
            }
            Ok(Some(reply)) => Answer::Answered { id, length: 0, reply },
            Err(refusal) => Answer::Refused { id, refusal },
        };
        encode::answer(&answer, out)?;
        self.book.told(id);
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
