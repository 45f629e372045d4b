//! The values of a header's fields: their types and ranges in JSON.

use alloc::borrow::Cow;
use alloc::string::ToString;
use core::fmt;
use core::marker::PhantomData;

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::access_token::AccessToken;
use crate::account::AccountObject;
use crate::error::{DecodeError, NameError};
use crate::limits::{
    MAX_BUNDLED, MAX_HEADER_DEPTH, MAX_MODE, MAX_NUMBER, MAX_TEXT_LEN, NANOS_PER_SECOND,
};
use crate::message::{Mtime, ServerLimits};
use crate::name::{LinkTarget, Name};
use crate::pin::Pin;

/// The white space of JSON.
const JSON_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Reads a header as JSON object of `T`.
pub(crate) fn parse<'a, T: Deserialize<'a>>(header: &'a [u8]) -> Result<T, DecodeError> {
    let text = core::str::from_utf8(header).map_err(|e| DecodeError::NotUtf8(e.valid_up_to()))?;
    // A derived struct would accept an array as well.
    if !text.trim_start_matches(JSON_SPACE).starts_with('{') {
        return Err(DecodeError::NotObject);
    }
    if is_too_deep(header) {
        return Err(DecodeError::TooDeep);
    }
    serde_json::from_str(text).map_err(|e| DecodeError::Json(e.to_string()))
}

/// Whether brackets are nested too deep: serde_json skips unknown fields without a limit of depth. Few headers have more
/// brackets than may be nested, and to count those needs no state from byte to byte.
fn is_too_deep(header: &[u8]) -> bool {
    let opening = header.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    opening > MAX_HEADER_DEPTH && depth(header) > MAX_HEADER_DEPTH
}

/// The depth of brackets outside strings.
fn depth(header: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in header {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A string that borrows from the header unless JSON escapes are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_string())))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

/// Present means present: `null` is a wrong type, not an absent field.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

/// A number that every JSON reader holds exactly.
pub(crate) fn number<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    let value = u64::deserialize(d)?;
    if value > MAX_NUMBER {
        return Err(de::Error::custom(format_args!("number {value} is over {MAX_NUMBER}")));
    }
    Ok(Some(value))
}

/// Files of one bundle: 1 to [`MAX_BUNDLED`].
pub(crate) fn count<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    let value = u64::deserialize(d)?;
    if !(1..=MAX_BUNDLED).contains(&value) {
        return Err(de::Error::custom(format_args!(
            "count {value} is not from 1 to {MAX_BUNDLED}"
        )));
    }
    Ok(Some(value))
}

pub(crate) fn mode<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    let value = u32::deserialize(d)?;
    if value > MAX_MODE {
        return Err(de::Error::custom(format_args!("mode {value} is over {MAX_MODE}")));
    }
    Ok(Some(value))
}

/// A nested object. As with headers, a derived struct would accept an array as well.
fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    struct Visitor<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(de::value::MapAccessDeserializer::new(map))
        }
    }
    d.deserialize_map(Visitor(PhantomData))
}

pub(crate) fn mtime<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Mtime>, D::Error> {
    let value: Mtime = object(d)?;
    if value.ns >= NANOS_PER_SECOND || value.s.unsigned_abs() > MAX_NUMBER {
        return Err(de::Error::custom("mtime is out of range"));
    }
    Ok(Some(value))
}

pub(crate) fn limits<'de, D: Deserializer<'de>>(d: D) -> Result<Option<ServerLimits>, D::Error> {
    let value: ServerLimits = object(d)?;
    match value.largest() {
        largest if largest > MAX_NUMBER => {
            Err(de::Error::custom(format_args!("limit {largest} is over {MAX_NUMBER}")))
        }
        _ => Ok(Some(value)),
    }
}

/// The facts of an account.
pub(crate) fn account<'de: 'a, 'a, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<AccountObject<'a>>, D::Error> {
    object(d).map(Some)
}

/// Seconds since 1970, or before.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    let value = i64::deserialize(d)?;
    if value.unsigned_abs() > MAX_NUMBER {
        return Err(de::Error::custom("seconds are out of range"));
    }
    Ok(Some(value))
}

/// A string that becomes a value without a copy of it being kept.
fn string<'de, T, E: fmt::Display, D: Deserializer<'de>>(
    d: D,
    read: fn(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    struct Visitor<T, E>(fn(&str) -> Result<T, E>);
    impl<T, E: fmt::Display> de::Visitor<'_> for Visitor<T, E> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_str<F: de::Error>(self, text: &str) -> Result<T, F> {
            (self.0)(text).map_err(F::custom)
        }
    }
    d.deserialize_str(Visitor(read))
}

/// An access token. A string that is none becomes nobody's, so that a server refuses it as it refuses a wrong one.
pub(crate) fn token<'de, D: Deserializer<'de>>(d: D) -> Result<Option<AccessToken>, D::Error> {
    let token = string(d, |text| match text.parse() {
        Ok(token) if text.trim() == text => Ok::<_, fmt::Error>(token),
        _ => Ok(AccessToken::nobodys()),
    })?;
    Ok(Some(token))
}

pub(crate) fn write_token<S: Serializer>(
    token: &Option<AccessToken>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let text = token.as_ref().map(|token| Zeroizing::new(token.expose()));
    serializer.serialize_str(text.as_ref().map_or("", |text| text.as_str()))
}

/// A pin, in the one form in which a server writes it.
pub(crate) fn pin<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Pin>, D::Error> {
    let pin = string(d, |text| match text.parse::<Pin>() {
        Ok(pin) if pin.to_string() == text => Ok(pin),
        _ => Err("not a pin in its one form"),
    })?;
    Ok(Some(pin))
}

pub(crate) fn write_pin<S: Serializer>(
    pin: &Option<Pin>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match pin {
        Some(pin) => serializer.collect_str(pin),
        None => serializer.serialize_none(),
    }
}

/// Free text as an identifier, 1 to [`MAX_TEXT_LEN`] bytes.
pub(crate) fn short<'de: 'a, 'a, D: Deserializer<'de>>(d: D) -> Result<Option<Text<'a>>, D::Error> {
    let text = Text::deserialize(d)?;
    if text.0.is_empty() || text.0.len() > MAX_TEXT_LEN {
        return Err(de::Error::custom(format_args!("text is not of 1 to {MAX_TEXT_LEN} bytes")));
    }
    Ok(Some(text))
}

/// The two forms of one name: text if it is UTF-8, base64 otherwise.
pub(crate) type Forms<'a> = (Option<Text<'a>>, Option<Text<'a>>);

/// The bytes that one of two forms of a name stands for, or `None` if neither is there.
fn bytes<'a>(
    field: &'static str,
    (text, base64): &'a Forms<'_>,
) -> Result<Option<Cow<'a, [u8]>>, NameError> {
    match (text, base64) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(NameError::Both(field)),
        (Some(text), None) => Ok(Some(Cow::Borrowed(text.0.as_bytes()))),
        (None, Some(base64)) => {
            let decoded =
                BASE64.decode(base64.0.as_bytes()).map_err(|_| NameError::Base64(field))?;
            if core::str::from_utf8(&decoded).is_ok() {
                return Err(NameError::NeedlessBase64(field));
            }
            Ok(Some(Cow::Owned(decoded)))
        }
    }
}

/// The form in which bytes are sent.
pub(crate) fn forms(bytes: &[u8]) -> Forms<'_> {
    match core::str::from_utf8(bytes) {
        Ok(text) => (Some(Text::from(text)), None),
        Err(_) => (None, Some(Text(Cow::Owned(BASE64.encode(bytes))))),
    }
}

pub(crate) fn name(field: &'static str, forms: &Forms<'_>) -> Result<Option<Name>, NameError> {
    bytes(field, forms)?.map(|bytes| Name::parse(&bytes)).transpose()
}

pub(crate) fn link(forms: &Forms<'_>) -> Result<Option<LinkTarget>, NameError> {
    bytes("target", forms)?.map(|bytes| LinkTarget::parse(&bytes)).transpose()
}
