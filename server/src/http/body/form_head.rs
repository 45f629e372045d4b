//! The head of one part of a form: which field of the form it is, and the name of its file.

use crate::http::status::Wrong;

/// The meaning of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disposition {
    /// The field of the form.
    pub(crate) field: String,
    /// The name of the file, if it is one; empty if no file was chosen.
    pub(crate) file: Option<String>,
}

/// Reads a head with its empty line, whose lines all end with CR LF.
pub(super) fn disposition(head: &[u8]) -> Result<Disposition, Wrong> {
    let head = std::str::from_utf8(head).map_err(|_| Wrong::bad("a part's head is not UTF-8"))?;
    let mut found = None;
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or(Wrong::bad("a field of a part"))?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(Wrong::bad("the name of a part's field"));
        }
        let value = value.trim_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("content-disposition") {
            if found.replace(value).is_some() {
                return Err(Wrong::bad("a part with two dispositions"));
            }
        } else if name.eq_ignore_ascii_case("content-transfer-encoding")
            && !["binary", "8bit", "7bit"].iter().any(|known| value.eq_ignore_ascii_case(known))
        {
            return Err(Wrong::bad("a part that is encoded"));
        }
    }
    let value = found.ok_or(Wrong::bad("a part without a disposition"))?;
    let mut parameters = match value.split_at_checked("form-data".len()) {
        Some((kind, rest)) if kind.eq_ignore_ascii_case("form-data") => rest,
        _ => return Err(Wrong::bad("a part that is no field of a form")),
    };
    let (mut field, mut file) = (None, None);
    while let Some((name, value)) = parameter(&mut parameters)? {
        let place = if name.eq_ignore_ascii_case("name") {
            &mut field
        } else if name.eq_ignore_ascii_case("filename") {
            &mut file
        } else {
            return Err(Wrong::bad("a part's disposition has more than name and filename"));
        };
        if place.replace(unescape(value)).is_some() {
            return Err(Wrong::bad("a part with two names"));
        }
    }
    let field = field.ok_or(Wrong::bad("a part without a name"))?;
    Ok(Disposition { field, file })
}

/// Takes `; name="value"` from the front.
fn parameter<'a>(text: &mut &'a str) -> Result<Option<(&'a str, &'a str)>, Wrong> {
    let wrong = Wrong::bad("the disposition of a part");
    if text.is_empty() {
        return Ok(None);
    }
    let rest = text.strip_prefix(';').ok_or(wrong)?.trim_start_matches(' ');
    let (name, rest) = rest.split_once('=').ok_or(wrong)?;
    let (value, rest) =
        rest.strip_prefix('"').and_then(|rest| rest.split_once('"')).ok_or(wrong)?;
    *text = rest;
    Ok(Some((name, value)))
}

/// The three characters that browsers encode in a name, as the standard of HTML has them encode these and no others.
fn unescape(value: &str) -> String {
    value.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}
