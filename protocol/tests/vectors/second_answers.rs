//! Answers, as the second decoder reads them.

use serde_json::{Map, Value, json};

use crate::second::{Class, length, need};
use crate::wrong::Wrong;

pub(crate) fn answer(found: &Map<String, Value>, wrong: Wrong) -> Result<(Value, u64), Class> {
    let length = length(found, wrong)?;
    let kinds: Vec<_> = ["hello", "ack", "refused", "answer"]
        .into_iter()
        .filter(|kind| found.contains_key(*kind))
        .filter(|kind| !(wrong.is("takes an ack of 0 for none") && found[*kind] == json!(0)))
        .collect();
    let kind = match kinds[..] {
        [kind] => kind,
        [kind, ..] if wrong.is("takes the first of two kinds of answer") => kind,
        [] if wrong.is("skips an answer of no kind") => return Ok((json!({"is": "none"}), length)),
        _ => return Err("unknown_answer"),
    };
    let copy = |is: &str, fields: &[&str]| {
        let mut shown = json!({"is": is});
        for field in fields {
            shown[*field] = match need(found, field) {
                Ok(value) => value,
                Err(_) if *field == "retry" && wrong.is("takes an absent retry for no") => {
                    json!(false)
                }
                Err(_) if *field == "message" && wrong.is("takes an absent message for none") => {
                    json!("")
                }
                Err(class) => return Err(class),
            };
        }
        Ok(shown)
    };
    let mut shown = match kind {
        "hello" => {
            let mut shown = copy("hello", &["agent", "limits", "durability"])?;
            shown["version"] = found["hello"].clone();
            shown["features"] = match found.get("features") {
                None if wrong.is("needs a list that may be absent") => return Err("missing"),
                features => features.cloned().unwrap_or_else(|| json!([])),
            };
            if let Some(token) = found.get("upload") {
                shown["upload"] = token.clone();
                let absent = || json!(wrong.is("takes an absent resumed for yes"));
                shown["resumed"] = found.get("resumed").cloned().unwrap_or_else(absent);
            }
            for field in ["account", "next_pin"] {
                if let Some(value) = found.get(field) {
                    shown[field] = value.clone();
                }
            }
            shown
        }
        "refused" => {
            let shown = copy("refused", &["code", "message", "retry"])?;
            if wrong.is("refuses an unknown code") && !is_known(&shown["code"]) {
                return Err("json");
            }
            shown
        }
        "answer" if found.contains_key("upload") => match found.contains_key("part_size") {
            false if wrong.is("takes an upload without the size of its parts") => {
                copy("opened", &["upload"])?
            }
            _ => copy("opened", &["upload", "part_size"])?,
        },
        "answer"
            if found.contains_key("state")
                && !(found.contains_key("more") && wrong.is("looks for more before state")) =>
        {
            let fields: &[&str] = match wrong.is("takes a part without the size of its file") {
                true => &["state"],
                false => &["filesize", "state"],
            };
            let mut shown = copy("part", fields)?;
            for field in ["filesize", "mode", "mtime", "cv", "blake3"] {
                shown[field] = found.get(field).cloned().unwrap_or_default();
            }
            shown.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
            shown
        }
        "answer"
            if found.contains_key("filesize")
                && wrong.is("takes a part without the state of its file") =>
        {
            copy("part", &["filesize"])?
        }
        "answer"
            if found.contains_key("more")
                && found.contains_key("blake3")
                && !wrong.is("takes the answer to fetch for a list") =>
        {
            copy("fetched", &["more", "blake3"])?
        }
        "answer" if found.contains_key("more") => {
            let mut shown = copy("listed", &["more"])?;
            if let Some(count) = found.get("left_out").filter(|count| **count != json!(0))
                && !wrong.is("takes a list for whole that is not")
            {
                shown["left_out"] = count.clone();
            }
            shown
        }
        "answer"
            if found.contains_key("files")
                && wrong.is("takes a version without the time of its publish") =>
        {
            copy("version", &["files"])?
        }
        "answer" if found.contains_key("published") => {
            let mut shown = copy("version", &["published"])?;
            if let Some(files) = found.get("files") {
                shown["files"] = files.clone();
            }
            shown
        }
        "answer" => json!({"is": "answered"}),
        _ => json!({"is": "ack"}),
    };
    if kind != "hello" {
        shown["id"] = found[kind].clone();
        if wrong.is("takes no answer about the id 0") && found[kind] == json!(0) {
            return Err("json");
        }
    }
    if kind == "answer" {
        shown["length"] = json!(length);
    }
    let skips = kind != "answer" && wrong.is("reads bodies of an answer by id only");
    Ok((shown, if skips { 0 } else { length }))
}

fn is_known(code: &Value) -> bool {
    haul_protocol::Code::all().any(|known| code == known.as_str())
}
