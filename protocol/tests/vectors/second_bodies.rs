//! Bodies, as the second decoder reads them (PROTOCOL.md, sections 5.3, 6.10, 6.15 and 9).

use serde_json::{Map, Value, json};

use crate::bodies::Found;
use crate::fields::{known_in_entry, known_in_fetched};
use crate::names::{is_name, name, target};
use crate::second::object;
use crate::second_texts::text;
use crate::wrong::Wrong;

const LINE: usize = 65_536;

/// Reads a body of this kind.
pub(crate) fn read(of: &str, count: u64, body: &[u8], wrong: Wrong) -> Found {
    match of {
        "entries" => entries(body, wrong),
        "bundle" => bundle(body, count, wrong),
        "wanted" => wanted(body, wrong),
        "fetched" => fetched(body, count, wrong),
        "bitmap" => Some(bitmap(body, wrong)),
        "pin" | "access_token" => text(of, body, wrong),
        _ => letters(body, wrong),
    }
}

fn entries(body: &[u8], wrong: Wrong) -> Found {
    let mut found = Vec::new();
    let mut lines: Vec<_> = body.split(|byte| *byte == b'\n').collect();
    let last = lines.pop().unwrap_or_default();
    if !wrong.is("leaves out a last line without a line feed") {
        lines.push(last);
    }
    for line in lines {
        let most = if wrong.is("takes a line that is one byte too long") { LINE + 1 } else { LINE };
        if line.len() + 1 > most {
            return None;
        }
        let trims = !wrong.is("takes a line of white space for an entry");
        let is_white = match wrong.is("takes a form feed for white space") {
            true => line.trim_ascii().is_empty(),
            false => line.iter().all(|byte| b" \t\r".contains(byte)),
        };
        let is_empty = if trims { is_white } else { line.is_empty() };
        if !is_empty {
            found.push(("entry".to_owned(), Value::Object(entry(line, wrong)?)));
        } else if wrong.is("counts empty lines") {
            found.push(("entry".to_owned(), Value::Null));
        }
    }
    Some(found)
}

fn entry(line: &[u8], wrong: Wrong) -> Option<Map<String, Value>> {
    let all = known_in_entry(&object(line, wrong).ok()?, wrong)?;
    let named = name(&all, "filename", wrong).ok()?;
    let mut shown = Map::new();
    match named {
        Some(named) => shown.extend([named]),
        None if wrong.is("takes an entry without a name") => {}
        None => return None,
    }
    let kind = match all.get("kind") {
        None if wrong.is("takes an absent kind for a file") => "file",
        kind => kind?.as_str()?,
    };
    match kind {
        "file" => {
            let size = match all.get("filesize") {
                None if wrong.is("takes an absent size of a file for 0") => json!(0),
                size => size?.clone(),
            };
            shown.insert("filesize".to_owned(), size);
            shown.extend(all.get("blake3").map(|it| ("blake3".to_owned(), it.clone())));
        }
        "link" => match target(&all, wrong).ok()? {
            Some(target) => shown.extend([target]),
            None if wrong.is("takes a link without a target") => {}
            None => return None,
        },
        "directory" | "other" => {}
        _ if wrong.is("takes an unknown kind") => {}
        _ => return None,
    }
    if wrong.is("checks the target of every kind") {
        target(&all, wrong).ok()?;
    }
    shown.insert("kind".to_owned(), json!(kind));
    for field in ["mode", "mtime"] {
        if field == "mode" && kind == "link" && wrong.is("takes no mode of a link") {
            continue;
        }
        shown.extend(all.get(field).map(|it| (field.to_owned(), it.clone())));
    }
    Some(shown)
}

fn bundle(body: &[u8], count: u64, wrong: Wrong) -> Found {
    let (mut found, mut rest, mut files) = (Vec::new(), body, 0);
    while !rest.is_empty() {
        if wrong.is("skips empty lines in a bundle")
            && let Some(after) = rest.strip_prefix(b"\n")
        {
            rest = after;
            continue;
        }
        let end = match rest.iter().position(|byte| *byte == b'\n') {
            None if wrong.is("takes a last line of a bundle without a line feed") => rest.len(),
            end => end?,
        };
        let entry = entry(&rest[..end], wrong)?;
        if entry["kind"] != "file" && !wrong.is("takes directories in a bundle") {
            return None;
        }
        let size = entry.get("filesize").and_then(Value::as_u64).unwrap_or(0);
        let after = rest.get(end + 1..).unwrap_or_default();
        let size = usize::try_from(size).ok()?;
        let cuts = wrong.is("takes a cut file of a bundle");
        let size = if cuts { size.min(after.len()) } else { size };
        let (bytes, after) = after.split_at_checked(size)?;
        let digest = haul_protocol::Digest::of(bytes).to_string();
        let differs = entry.get("blake3").is_some_and(|stated| *stated != digest.as_str());
        if differs && wrong.is("refuses a bundle for the digest of one file") {
            return None;
        }
        found.push(("entry".to_owned(), Value::Object(entry)));
        if !bytes.is_empty() {
            found.push(("body".to_owned(), json!(data_encoding::HEXLOWER.encode(bytes))));
        }
        (rest, files) = (after, files + 1);
    }
    let sound = files == count
        || (files < count && wrong.is("takes fewer files in a bundle"))
        || (files > count && wrong.is("takes more files in a bundle"));
    sound.then_some(found)
}

/// The body of `fetch`.
fn wanted(body: &[u8], wrong: Wrong) -> Found {
    let most = if wrong.is("takes names of any length together") { usize::MAX } else { 262_144 };
    if body.len() > most {
        return None;
    }
    let end = if wrong.is("takes a line feed for the end of a name") { b'\n' } else { 0 };
    let mut names: Vec<_> = body.split(|byte| *byte == end).collect();
    let last = names.pop().unwrap_or_default();
    if !last.is_empty() {
        if !wrong.is("takes a last name without its NUL") {
            return None;
        }
        names.push(last);
    }
    if wrong.is("skips empty names") {
        names.retain(|name| !name.is_empty());
    }
    let most = match wrong.is("takes any number of names") {
        true => usize::MAX,
        false if wrong.is("takes one name less") => 255,
        false => 256,
    };
    let least = usize::from(!wrong.is("takes no names"));
    if !(least..=most).contains(&names.len()) {
        return None;
    }
    let mut found = Vec::new();
    for bytes in names {
        if !(is_name(bytes, wrong) || wrong.is("takes any bytes for a name")) {
            return None;
        }
        if std::str::from_utf8(bytes).is_err() && wrong.is("takes wanted names in UTF-8 only") {
            return None;
        }
        let is_there = |(_, value): &(String, Value)| *value == shown_name(bytes);
        if found.iter().any(is_there) && wrong.is("takes each name once only") {
            return None;
        }
        found.push(("name".to_owned(), shown_name(bytes)));
    }
    Some(found)
}

fn shown_name(bytes: &[u8]) -> Value {
    let mut all = Map::new();
    crate::show::bytes(&mut all, "filename", bytes);
    Value::Object(all)
}

/// The body of the answer to a `fetch` of so many names.
fn fetched(body: &[u8], count: u64, wrong: Wrong) -> Found {
    if body.len() > 262_144 && !wrong.is("takes files of any length together") {
        return None;
    }
    let (mut found, mut rest, mut files) = (Vec::new(), body, 0);
    while !rest.is_empty() {
        if wrong.is("skips a line feed behind a file")
            && let Some(after) = rest.strip_prefix(b"\n")
        {
            rest = after;
            continue;
        }
        let end = match rest.iter().position(|byte| *byte == b'\n') {
            None if wrong.is("takes a last line of fetch without a line feed") => rest.len(),
            end => end?,
        };
        let most = if wrong.is("takes a longer line of fetch") { usize::MAX } else { LINE };
        if end + 1 > most {
            return None;
        }
        let all = known_in_fetched(&object(&rest[..end], wrong).ok()?, wrong)?;
        let after = rest.get(end + 1..).unwrap_or_default();
        let is_refused = match wrong.is("takes a line with a size for a file") {
            true => !all.contains_key("filesize"),
            false => all.contains_key("code"),
        };
        let (shown, bytes, after) = if is_refused {
            let absent = |field: &str| match field {
                "message" if wrong.is("takes a refused file without a message") => Some(json!("")),
                "retry" if wrong.is("takes a refused file without retry") => Some(json!(false)),
                _ => None,
            };
            let mut shown = Map::new();
            for field in ["code", "message", "retry"] {
                shown.insert(field.to_owned(), all.get(field).cloned().or_else(|| absent(field))?);
            }
            let size = match wrong.is("takes bytes behind a refused file") {
                true => all.get("filesize").and_then(Value::as_u64).unwrap_or(0),
                false => 0,
            };
            let (_, after) = after.split_at_checked(usize::try_from(size).ok()?)?;
            (("refused".to_owned(), Value::Object(shown)), &b""[..], after)
        } else {
            let mut shown = all;
            shown.retain(|field, _| ["filesize", "mode", "mtime"].contains(&field.as_str()));
            if wrong.is("takes a fetched file without a size for an empty one") {
                shown.entry("filesize").or_insert(json!(0));
            }
            let size = shown.get("filesize")?.as_u64()?;
            if size > 131_072 && !wrong.is("takes a fetched file of any size") {
                return None;
            }
            let size = usize::try_from(size).ok()?;
            let cuts = wrong.is("takes a cut file of fetch");
            let size = if cuts { size.min(after.len()) } else { size };
            let (bytes, after) = after.split_at_checked(size)?;
            (("file".to_owned(), Value::Object(shown)), bytes, after)
        };
        found.push(shown);
        if !bytes.is_empty() {
            found.push(("body".to_owned(), json!(data_encoding::HEXLOWER.encode(bytes))));
        }
        (rest, files) = (after, files + 1);
    }
    let most = if wrong.is("takes more files than names") { u64::MAX } else { count };
    let least = u64::from(!wrong.is("takes an answer to fetch without a line"));
    (least..=most).contains(&files).then_some(found)
}

fn bitmap(body: &[u8], wrong: Wrong) -> Vec<(String, Value)> {
    let mut bytes = body.to_vec();
    if wrong.is("reads a bitmap from its last byte") {
        bytes.reverse();
    }
    let has = |number: &usize| {
        let bit = number % 8;
        let bit = if wrong.is("counts bits from the most significant") { 7 - bit } else { bit };
        bytes[number / 8] >> bit & 1 == 1
    };
    let first = usize::from(wrong.is("counts the numbers of a bitmap from 1"));
    let numbers = (0..8 * bytes.len()).filter(has);
    numbers.map(|number| ("number".to_owned(), json!(number + first))).collect()
}

fn letters(body: &[u8], wrong: Wrong) -> Found {
    let mut found = Vec::new();
    for letter in body {
        let letter = match wrong.is("takes letters in either case") {
            true if *letter != b'D' => letter.to_ascii_lowercase(),
            _ => *letter,
        };
        let word = match letter {
            b'=' => "same",
            b'+' => "missing",
            b'D' => "directory",
            b'd' if wrong.is("takes the letter d for a directory") => "directory",
            b'k' => "kind",
            b's' => "size",
            b'l' => "target",
            b'd' => "digest",
            b't' => "mtime",
            b'm' => "mode",
            b'\n' if wrong.is("skips line feeds between letters") => continue,
            _ if wrong.is("refuses an unknown letter") => return None,
            _ if wrong.is("takes an unknown letter for the same") => "same",
            _ => "differs",
        };
        found.push((word.to_owned(), Value::Null));
    }
    Some(found)
}
