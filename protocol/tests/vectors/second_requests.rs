//! Requests of both dialects, as the second decoder reads them.

use serde_json::{Map, Value, json};

use crate::names::{name, target};
use crate::second::{BODY, Class, length, need};
use crate::wrong::Wrong;

pub(crate) fn classic(
    command: &str,
    found: &Map<String, Value>,
    wrong: Wrong,
) -> Result<(Value, u64), Class> {
    let size = |field| found.get(field).and_then(Value::as_u64).unwrap_or(0);
    if command != "put" {
        let len = match wrong.is("skips a body of an unknown classic command") {
            true => size("length").max(size("filesize")),
            false => 0,
        };
        return Ok((json!({"is": "classic_unknown", "cmd": command}), len));
    }
    need(found, "filename")?;
    need(found, "filesize")?;
    let mut alone = found.clone();
    if !wrong.is("refuses a classic name in both fields") {
        alone.remove("filename_b64");
    }
    let mut shown = json!({"is": "classic_put", "filesize": size("filesize")});
    let (field, value) = match name(&alone, "filename", wrong) {
        Ok(Some(named)) => named,
        _ => ("bad_name".to_owned(), json!(true)),
    };
    shown[field] = value;
    let len = match wrong.is("takes the length of a classic body from length") {
        true => size("length"),
        false if wrong.is("limits a classic body") && size("filesize") > BODY => {
            return Err("body_too_long");
        }
        false => size("filesize"),
    };
    Ok((shown, len))
}

/// The fields of each command, required ones with a star; `@` stands for mode and mtime.
const COMMANDS: [(&str, &[&str]); 19] = [
    ("put", &["filename*", "filesize*", "blake3*", "@"]),
    ("bundle", &["count*", "blake3*"]),
    ("open", &["filename*", "filesize*", "fingerprint*", "replace", "@"]),
    ("part", &["upload*", "offset*", "cv*"]),
    ("commit", &["upload*", "blake3*"]),
    ("abort", &["upload*"]),
    ("mkdir", &["filename*", "mode", "replace"]),
    ("symlink", &["filename*", "target*", "mtime"]),
    ("setattr", &["filename*", "kind", "@"]),
    ("remove", &["filename*"]),
    ("rename", &["filename*", "to*", "replace"]),
    ("rollback", &["filename*", "again", "upload", "repeated"]),
    ("check", &["reread"]),
    ("adopt", &[]),
    ("publish", &["@", "files"]),
    ("list", &["filename", "after"]),
    ("get", &["filename*", "offset*", "part_size*", "state", "whole"]),
    ("fetch", &[]),
    ("ping", &[]),
];

pub(crate) fn request(
    command: &str,
    found: &mut Map<String, Value>,
    wrong: Wrong,
) -> Result<(Value, u64), Class> {
    let (mut length, id) = (length(found, wrong)?, need(found, "id")?);
    if wrong.is("takes an absent length of a put for its filesize") && !found.contains_key("length")
    {
        length = found.get("filesize").and_then(Value::as_u64).unwrap_or(0);
    }
    let refused = |code: &str| {
        let shown = json!({"is": "refused", "id": id, "length": length, "code": code});
        let skipped = if wrong.is("skips no body of a refused request") { 0 } else { length };
        Ok((shown, skipped))
    };
    let fields = COMMANDS.iter().find(|(known, _)| *known == command).map(|(_, fields)| *fields);
    let lacks = |fields: &[&str], found: &Map<String, Value>| {
        fields
            .iter()
            .filter_map(|field| field.strip_suffix('*'))
            .any(|field| !found.contains_key(field) && !found.contains_key(&format!("{field}_b64")))
    };
    if wrong.is("looks for missing fields before names") && lacks(fields.unwrap_or_default(), found)
    {
        return Err("missing");
    }
    let mut shown = json!({"is": command, "id": id, "length": length});
    let mut named = |field: &str, read: Result<Option<(String, Value)>, ()>| match read {
        Ok(Some((form, value))) => {
            if fields.unwrap_or_default().iter().any(|known| known.trim_end_matches('*') == field) {
                shown[form] = value;
            }
            true
        }
        Ok(None) => true,
        Err(()) => false,
    };
    let needs_none = fields.is_some_and(|fields| !fields.iter().any(|f| f.starts_with("filename")));
    let unchecked = (command == "bundle" && !wrong.is("checks the name of a bundle"))
        || (needs_none && wrong.is("checks no name of a request that needs none"))
        || (fields.is_none() && wrong.is("checks no name of an unknown command"));
    let sound = (unchecked || named("filename", name(found, "filename", wrong)))
        && (command != "symlink" || named("target", target(found, wrong)))
        && (command != "list"
            || wrong.is("does not check after")
            || named("after", name(found, "after", wrong)))
        && ((command != "rename" && !wrong.is("checks the new name of every request"))
            || wrong.is("does not check the new name")
            || named("to", name(found, "to", wrong)));
    if !sound {
        return if wrong.is("ends at a bad name") { Err("json") } else { refused("bad_name") };
    }
    let Some(fields) = fields else {
        return match wrong.is("ends at an unknown command") {
            true => Err("missing"),
            false => refused("unknown_command"),
        };
    };
    if lacks(fields, found) && !wrong.is("takes requests without their fields") {
        return Err("missing");
    }
    let kind = found.get("kind").and_then(Value::as_str);
    let odd = command == "setattr" && !matches!(kind, None | Some("file" | "directory"));
    let differs = command == "put" && found.get("filesize") != Some(&json!(length));
    let no_body = !["put", "part", "check", "bundle", "adopt", "fetch"].contains(&command);
    let no_body = no_body || (command == "fetch" && wrong.is("takes no body of a fetch"));
    let no_part = command == "get" && !is_part(found, wrong);
    if (odd && !wrong.is("takes any kind in setattr"))
        || no_part
        || (differs && !wrong.is("takes a put whose length is not its filesize"))
        || (no_body && length > 0 && !wrong.is("takes a body where none belongs"))
    {
        return refused("bad_request");
    }
    for field in fields.iter().map(|field| field.trim_end_matches('*')) {
        for field in if field == "@" { vec!["mode", "mtime"] } else { vec![field] } {
            let is_default = |value: &&Value| **value == json!(false) || **value == "directory";
            let is_name = ["filename", "target", "after", "to"].contains(&field);
            if let Some(value) = found.get(field).filter(|value| !is_name && !is_default(value)) {
                shown[field] = value.clone();
            }
        }
    }
    Ok((shown, length))
}

/// Whether `offset` and `part_size` of a `get` are those of a part.
fn is_part(found: &Map<String, Value>, wrong: Wrong) -> bool {
    let number = |field| found.get(field).and_then(Value::as_u64).unwrap_or(0);
    let (offset, part_size) = (number("offset"), number("part_size"));
    let most = match wrong.is("takes parts of any size") {
        true => u64::MAX,
        false if wrong.is("takes no part of the largest size") => BODY - 1,
        false => BODY,
    };
    let least = match wrong.is("takes parts of half a chunk") {
        true => 512,
        false if wrong.is("takes no part of one chunk") => 1025,
        false => 1024,
    };
    let is_length = (least..=most).contains(&part_size)
        && (part_size.is_power_of_two() || wrong.is("takes a part size that is no power of two"));
    is_length && (offset % part_size == 0 || wrong.is("takes a get from any offset"))
}
