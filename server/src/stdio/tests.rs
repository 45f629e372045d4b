//! The server understands or declines any bytes with which a client begins, and never keeps more than the limit.

use std::path::Path;

use proptest::prelude::*;

use super::greeting::{
    Beginning, Declined, Failure, MAX_LINE, Reason, beginning, parse, refusal, welcome,
};

const NONCE: &str = "0123456789abcdef0123456789abcdef";

fn line(json: &str) -> Vec<u8> {
    format!("haul-stdio 1 {NONCE} {json}\n").into_bytes()
}

#[test]
fn wishes_that_are_not_stated_are_to_change_and_to_make_nothing() {
    let wishes = parse(&line(r#"{"root": "/srv/a b", "later": [1]}"#)).unwrap();
    assert_eq!(wishes.root, Path::new("/srv/a b"));
    assert!(!wishes.make && wishes.change);
    let wishes = parse(&line(r#"{"root": "a", "make": true, "change": false}"#)).unwrap();
    assert!(wishes.make && !wishes.change);
}

#[test]
fn frame_is_told_from_a_line_by_four_bytes() {
    for (bytes, expected) in [
        (&b""[..], Beginning::Unknown),
        (b"h", Beginning::Unknown),
        (b"hau", Beginning::Unknown),
        (b"haul", Beginning::Unknown),
        (b"haul-stdio 1\nrest", Beginning::Line(13)),
        // The prefix of a header of 104 bytes.
        (b"h\0\0\0", Beginning::Frames),
        (b"ha\0\0", Beginning::Frames),
        (b"\x4f\0\0\0", Beginning::Frames),
        (b"\n", Beginning::Frames),
    ] {
        assert_eq!(beginning(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn line_has_its_end_within_the_limit() {
    let mut bytes = b"haul".to_vec();
    bytes.resize(MAX_LINE - 1, b'x');
    assert_eq!(beginning(&bytes), Beginning::Unknown);
    bytes.push(b'\n');
    assert_eq!(beginning(&bytes), Beginning::Line(MAX_LINE));
    bytes.pop();
    bytes.extend(b"x\n");
    assert_eq!(beginning(&bytes), Beginning::Endless);
}

#[test]
fn answers_are_one_line_each_with_the_word_of_the_client() {
    let wishes = parse(&line(r#"{"root": "a"}"#)).unwrap();
    let text = welcome(&wishes.nonce, Path::new("/a\nb"), true, None);
    let expected = format!(
        "hauld-stdio 1 {NONCE} {{\"joined\":true,\"root\":\"/a\\nb\",\"version\":\"{}\"}}\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(String::from_utf8(text.to_vec()).unwrap(), expected);
    let failure = Failure::new(Reason::Busy, "two\nlines");
    let text = refusal(&Declined { nonce: Some(wishes.nonce), failure });
    let expected = format!(
        "hauld-stdio 1 {NONCE} {{\"error\":{{\"code\":\"busy\",\"message\":\"two\\nlines\"}}}}\n"
    );
    assert_eq!(text, expected);
}

proptest! {
    #[test]
    fn any_bytes_are_understood_or_declined(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = beginning(&bytes);
        if let Err(declined) = parse(&bytes) {
            prop_assert_eq!(refusal(&declined).matches('\n').count(), 1);
        }
    }

    /// So near to a line that every step of the parser is reached.
    #[test]
    fn any_json_is_understood_or_declined(
        version in "[0-9]{1,3}|x", nonce in "[0-9a-f]{31,33}", json in r#"[\[\]{}":,a-z0-9 \\]{0,60}"#,
    ) {
        let line = format!("haul-stdio {version} {nonce} {json}\n");
        match parse(line.as_bytes()) {
            Ok(wishes) => prop_assert!(!wishes.root.as_os_str().is_empty()),
            Err(declined) => prop_assert_eq!(refusal(&declined).matches('\n').count(), 1),
        }
    }

    #[test]
    fn every_root_is_understood_as_text_and_as_base64(root in "[^\0]{1,300}") {
        let text = serde_json::json!({"root": root});
        let encoded = serde_json::json!({"root_b64": data_encoding::BASE64.encode(root.as_bytes())});
        let both = [text, encoded].map(|json| parse(&line(&json.to_string())).unwrap().root);
        prop_assert_eq!(&both[0], Path::new(&root));
        prop_assert_eq!(&both[0], &both[1]);
    }

    #[test]
    fn beginning_is_the_same_however_the_bytes_come(bytes in proptest::collection::vec(any::<u8>(), 4..80)) {
        let whole = beginning(&bytes);
        let mut first = (0..=bytes.len()).map(|len| beginning(&bytes[..len]));
        let known = first.find(|known| *known != Beginning::Unknown);
        prop_assert_eq!(known.unwrap_or(Beginning::Unknown), whole);
    }
}
