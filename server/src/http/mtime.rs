//! The mtimes that clients of HTTP tell, in fields and in bodies: seconds since 1970, perhaps with a fraction.

use haul_protocol::Mtime;

use super::status::Wrong;

/// The last second of the year 9999, in seconds since 1970. An HTTP date can say none that is later.
const LATEST: i64 = 253_402_300_799;

/// Whether a client may give a file this time, in seconds since 1970.
pub(crate) fn is_possible(seconds: i64) -> bool {
    (-LATEST..=LATEST).contains(&seconds)
}

/// The mtime that a text says.
///
/// # Errors
///
/// 400 if it is no number of seconds, or one that [no file may have](is_possible).
pub(crate) fn parsed(text: &[u8]) -> Result<Mtime, Wrong> {
    let wrong = Wrong::bad("the mtime is no number of seconds");
    let text = std::str::from_utf8(text).map_err(|_| wrong)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole.strip_prefix('-').unwrap_or(whole)) || !digits(fraction) {
        return Err(wrong);
    }
    let s = whole.parse().ok().filter(|s| is_possible(*s));
    let s = s.ok_or(Wrong::bad("the mtime is a time that no file may have here"))?;
    // Before 1970 a fraction would count backwards.
    let fraction = if whole.starts_with('-') { "0" } else { fraction };
    let nanos = format!("{fraction:0<9}");
    let ns = nanos.get(..9).and_then(|nanos| nanos.parse().ok()).ok_or(wrong)?;
    Ok(Mtime { s, ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mtime_is_seconds_since_1970() {
        for (text, s, ns) in [
            ("0", 0, 0),
            ("1700000000", 1_700_000_000, 0),
            ("1.5", 1, 500_000_000),
            ("-7", -7, 0),
            ("2.0000000019", 2, 1),
            ("253402300799", LATEST, 0),
        ] {
            assert_eq!(parsed(text.as_bytes()), Ok(Mtime { s, ns }), "{text}");
        }
        for text in ["", "-", ".", "1.", ".5", "1e3", "99999999999999999999", "1,5", " 1"] {
            assert!(parsed(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["253402300800", "-253402300800", "9223372036854775807"] {
            assert!(parsed(text.as_bytes()).is_err(), "{text}");
        }
    }
}
