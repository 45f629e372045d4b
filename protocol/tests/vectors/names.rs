//! Names and targets of links, as the second decoder reads them (PROTOCOL.md, section 3.4).

use data_encoding::{BASE64, BASE64_NOPAD, Encoding};
use serde_json::{Map, Value, json};

use crate::wrong::Wrong;

type Named = Result<Option<(String, Value)>, ()>;

/// A name, under the field that has it.
pub(crate) fn name(found: &Map<String, Value>, field: &str, wrong: Wrong) -> Named {
    let Some((form, value, bytes)) = bytes(found, field, wrong)? else { return Ok(None) };
    is_name(&bytes, wrong).then_some(Some((form, value))).ok_or(())
}

/// The target of a link, under the field that has it.
pub(crate) fn target(found: &Map<String, Value>, wrong: Wrong) -> Named {
    let Some((form, value, bytes)) = bytes(found, "target", wrong)? else { return Ok(None) };
    let most = match wrong.is("takes a target of any length") {
        true => usize::MAX,
        false => 4095 - usize::from(wrong.is("takes no target of the longest length")),
    };
    let least = usize::from(!wrong.is("takes an empty target"));
    let sound = (least..=most).contains(&bytes.len())
        && (!bytes.contains(&0) || wrong.is("takes a NUL in a target"))
        && (!wrong.is("takes only names for targets") || is_name(&bytes, wrong));
    sound.then_some(Some((form, value))).ok_or(())
}

type Form = (String, Value, Vec<u8>);

fn bytes(found: &Map<String, Value>, field: &str, wrong: Wrong) -> Result<Option<Form>, ()> {
    let other = format!("{field}_b64");
    match (found.get(field), found.get(&other)) {
        (None, None) => Ok(None),
        (Some(text), Some(base64)) if !wrong.is("takes the text of a name in both fields") => {
            let text = text.as_str().unwrap_or_default().to_owned();
            let is_same = *base64 == json!(BASE64.encode(text.as_bytes()));
            match is_same && wrong.is("takes the same name in both fields") {
                true => Ok(Some((field.to_owned(), json!(text), text.into_bytes()))),
                false => Err(()),
            }
        }
        (Some(text), _) => {
            let bytes = text.as_str().unwrap_or_default().as_bytes().to_vec();
            Ok(Some((field.to_owned(), text.clone(), bytes)))
        }
        (None, Some(base64)) => {
            let text = base64.as_str().unwrap_or_default();
            if text.is_empty() && wrong.is("takes an empty name in base64 for none") {
                return Ok(None);
            }
            let bytes = decoder(wrong).decode(padded(text, wrong).as_bytes()).map_err(|_| ())?;
            if std::str::from_utf8(&bytes).is_ok() && !wrong.is("takes base64 of a name in UTF-8") {
                return Err(());
            }
            Ok(Some((other, json!(BASE64.encode(&bytes)), bytes)))
        }
    }
}

fn padded(text: &str, wrong: Wrong) -> &str {
    match wrong.is("takes base64 without padding") {
        true => text.trim_end_matches('='),
        false => text,
    }
}

fn decoder(wrong: Wrong) -> Encoding {
    if wrong.is("takes base64 without padding") {
        return BASE64_NOPAD;
    }
    if wrong.is("takes base64 with bits behind its end") {
        let mut loose = BASE64.specification();
        loose.check_trailing_bits = false;
        return loose.encoding().unwrap_or(BASE64);
    }
    BASE64
}

/// Whether the bytes are a name.
pub(crate) fn is_name(bytes: &[u8], wrong: Wrong) -> bool {
    let most = if wrong.is("takes a name of any length") { usize::MAX } else { 4096 };
    let len = match wrong.is("counts a name in characters") {
        true => String::from_utf8_lossy(bytes).chars().count(),
        false => bytes.len(),
    };
    if len > most || (bytes.contains(&0) && !wrong.is("takes a NUL in a name")) {
        return false;
    }
    let text = String::from_utf8_lossy(bytes);
    if text.chars().any(char::is_control) && wrong.is("refuses control characters in a name") {
        return false;
    }
    if text.split('/').any(|part| part.trim() != part)
        && wrong.is("refuses spaces around a component")
    {
        return false;
    }
    if text.starts_with('-') && wrong.is("refuses a name that looks like an option") {
        return false;
    }
    if bytes.contains(&b'\\') && wrong.is("takes a backslash for a separator") {
        return false;
    }
    if wrong.is("takes UTF-8 names only") && std::str::from_utf8(bytes).is_err() {
        return false;
    }
    let mut components: Vec<&[u8]> = bytes.split(|byte| *byte == b'/').collect();
    if wrong.is("takes an absolute name") && components.len() > 1 && components[0].is_empty() {
        components.remove(0);
    }
    if wrong.is("takes a slash at the end") && components.last().is_some_and(|last| last.is_empty())
    {
        components.pop();
    }
    if wrong.is("takes two slashes in a row") && !bytes.starts_with(b"/") && !bytes.ends_with(b"/")
    {
        components.retain(|component| !component.is_empty());
    }
    components.iter().enumerate().all(|(index, component)| {
        let len = match wrong.is("counts a component in characters") {
            true => String::from_utf8_lossy(component).chars().count(),
            false => component.len(),
        };
        let most = if wrong.is("takes a component of any length") { usize::MAX } else { 255 };
        let is_reserved = match wrong.is("reserves .haul in lower case only") {
            true => *component == b".haul",
            false if wrong.is("reserves every name that begins with .haul") => {
                component.to_ascii_lowercase().starts_with(b".haul")
            }
            false => component.eq_ignore_ascii_case(b".haul"),
        };
        let reserved = is_reserved
            && (index == 0 || wrong.is("reserves .haul in every directory"))
            && !wrong.is("reserves no name");
        let dots = (*component == b"." && !wrong.is("takes the component ."))
            || (*component == b".." && !wrong.is("takes the component .."))
            || (component.starts_with(b"..")
                && wrong.is("refuses every component that begins with .."));
        (1..=most).contains(&len) && !reserved && !dots
    })
}
