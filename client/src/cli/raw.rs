//! Words of the command line that are no text (UTF-8), where a place at a server has to be text.

use std::ffi::OsString;
use std::path::Path;

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::usage::Usage;
use crate::report::note::quote;

/// Bytes of a path that a place with a scheme has as `%XX`.
const IN_PATHS: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'?');

/// The mistake about the first word that is no text, with the right form.
pub(super) fn told(words: &[OsString]) -> Option<Usage> {
    let word = words.iter().find(|word| word.to_str().is_none())?;
    let written = match with_scheme(word.as_encoded_bytes()) {
        Some(place) => format!("write {place}"),
        None => String::from("write haul://HOST/PATH or ssh://HOST/PATH"),
    };
    let word = quote(Path::new(word));
    Some(Usage(format!("{word}: this is not UTF-8; {written}, with %XX for each such byte")))
}

/// The same place with a scheme, if it is clear which.
fn with_scheme(word: &[u8]) -> Option<String> {
    if ["haul://", "ssh://"].iter().any(|scheme| word.starts_with(scheme.as_bytes())) {
        // The rest of it has its `%XX` already.
        return Some(percent_encode(word, CONTROLS).to_string());
    }
    let (authority, path) = word.split_at(word.iter().position(|byte| *byte == b'/')?);
    let authority = std::str::from_utf8(authority).ok()?;
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| is_port(port));
    has_port.then(|| format!("haul://{authority}{}", percent_encode(path, IN_PATHS)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;
    use crate::net::destination::Destination;

    #[test]
    fn form_that_is_told_names_the_same_entry() {
        for (word, path) in [
            (&b"box:8080/a b/%\xff?#"[..], &b"a b/%\xff?#"[..]),
            (b"alice@[::1]:8080/\xe4", b"\xe4"),
            (b"haul://box/%41\xff", b"A\xff"),
        ] {
            let told = with_scheme(word).unwrap();
            let place: Destination = told.parse().unwrap();
            assert_eq!(place.path.unwrap().as_bytes(), path, "{told}");
        }
        assert_eq!(with_scheme(b"box:a\xff/b"), None);
    }

    #[test]
    fn words_that_are_text_are_passed_over() {
        let words =
            |last: &[u8]| [b"haul", &b"rm"[..], last].map(|word| OsString::from_vec(word.to_vec()));
        assert!(told(&words(b"box:1/a")).is_none());
        let told = told(&words(b"box:1/\xff\x1b")).unwrap().0;
        assert!(told.ends_with("write haul://box:1/%FF%1B, with %XX for each such byte"), "{told}");
        assert!(!told.contains('\u{1b}'), "{told}");
    }
}
