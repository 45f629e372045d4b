//! Forms that come in pieces of any length, right and wrong ones.

use proptest::prelude::*;

use super::form::{Event, Form};
use crate::http::status::{Status, Wrong};

const MEDIA: &str = "multipart/form-data; boundary=xYz";

/// The parts of a form: field, file, bytes.
type Parts = Vec<(String, Option<String>, Vec<u8>)>;

fn read(bytes: &[u8], at_once: usize) -> Result<(Parts, bool), Wrong> {
    let mut form = Form::of(MEDIA).unwrap()?;
    let (mut parts, mut is_over) = (Parts::new(), false);
    for mut piece in bytes.chunks(at_once.max(1)) {
        while let Some(event) = form.receive(&mut piece)? {
            match event {
                Event::Part(part) => parts.push((part.field, part.file, Vec::new())),
                Event::Bytes(bytes) => {
                    assert!(!bytes.is_empty());
                    parts.last_mut().unwrap().2.extend_from_slice(bytes);
                }
                Event::PartEnd => {}
                Event::End => is_over = true,
            }
        }
        assert!(piece.is_empty());
    }
    assert!(!is_over || form.is_complete());
    Ok((parts, form.is_complete()))
}

fn written(parts: &Parts) -> Vec<u8> {
    let mut all = Vec::new();
    for (field, file, bytes) in parts {
        let escape =
            |text: &str| text.replace('\r', "%0D").replace('\n', "%0A").replace('"', "%22");
        let file = file.as_ref().map_or(String::new(), |file| {
            format!("; filename=\"{}\"\r\nContent-Type: application/octet-stream", escape(file))
        });
        let field = escape(field);
        all.extend(
            format!("--xYz\r\nContent-Disposition: form-data; name=\"{field}\"{file}\r\n\r\n")
                .bytes(),
        );
        all.extend_from_slice(bytes);
        all.extend_from_slice(b"\r\n");
    }
    all.extend_from_slice(b"--xYz--\r\n");
    all
}

/// Bytes that look like delimiters and are none.
fn tricky() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b"\r\n--xY"[..]),
        Just(&b"\r\n--xYzz"[..4]),
        Just(&b"\r"[..]),
        Just(&b"\n--xYz"[..]),
        Just(&b"\r\r\n-"[..]),
        Just(&b"--xYz--"[..]),
        Just(&b"ab"[..]),
        Just(&b"\0\xff"[..]),
    ];
    let whole = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    whole.prop_filter("no delimiter", |bytes| !bytes.windows(7).any(|piece| piece == b"\r\n--xYz"))
}

proptest! {
    #[test]
    fn form_is_the_same_in_pieces_of_any_length(
        parts in prop::collection::vec((
            "[a-zé\"]{1,5}",
            prop::option::of("[a-z/é<&\"\r\n;=]{0,9}"),
            tricky(),
        ), 0..4),
        at_once in 1_usize..40,
    ) {
        prop_assert_eq!(read(&written(&parts), at_once).unwrap(), (parts, true));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), at_once in 1_usize..9) {
        let _ = read(&bytes, at_once);
        let _ = read(&[b"--xYz\r\nContent-Disposition: form-data; ", &bytes[..]].concat(), at_once);
    }
}

#[test]
fn form_that_is_cut_off_is_not_complete() {
    let whole = written(&vec![("file".into(), Some("a".into()), b"bytes".to_vec())]);
    // The CR LF behind the last boundary may be missing.
    for len in 0..whole.len() {
        let is_complete = read(&whole[..len], 7).unwrap().1;
        assert_eq!(is_complete, len == whole.len() - 2, "{len}");
    }
    let empty = b"--xYz--";
    assert_eq!(read(empty, 3), Ok((Parts::new(), true)));
}

#[test]
fn forms_that_could_be_read_in_two_ways_are_refused() {
    let head = |head: &str| format!("--xYz\r\n{head}\r\n\r\nx\r\n--xYz--\r\n");
    let name = "Content-Disposition: form-data; name=\"a\"";
    assert!(read(head(name).as_bytes(), 99).is_ok());
    assert!(
        read(head(&format!("{name}; filename=\"b\"\r\nContent-Type: x")).as_bytes(), 9).is_ok()
    );
    for wrong in [
        "preamble\r\n--xYz--".to_owned(),
        "\r\n--xYz--".to_owned(),
        "--xYz \r\n".to_owned(),
        "--xYz\n".to_owned(),
        "--xYz-\r\n".to_owned(),
        "--xYz--\r\nepilogue".to_owned(),
        "--xYz--x".to_owned(),
        head(""),
        head("Content-Type: x"),
        head(&format!("{name}\r\n{name}")),
        head(&format!("{name}\r\n folded: x")),
        head(&format!("{name}\n")),
        head(&format!("{name}\r")),
        head(&format!("{name}; name=\"b\"")),
        head(&format!("{name}; filename=\"b\"; filename=\"c\"")),
        head(&format!("{name}; filename*=utf-8''b")),
        head(&format!("{name}; filename=b")),
        head(&format!("{name}; filename=\"b")),
        head(&format!("{name}; filename=\"a\\\"b\"")),
        head(&format!("{name}x")),
        head(&format!("{name}\r\nContent-Transfer-Encoding: base64")),
        head(&format!("{name}\r\nContent Type: x")),
        head("Content-Disposition: attachment; name=\"a\""),
        head("Content-Disposition: form-data"),
        head("Content-Disposition: form-data; filename=\"a\""),
    ] {
        let status = read(wrong.as_bytes(), 5).unwrap_err().status;
        assert_eq!(status, Status::BAD, "{wrong}");
    }
    let not_text = [b"--xYz\r\nContent-Disposition: form-data; name=\"", &b"\xff\"\r\n\r\n"[..]];
    assert!(read(&not_text.concat(), 50).is_err());
}

#[test]
fn heads_and_parts_of_a_form_are_bounded() {
    let long = format!("--xYz\r\nContent-Disposition: form-data; name=\"{}", "a".repeat(20_000));
    assert_eq!(read(long.as_bytes(), 999).unwrap_err().status, Status::HEAD_TOO_LARGE);
    let many = format!("--xYz\r\n{}", "a: b\r\n".repeat(9));
    assert_eq!(read(many.as_bytes(), 999).unwrap_err().status, Status::HEAD_TOO_LARGE);
    let part = b"--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n";
    assert_eq!(read(&part.repeat(4097), 999).unwrap_err().status, Status::TOO_LARGE);
    let parts = [&part.repeat(4096)[..], b"--xYz--"].concat();
    assert_eq!(read(&parts, 999).unwrap().0.len(), 4096);
}

#[test]
fn only_forms_with_one_good_boundary_are_read() {
    assert!(Form::of("multipart/form-data; boundary=\"a b\"").unwrap().is_err());
    for right in ["multipart/form-data; boundary=a", "Multipart/Form-Data;boundary=\"a:b\"; x=y"] {
        assert!(Form::of(right).unwrap().is_ok(), "{right}");
    }
    for wrong in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=a\tb",
        &format!("multipart/form-data; boundary={}", "a".repeat(71)),
    ] {
        assert!(Form::of(wrong).unwrap().is_err(), "{wrong}");
    }
    for other in
        ["", "text/plain", "multipart/mixed; boundary=a", "multipart/form-dataX; boundary=a"]
    {
        assert!(Form::of(other).is_none(), "{other}");
    }
}
