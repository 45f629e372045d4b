//! The fields that the second decoder knows, by their types and ranges (PROTOCOL.md, section 3.7).

use serde_json::{Map, Value, json};

use crate::json::{Json, Text};
use crate::vector::Side;
use crate::wrong::Wrong;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Number,
    Text,
    String,
    Strings,
    Bool,
    Hex(usize),
    Count,
    Mode,
    Mtime,
    Limits,
}

use Kind::{Bool, Count, Hex, Limits, Mode, Mtime, Number, String as Any, Strings, Text as Short};

const REQUEST: [(&str, Kind); 30] = [
    ("cmd", Any),
    ("id", Number),
    ("length", Number),
    ("filename", Any),
    ("filename_b64", Any),
    ("filesize", Number),
    ("blake3", Hex(64)),
    ("mode", Mode),
    ("mtime", Mtime),
    ("fingerprint", Short),
    ("replace", Bool),
    ("again", Bool),
    ("repeated", Bool),
    ("files", Number),
    ("to", Any),
    ("to_b64", Any),
    ("count", Count),
    ("upload", Hex(32)),
    ("offset", Number),
    ("cv", Hex(64)),
    ("target", Any),
    ("target_b64", Any),
    ("after", Any),
    ("after_b64", Any),
    ("version", Number),
    ("agent", Short),
    ("client", Short),
    ("identity", Short),
    ("slot", Number),
    ("must", Strings),
];
const KIND: (&str, Kind) = ("kind", Any);
const ANSWER: [(&str, Kind); 18] = [
    ("hello", Number),
    ("ack", Number),
    ("refused", Number),
    ("answer", Number),
    ("length", Number),
    ("code", Any),
    ("message", Any),
    ("retry", Bool),
    ("upload", Hex(32)),
    ("resumed", Bool),
    ("part_size", Number),
    ("more", Bool),
    ("published", Mtime),
    ("files", Number),
    ("agent", Short),
    ("durability", Short),
    ("limits", Limits),
    ("features", Strings),
];
const ENTRY: [(&str, Kind); 9] = [
    ("kind", Any),
    ("filename", Any),
    ("filename_b64", Any),
    ("filesize", Number),
    ("blake3", Hex(64)),
    ("mode", Mode),
    ("mtime", Mtime),
    ("target", Any),
    ("target_b64", Any),
];
const MTIME: [&str; 2] = ["s", "ns"];
const LIMITS: [&str; 5] = ["max_header", "max_body", "window_requests", "window_bytes", "max_file"];
const MAX: i128 = (1 << 53) - 1;

/// The known fields of a header. `None`: one of them is doubled, or has a wrong type or range.
pub(crate) fn known(
    side: Side,
    fields: &[(Text, Json)],
    wrong: Wrong,
) -> Option<Map<String, Value>> {
    let kinds: Vec<_> = match side {
        Side::Requests => REQUEST.iter().chain([&KIND]).collect(),
        Side::Answers => ANSWER.iter().collect(),
    };
    known_of(&kinds, fields, wrong)
}

/// The known fields of a line of entries.
pub(crate) fn known_in_entry(fields: &[(Text, Json)], wrong: Wrong) -> Option<Map<String, Value>> {
    let mut kinds: Vec<_> = ENTRY.iter().collect();
    if wrong.is("knows the fields of requests in an entry") {
        kinds.extend(
            REQUEST.iter().filter(|(name, _)| !ENTRY.iter().any(|(known, _)| known == name)),
        );
    }
    if wrong.is("knows only the fields of its kind in an entry") {
        let is_file =
            |(_, value): &(Text, Json)| matches!(value, Json::Text(text) if text.text == "file");
        let others = ["filesize", "blake3"];
        kinds.retain(|(name, _)| !others.contains(name) || fields.iter().any(is_file));
    }
    known_of(&kinds, fields, wrong)
}

fn known_of(
    kinds: &[&(&str, Kind)],
    fields: &[(Text, Json)],
    wrong: Wrong,
) -> Option<Map<String, Value>> {
    let mut found = Map::new();
    let is_ping = fields.iter().any(|(name, value)| {
        name.text == "cmd" && matches!(value, Json::Text(text) if text.text == "ping")
    });
    let mut unknown = Vec::new();
    for (name, value) in fields {
        if name.half && !wrong.is("takes half a surrogate pair in the name of a field") {
            return None;
        }
        let Some((_, kind)) = kinds.iter().find(|(known, _)| *known == name.text) else {
            let doubled =
                unknown.contains(&&name.text) && wrong.is("refuses a doubled unknown field");
            if doubled
                || wrong.is("refuses unknown fields")
                || (wrong.is("refuses odd values of unknown fields") && is_odd(value))
            {
                return None;
            }
            unknown.push(&name.text);
            continue;
        };
        if is_ping
            && !["cmd", "id", "length", "filename", "filename_b64"].contains(&name.text.as_str())
            && wrong.is("knows only the fields of the command")
        {
            continue;
        }
        if *value == Json::Null && wrong.is("takes null for an absent field") {
            continue;
        }
        let value = of_kind(*kind, value, wrong)?;
        if found.insert(name.text.clone(), value).is_some()
            && !wrong.is("takes the last of doubled fields")
        {
            return None;
        }
    }
    Some(found)
}

/// Whether the value holds half a surrogate pair, or a number that no reader holds.
fn is_odd(value: &Json) -> bool {
    match value {
        Json::Text(text) => text.half,
        Json::Number(raw) => raw.parse().is_ok_and(|number: f64| number.is_infinite()),
        Json::Array(all) => all.iter().any(is_odd),
        Json::Object(all) => all.iter().any(|(name, value)| name.half || is_odd(value)),
        Json::Null | Json::Bool(_) => false,
    }
}

fn of_kind(kind: Kind, value: &Json, wrong: Wrong) -> Option<Value> {
    Some(match (kind, value) {
        (Number | Count | Mode, value) => {
            let most = match kind {
                Count if wrong.is("takes any count") => MAX,
                Count => 256,
                Mode if wrong.is("takes modes of permission bits only") => 0o777,
                Mode if wrong.is("takes any mode") => MAX,
                Mode => 4095,
                _ if wrong.is("takes numbers up to 2^64") => u64::MAX.into(),
                _ if wrong.is("takes the number 2^53") => MAX + 1,
                _ if wrong.is("holds numbers in 32 bits") => u32::MAX.into(),
                _ => MAX,
            };
            let least = i128::from(kind == Count && !wrong.is("takes a count of 0"));
            json!(u64::try_from(integer(value, least, most, wrong)?).ok()?)
        }
        (Any | Short, Json::Text(text)) => {
            if text.half && !wrong.is("replaces half a surrogate pair") {
                return None;
            }
            let len = match wrong.is("counts a text in characters") {
                true => text.text.chars().count(),
                false => text.text.len(),
            };
            let least = usize::from(!wrong.is("takes an empty text"));
            let most = if wrong.is("takes a text of any length") { usize::MAX } else { 128 };
            if kind == Short && !(least..=most).contains(&len) {
                return None;
            }
            json!(text.text)
        }
        (Strings, Json::Array(all)) => {
            let all: Option<Vec<_>> = all.iter().map(|one| of_kind(Any, one, wrong)).collect();
            json!(all?)
        }
        (Strings, Json::Text(text)) if wrong.is("takes a string for a list of strings") => {
            json!([text.text])
        }
        (Bool, Json::Bool(yes)) => json!(yes),
        (Bool, Json::Number(raw)) if wrong.is("takes a number for a boolean") => json!(raw != "0"),
        (Hex(digits), Json::Text(text)) => {
            let is_digit = |b: u8| match b {
                b'0'..=b'9' | b'a'..=b'f' => true,
                b'A'..=b'F' => wrong.is("takes digits in upper case"),
                _ => wrong.is("takes any letters for digits"),
            };
            let is_long = text.text.len() == digits || wrong.is("takes any number of digits");
            (is_long && text.text.bytes().all(is_digit)).then(|| json!(text.text))?
        }
        (Mtime, value) => {
            let ns = if wrong.is("takes any nanoseconds") { MAX } else { 999_999_999 };
            let s = if wrong.is("takes any seconds") { i64::MAX.into() } else { MAX };
            let least = if wrong.is("takes no mtime before 1970") { 0 } else { -s };
            object(value, &MTIME, wrong, |name, value| {
                let (least, most) = if name == "s" { (least, s) } else { (0, ns) };
                if wrong.is("takes -0 in an mtime")
                    && matches!(value, Json::Number(raw) if raw == "-0")
                {
                    return Some(json!(0));
                }
                let number = integer(value, least, most, wrong)?;
                Some(json!(i64::try_from(number).ok()?))
            })?
        }
        (Limits, value) => object(value, &LIMITS, wrong, |_, value| of_kind(Number, value, wrong))?,
        _ => return None,
    })
}

fn object(
    value: &Json,
    names: &[&str],
    wrong: Wrong,
    mut read: impl FnMut(&str, &Json) -> Option<Value>,
) -> Option<Value> {
    let mut found = Map::new();
    match value {
        Json::Object(fields) => {
            for (name, value) in fields {
                if name.half && !wrong.is("takes half a surrogate pair in a name in an object") {
                    return None;
                }
                if !names.contains(&name.text.as_str()) {
                    if wrong.is("refuses unknown fields of an object in a field") {
                        return None;
                    }
                    continue;
                }
                let value = read(&name.text, value)?;
                if found.insert(name.text.clone(), value).is_some()
                    && !wrong.is("takes doubled fields of an object in a field")
                {
                    return None;
                }
            }
        }
        Json::Array(values) if wrong.is("takes an array for an object in a field") => {
            for (name, value) in names.iter().zip(values) {
                found.insert((*name).to_owned(), read(name, value)?);
            }
        }
        _ => return None,
    }
    for name in names {
        if !found.contains_key(*name) {
            if !wrong.is("takes an object in a field that lacks one of its fields") {
                return None;
            }
            found.insert((*name).to_owned(), json!(0));
        }
    }
    Some(Value::Object(found))
}

fn integer(value: &Json, least: i128, most: i128, wrong: Wrong) -> Option<i128> {
    let raw = match value {
        Json::Number(raw) => raw,
        Json::Text(text) if wrong.is("takes a number in a string") => &text.text,
        _ => return None,
    };
    if raw == "-0" && !wrong.is("takes -0") {
        return None;
    }
    let rounded = || raw.parse::<f64>().ok().filter(|number| number.fract() == 0.0);
    let takes = (raw.contains('.') && wrong.is("takes a whole number with a fraction"))
        || (raw.contains(['e', 'E']) && wrong.is("takes an exponent"));
    #[expect(clippy::cast_possible_truncation, reason = "a wrong decoder does that")]
    let number = match raw.parse::<i128>() {
        Ok(number) => number,
        Err(_) if takes => rounded()? as i128,
        Err(_) => return None,
    };
    let number = if number < 0 && wrong.is("takes a negative number as positive") {
        -number
    } else {
        number
    };
    (least..=most).contains(&number).then_some(number)
}
