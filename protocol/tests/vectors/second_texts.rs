//! Pins and access tokens, as the second decoder reads them (PROTOCOL.md, sections 11.1 and 11.5).

use serde_json::json;

use crate::bodies::Found;
use crate::wrong::Wrong;

const BASE32: &str = "abcdefghijklmnopqrstuvwxyz234567";
const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Reads what a person typed or pasted.
pub(crate) fn text(of: &str, body: &[u8], wrong: Wrong) -> Found {
    let text = std::str::from_utf8(body).ok()?;
    if of == "pin" {
        return Some(vec![("pin".to_owned(), json!(hex(&pin(text, wrong)?)))]);
    }
    let trims = !wrong.is("trims no white space of a token");
    let text = match trims {
        true if wrong.is("trims white space of ASCII only of a token") => text.trim_ascii(),
        true if wrong.is("trims invisible characters of a token") => {
            text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{200b}' | '\u{feff}'))
        }
        true => text.trim(),
        false => text,
    };
    let packed: String = match wrong.is("skips white space in a token") {
        true => text.split_whitespace().collect(),
        false => text.to_owned(),
    };
    let (id, secret) = token(&packed, wrong)?;
    Some(vec![("token".to_owned(), json!({"id": id, "secret": hex(&secret)}))])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of letters that hold so many bits each, and the bits behind the last whole byte.
fn bytes(letters: &str, alphabet: &str, width: u32) -> Option<(Vec<u8>, u32)> {
    let (mut found, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for letter in letters.chars() {
        held = held << width | u32::try_from(alphabet.find(letter)?).ok()?;
        bits += width;
        if bits >= 8 {
            bits -= 8;
            found.push(u8::try_from(held >> bits).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    Some((found, held))
}

/// The first letters of the bytes in base32.
fn letters(bytes: &[u8], count: usize) -> String {
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    let value =
        |letter: usize| (0..5).fold(0, |value, at| 2 * value + usize::from(bit(5 * letter + at)));
    (0..count).filter_map(|letter| BASE32.chars().nth(value(letter))).collect()
}

fn is_skipped(c: char, wrong: Wrong) -> bool {
    let is_space = match wrong.is("takes only ASCII white space in a pin") {
        true => c.is_ascii_whitespace(),
        false => c.is_whitespace(),
    };
    let dashes = "\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2015}\u{2212}\u{fe58}\u{fe63}\u{ff0d}";
    let is_dash = dashes.contains(c) && !wrong.is("takes no dashes in a pin");
    let is_invisible = matches!(
        u32::from(c),
        0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff
    );
    c == '-'
        || is_space
        || is_dash
        || (is_invisible && !wrong.is("takes no invisible characters in a pin"))
}

/// The bytes of a pin.
pub(crate) fn pin(text: &str, wrong: Wrong) -> Option<Vec<u8>> {
    if wrong.is("takes a pin in groups of five only")
        && text.split('-').skip(1).any(|group| group.trim().len() != 5)
    {
        return None;
    }
    let kept: String = text.chars().filter(|c| !is_skipped(*c, wrong)).collect();
    let (head, rest) = match kept.split_at_checked(5) {
        Some((head, rest)) if head.eq_ignore_ascii_case("haul1") => (head, rest),
        _ if wrong.is("takes a pin without its prefix") => ("", kept.as_str()),
        _ => return None,
    };
    if wrong.is("takes the prefix in lower case only") && head != "haul1" {
        return None;
    }
    let mut rest = match wrong.is("takes letters of a pin in lower case only") {
        true => rest.to_owned(),
        false if wrong.is("folds the letters of a pin as Unicode does") => rest.to_lowercase(),
        false => rest.to_ascii_lowercase(),
    };
    if wrong.is("takes 0 and 1 in a pin for o and l") {
        rest = rest.replace('0', "o").replace('1', "l");
    }
    if wrong.is("skips letters that no pin has") {
        rest.retain(|c| BASE32.contains(c));
    }
    if wrong.is("takes a pin with letters behind it") {
        rest = rest.chars().take(55).collect();
    }
    let (key, check) = rest.split_at_checked(52)?;
    let (mut pin, left) = bytes(key, BASE32, 5)?;
    if (left != 0 && !wrong.is("takes a pin with a bit behind its end")) || pin.len() != 32 {
        return None;
    }
    pin.truncate(32);
    let whole = letters(blake3::hash(&pin).as_bytes(), 3);
    let is_cut = check.len() < 3 && wrong.is("takes a pin that is cut");
    let compared = match wrong.is("compares one check letter less") {
        true => 2,
        false if is_cut => check.len(),
        false => 3,
    };
    let is_sound = (check.len() == 3 || is_cut)
        && check.chars().all(|letter| BASE32.contains(letter))
        && (whole[..compared] == check[..compared] || wrong.is("compares no check letters"));
    is_sound.then_some(pin)
}

/// The id and the secret of a token.
pub(crate) fn token(text: &str, wrong: Wrong) -> Option<(String, Vec<u8>)> {
    let trims = wrong.is("takes white space around a token on the wire");
    let text = if trims { text.trim() } else { text };
    let text = match wrong.is("takes padding in a token") {
        true => text.trim_end_matches('='),
        false => text,
    };
    let (head, rest) = text.split_at_checked(5)?;
    let is_upper = head == "HAUL_" && wrong.is("takes the prefix of a token in upper case");
    if head != "haul_" && !is_upper {
        return None;
    }
    let (id, rest) = rest.split_at_checked(8)?;
    let lower = match wrong.is("takes an id in upper case") {
        true => id.to_ascii_lowercase(),
        false => id.to_owned(),
    };
    if bytes(&lower, BASE32, 5).is_none() && !wrong.is("takes any id") {
        return None;
    }
    let secret = match rest.strip_prefix('_') {
        Some(secret) => secret,
        None if wrong.is("takes a token without the line between id and secret") => rest,
        None => return None,
    };
    let secret = match wrong.is("takes the letters of plain base64 in a token") {
        true => secret.replace('+', "-").replace('/', "_"),
        false => secret.to_owned(),
    };
    let (secret, left) = bytes(&secret, BASE64, 6)?;
    let is_sound = left == 0 || wrong.is("takes a bit behind the end of a secret");
    (is_sound && secret.len() == 32).then_some((lower, secret))
}
