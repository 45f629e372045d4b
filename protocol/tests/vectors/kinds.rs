//! The types and ranges of fields, as the second decoder checks them (PROTOCOL.md, sections 3.3 to 3.6 and 11.2).

use serde_json::{Map, Value, json};

use crate::json::Json;
use crate::second_texts::{pin, token};
use crate::wrong::Wrong;

/// A type of fields.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
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
    Token,
    Account,
    Pin,
}

use Kind::{
    Account, Bool, Count, Hex, Limits, Mode, Mtime, Number, Pin, String as Any, Strings,
    Text as Short, Token,
};

const MTIME: [&str; 2] = ["s", "ns"];
const LIMITS: [&str; 5] = ["max_header", "max_body", "window_requests", "window_bytes", "max_file"];
const ACCOUNT: [(&str, Kind); 7] = [
    ("name", Short),
    ("rights", Strings),
    ("expires", Mtime),
    ("quota_bytes", Number),
    ("used_bytes", Number),
    ("quota_files", Number),
    ("used_files", Number),
];
const MAX: i128 = (1 << 53) - 1;

/// The value, if it is of that kind.
pub(crate) fn of_kind(kind: Kind, value: &Json, wrong: Wrong) -> Option<Value> {
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
            let s = match wrong.is("takes any seconds") {
                true => i64::MAX.into(),
                false if wrong.is("holds seconds in 32 bits") => i32::MAX.into(),
                false => MAX,
            };
            let least = if wrong.is("takes no mtime before 1970") { 0 } else { -s };
            object(value, &MTIME, &MTIME, wrong, |name, value| {
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
        (Limits, value) => {
            object(value, &LIMITS, &LIMITS, wrong, |_, value| of_kind(Number, value, wrong))?
        }
        (Account, value) => account(value, wrong)?,
        (Token, text) => {
            let text = of_kind(Any, text, wrong)?;
            let is_sound = token(text.as_str()?, wrong).is_some();
            if !is_sound && wrong.is("takes a string that is no access token for malformed") {
                return None;
            }
            if is_sound { text } else { json!(false) }
        }
        (Pin, text) => {
            let text = of_kind(Any, text, wrong)?;
            let is_written = |text: &str| {
                let groups = text.strip_prefix("haul1-").map(|rest| rest.split('-'));
                groups.is_some_and(|mut groups| groups.all(|group| group.len() == 5))
                    && !text.contains(|c: char| c.is_ascii_uppercase())
            };
            let is_one_form =
                wrong.is("takes a pin in any form on the wire") || is_written(text.as_str()?);
            let is_pin = wrong.is("takes any string for a pin")
                || (is_one_form && pin(text.as_str()?, wrong).is_some());
            is_pin.then_some(text)?
        }
        _ => return None,
    })
}

/// The object `account`, with the fields that say something.
fn account(value: &Json, wrong: Wrong) -> Option<Value> {
    let names = ACCOUNT.map(|(name, _)| name);
    let required = if wrong.is("takes an account without rights") { 1 } else { 2 };
    let mut found = object(value, &names, &names[..required], wrong, |name, value| {
        let (_, kind) = ACCOUNT.iter().find(|(known, _)| *known == name)?;
        match kind {
            Mtime => {
                let least = if wrong.is("takes no end before 1970") { 0 } else { -MAX };
                Some(json!(i64::try_from(integer(value, least, MAX, wrong)?).ok()?))
            }
            kind => of_kind(*kind, value, wrong),
        }
    })?;
    let known = ["put", "replace", "delete", "list", "get", "publish"];
    let rights = found["rights"].as_array().cloned().unwrap_or_default();
    let is_known = |word: &Value| known.iter().any(|known| word == known);
    if wrong.is("refuses an unknown right") && !rights.iter().all(is_known) {
        return None;
    }
    if !wrong.is("keeps unknown rights") {
        found["rights"] = json!(
            known.iter().filter(|word| rights.iter().any(|it| it == **word)).collect::<Vec<_>>()
        );
    }
    for (quota, used) in [("quota_bytes", "used_bytes"), ("quota_files", "used_files")] {
        let is_whole = found.get(quota).is_some() && found.get(used).is_some();
        if !is_whole && !wrong.is("tells a quota without its use") {
            let fields = found.as_object_mut()?;
            fields.remove(quota);
            fields.remove(used);
        }
    }
    Some(found)
}

fn object(
    value: &Json,
    names: &[&str],
    required: &[&str],
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
    for name in required {
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
