//! The fields that the second decoder knows, by their types and ranges (PROTOCOL.md, section 3.7).

use serde_json::{Map, Value};

use crate::json::{Json, Text};
use crate::kinds::{Kind, of_kind};
use crate::vector::Side;
use crate::wrong::Wrong;

use Kind::{
    Account, Bool, Count, Hex, Limits, Mode, Mtime, Number, Pin, String as Any, Strings,
    Text as Short, Token,
};

const REQUEST: [(&str, Kind); 35] = [
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
    ("reread", Bool),
    ("whole", Bool),
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
    ("token", Token),
    ("part_size", Number),
    ("state", Hex(32)),
];
const KIND: (&str, Kind) = ("kind", Any);
const ANSWER: [(&str, Kind); 27] = [
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
    ("left_out", Number),
    ("published", Mtime),
    ("files", Number),
    ("agent", Short),
    ("durability", Short),
    ("limits", Limits),
    ("features", Strings),
    ("account", Account),
    ("next_pin", Pin),
    ("filesize", Number),
    ("state", Hex(32)),
    ("blake3", Hex(64)),
    ("cv", Hex(64)),
    ("mode", Mode),
    ("mtime", Mtime),
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
/// Those of a line in the answer to `fetch`.
const FETCHED: [(&str, Kind); 6] = [
    ("filesize", Number),
    ("mode", Mode),
    ("mtime", Mtime),
    ("code", Any),
    ("message", Any),
    ("retry", Bool),
];
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

/// The known fields of a line in the answer to `fetch`.
pub(crate) fn known_in_fetched(
    fields: &[(Text, Json)],
    wrong: Wrong,
) -> Option<Map<String, Value>> {
    let mut kinds: Vec<_> = FETCHED.iter().collect();
    if wrong.is("knows the fields of an entry in a line of fetch") {
        let is_known = |name: &str| FETCHED.iter().any(|(known, _)| *known == name);
        kinds.extend(ENTRY.iter().filter(|(name, _)| !is_known(name)));
    }
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
        if name.text.is_empty() && wrong.is("refuses a field without a name") {
            return None;
        }
        if name.half && !wrong.is("takes half a surrogate pair in the name of a field") {
            return None;
        }
        let is_it = |known: &str| match wrong.is("knows fields in upper and lower case") {
            true => known.eq_ignore_ascii_case(&name.text),
            false => known == name.text,
        };
        let Some((_, kind)) = kinds.iter().find(|(known, _)| is_it(known)) else {
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
