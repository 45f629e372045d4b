//! The client's reading: what PROTOCOL.md, sections 6.14 and 6.15, asks of a client, step by step.

use haul_protocol::{
    Code, Digest, Geometry, Name, Op, PartFacts, Reply, Token, decode_fetched, encode_wanted, merge,
};

use crate::server::Server;
use crate::{Client, Result, answer, chaining_value, exchange, request};

/// Times that a client begins a file anew because it has changed.
const TRIES: usize = 3;

/// Reads small files; `None` stands for one that does not come.
pub(crate) fn fetch(
    client: &mut Client,
    server: &mut Server,
    names: &[Name],
) -> Result<Vec<Option<Vec<u8>>>> {
    let mut found = Vec::new();
    // The server may end an answer after any name.
    while let wanted @ [_, ..] = &names[found.len()..] {
        let mut body = Vec::new();
        wanted.iter().for_each(|name| encode_wanted(name, &mut body));
        request(client, "fetch", &Op::Fetch, &body)?;
        let (Reply::Fetched { more, digest }, body) = answer(client, server)? else {
            return Err("`fetch` has another answer".into());
        };
        if Digest::of(&body) != digest {
            return Err("the files came damaged".into());
        }
        let files = decode_fetched(&body, wanted.len())?;
        if more != (files.len() < wanted.len()) {
            return Err("`more` does not fit the number of files".into());
        }
        for (name, file) in wanted.iter().zip(files) {
            if let Err(refusal) = &file {
                println!("client: {name} does not come: {refusal}");
            }
            found.push(file.ok().map(|file| file.bytes.to_vec()));
        }
    }
    Ok(found)
}

/// Reads a file in parts; begins it anew if it changes meanwhile.
pub(crate) fn get(
    client: &mut Client,
    server: &mut Server,
    name: &Name,
    part_size: u64,
) -> Result<Vec<u8>> {
    for _ in 0..TRIES {
        if let Some(file) = one_state(client, server, name, part_size)? {
            return Ok(file);
        }
    }
    Err("the file changes all the time".into())
}

/// All parts of one state of the file, or `None` if it has changed.
fn one_state(
    client: &mut Client,
    server: &mut Server,
    name: &Name,
    part_size: u64,
) -> Result<Option<Vec<u8>>> {
    let first = part(client, server, name, (0, part_size), None)?;
    let Some((facts, mut file)) = first else { return Ok(None) };
    if facts.size <= part_size {
        return match facts.digest == Some(Digest::of(&file)) && file.len() as u64 == facts.size {
            true => Ok(Some(file)),
            false => Err("the file came damaged".into()),
        };
    }
    // A geometry bounds the number of parts before anything is sized by it.
    let geometry = Geometry::new(facts.size, part_size)?;
    let mut cvs = vec![verified(&geometry, 0, &facts, &file)?];
    for index in 1..geometry.parts() {
        let offset = geometry.range(index).ok_or("no such part")?.start;
        let next = part(client, server, name, (offset, part_size), Some(facts.state))?;
        let Some((next, bytes)) = next else { return Ok(None) };
        if (next.state, next.size) != (facts.state, facts.size) {
            return Err("the part is one of another file".into());
        }
        if next.cv.is_none() && next.digest != facts.digest {
            return Err("the file has another digest in the same state".into());
        }
        cvs.push(verified(&geometry, index, &next, &bytes)?);
        file.extend(bytes);
    }
    let digest = merge(&cvs).ok_or("fewer than two parts")?;
    // A part without a chaining value has not been compared before. A client that asks once more, without `whole`, learns
    // which part is wrong; this one gives up.
    if facts.digest.is_some_and(|stated| stated != digest) {
        return Err("the parts make another file".into());
    }
    Ok(Some(file))
}

/// The chaining value of a part that is what its answer says; if that has the digest of the whole file instead, the part may
/// still be wrong.
fn verified(
    geometry: &Geometry,
    index: usize,
    facts: &PartFacts,
    bytes: &[u8],
) -> Result<haul_protocol::Cv> {
    let cv = chaining_value(geometry, index, bytes).ok_or("not the whole part")?;
    match (facts.cv, facts.digest) {
        (Some(stated), _) if stated == cv => Ok(cv),
        (Some(_), _) => Err("the part came damaged".into()),
        (None, Some(_)) => Ok(cv),
        (None, None) => Err("nothing to compare the part with".into()),
    }
}

/// One part, or `None` if the file has changed.
fn part(
    client: &mut Client,
    server: &mut Server,
    name: &Name,
    (offset, part_size): (u64, u64),
    state: Option<Token>,
) -> Result<Option<(PartFacts, Vec<u8>)>> {
    let get = Op::Get { name: name.clone(), offset, part_size, state, whole: true };
    request(client, "get", &get, b"")?;
    match exchange(client, server)?.ok_or("there is no answer")? {
        Ok((Reply::Part(facts), bytes)) => Ok(Some((facts, bytes))),
        Ok(_) => Err("`get` has another answer".into()),
        Err(refusal) if refusal.code == Code::Changed => Ok(None),
        Err(refusal) => Err(refusal.to_string().into()),
    }
}
