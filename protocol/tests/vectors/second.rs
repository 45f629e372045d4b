//! A second decoder, written from PROTOCOL.md alone: slow, short, and wrong in one way if it is told to be.

use serde_json::{Map, Value, json};

use crate::fields::known;
use crate::json::{Json, parse};
use crate::names::name;
use crate::second_answers::answer;
use crate::second_requests::{classic, request};
use crate::vector::{Outcome, Seen, Side};
use crate::wrong::Wrong;

const HEADER: usize = 65_536;
pub(crate) const BODY: u64 = 8 << 20;
const HTTP: [&[u8]; 9] =
    [b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"HTTP"];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Dialect {
    Haul,
    Classic,
}

pub(crate) type Class = &'static str;

/// Decodes a whole stream.
pub(crate) fn decode(side: Side, stream: &[u8], wrong: Wrong) -> (Vec<Seen>, Outcome) {
    let (mut seen, mut rest, mut dialect) = (Vec::new(), stream, None);
    let cut = |place: &str, missing| Outcome::Truncated { place: place.to_owned(), missing };
    while !rest.is_empty() {
        let Some((prefix, after)) = rest.split_at_checked(4) else {
            return (seen, cut("prefix", 4 - rest.len() as u64));
        };
        let len = match header_len(prefix, wrong) {
            Ok(len) => len,
            Err(class) => return (seen, Outcome::Error(class)),
        };
        let Some((header, after)) = after.split_at_checked(len) else {
            return (seen, cut("header", (len - after.len()) as u64));
        };
        let (shown, len) = match read(side, header, &mut dialect, wrong) {
            Ok(read) => read,
            Err(class) => return (seen, Outcome::Error(class)),
        };
        seen.push(Seen::Header(shown));
        let there = usize::try_from(len).map_or(after.len(), |len| len.min(after.len()));
        let (body, after) = after.split_at(there);
        if !body.is_empty() {
            seen.push(Seen::Body(body.to_vec()));
        }
        if (there as u64) < len {
            return (seen, cut("body", len - there as u64));
        }
        seen.push(Seen::End);
        rest = after;
    }
    (seen, Outcome::Events)
}

fn header_len(prefix: &[u8], wrong: Wrong) -> Result<usize, Class> {
    let bytes: [u8; 4] = prefix.try_into().map_err(|_| "prefix")?;
    let value = match wrong.is("reads the prefix in big-endian order") {
        true => i32::from_be_bytes(bytes).into(),
        false if wrong.is("reads two bytes of the prefix") => {
            i64::from(u16::from_le_bytes([bytes[0], bytes[1]]))
        }
        false => i64::from(i32::from_le_bytes(bytes)),
    };
    let value = if wrong.is("counts the prefix itself") { value - 4 } else { value };
    let most = match wrong.is("takes a header of any length") {
        true => i64::from(u32::MAX),
        false if wrong.is("takes no header of the longest length") => HEADER as i64 - 1,
        false => HEADER as i64,
    };
    let least = i64::from(!wrong.is("takes a header of no bytes"));
    match usize::try_from(value) {
        Ok(len) if (least..=most).contains(&value) => Ok(len),
        _ if HTTP.contains(&prefix) && !wrong.is("knows no HTTP") => Err("http"),
        _ => Err("prefix"),
    }
}

fn depth(text: &str, wrong: Wrong) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted && !wrong.is("counts brackets behind an escaped quote") => {
                escaped = true
            }
            '"' => quoted = !quoted,
            _ if quoted && !wrong.is("counts brackets in strings") => {}
            '{' | '[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The fields of a header as they were sent.
pub(crate) fn object(header: &[u8], wrong: Wrong) -> Result<Vec<(crate::json::Text, Json)>, Class> {
    let lossy = String::from_utf8_lossy(header);
    let text = match std::str::from_utf8(header) {
        Ok(text) => text,
        Err(_) if wrong.is("replaces bytes that are not UTF-8") => &lossy,
        Err(_) => return Err("not_utf8"),
    };
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) if wrong.is("skips a byte order mark") => rest,
        _ => text,
    };
    let is_object = text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
    if !is_object && !wrong.is("looks for an object after the depth") {
        return Err("not_object");
    }
    let levels = match wrong.is("takes any depth") {
        true => usize::MAX,
        false if wrong.is("takes one level less") => 15,
        false if wrong.is("does not count the header as a level") => 17,
        false => 16,
    };
    if depth(text, wrong) > levels {
        return Err("too_deep");
    }
    match parse(text, wrong) {
        Some(Json::Object(fields)) => Ok(fields),
        _ if is_object => Err("json"),
        _ => Err("not_object"),
    }
}

fn read(
    side: Side,
    header: &[u8],
    dialect: &mut Option<Dialect>,
    wrong: Wrong,
) -> Result<(Value, u64), Class> {
    let fields = object(header, wrong)?;
    let is_hello = fields.iter().filter(|(name, _)| name.text == "cmd").count() == 1
        && fields.iter().any(|(name, value)| {
            name.text == "cmd" && matches!(value, Json::Text(text) if text.text == "hello")
        });
    let found = known(side, &fields, wrong).ok_or("json");
    if side == Side::Answers {
        return answer(&found?, wrong);
    }
    let again = wrong.is("takes hello at any time");
    if is_hello && (dialect.is_none() || again) {
        *dialect = Some(Dialect::Haul);
        let read = found.and_then(|found| hello(&found, wrong));
        let only: Vec<_> = fields.into_iter().filter(|(name, _)| name.text == "version").collect();
        let version = known(side, &only, wrong).and_then(|only| only.get("version")?.as_u64());
        let other = version.filter(|version| *version != 1);
        return match (read, other) {
            (Err(_), Some(_)) if !wrong.is("looks at the version last") => Err("version"),
            (_, Some(_)) if wrong.is("takes a sound hello of another version for an error") => {
                Err("version")
            }
            (read, _) => read,
        };
    }
    let mut found = found?;
    // The type has been checked already, so an absent one is the only other case.
    let command = text(&found, "cmd")?;
    if *dialect == Some(Dialect::Haul) {
        return request(&command, &mut found, wrong);
    }
    *dialect = Some(Dialect::Classic);
    classic(&command, &found, wrong)
}

pub(crate) fn need(found: &Map<String, Value>, field: &str) -> Result<Value, Class> {
    found.get(field).cloned().ok_or("missing")
}

fn text(found: &Map<String, Value>, field: &str) -> Result<String, Class> {
    Ok(need(found, field)?.as_str().unwrap_or_default().to_owned())
}

pub(crate) fn length(found: &Map<String, Value>, wrong: Wrong) -> Result<u64, Class> {
    let length = found.get("length").and_then(Value::as_u64).unwrap_or(0);
    match length > BODY && !wrong.is("takes a body of any length") {
        true => Err("body_too_long"),
        false => Ok(length),
    }
}

fn hello(found: &Map<String, Value>, wrong: Wrong) -> Result<(Value, u64), Class> {
    let length = length(found, wrong)?;
    let mut shown = Map::from_iter([("is".to_owned(), json!("hello"))]);
    if let Some(named) = name(found, "filename", wrong).map_err(|()| "json")? {
        shown.extend([named]);
        shown.extend(found.get("upload").map(|token| ("upload".to_owned(), token.clone())));
    }
    for field in ["version", "agent", "client", "slot"] {
        shown.insert(field.to_owned(), need(found, field)?);
    }
    shown.extend(found.get("identity").map(|it| ("identity".to_owned(), it.clone())));
    let must = match found.get("must") {
        None if wrong.is("needs a list that may be absent") => return Err("missing"),
        must => must.cloned().unwrap_or_else(|| json!([])),
    };
    shown.insert("must".to_owned(), must);
    shown.extend(found.get("token").map(|token| ("token".to_owned(), token.clone())));
    Ok((Value::Object(shown), length))
}
