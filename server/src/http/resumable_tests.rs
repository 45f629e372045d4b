//! Fields of requests for resumable uploads, of tus and of the draft.

use data_encoding::BASE64;
use haul_protocol::Name;
use proptest::prelude::*;

use super::fuzzing;
use super::head::Head;
use super::resumable::*;
use super::status::{Status, Wrong};

fn head(fields: &str) -> Head {
    Head::parse(format!("POST /.haul/tus/ HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes()).unwrap()
}

fn described_by(pairs: &[(&str, &str)], query: &str) -> Result<Described, Wrong> {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{key} {}", BASE64.encode(value.as_bytes())))
        .collect();
    described(&head(&format!("Upload-Metadata: {}\r\n", pairs.join(","))), query)
}

#[test]
fn file_has_the_name_of_its_metadata() {
    for (pairs, query, name) in [
        (&[("filename", "a")][..], "", "a"),
        (&[("filename", "a/ü b")], "", "a/ü b"),
        (&[("filename", "b"), ("relativePath", "a/b")], "", "a/b"),
        (&[("filename", "b"), ("relativePath", "null"), ("filetype", "")], "", "b"),
        (&[("name", "b")], "to=x/y", "x/y/b"),
        (&[("filename", "b")], "a=1&to=x%2Fy", "x/y/b"),
        (&[], "name=b%20c", "b c"),
    ] {
        let described =
            if pairs.is_empty() { described(&head(""), query) } else { described_by(pairs, query) };
        assert_eq!(described.unwrap().name, Name::parse(name.as_bytes()).unwrap(), "{pairs:?}");
    }
    for pairs in [
        &[("filename", "")][..],
        &[("filename", "/a")],
        &[("filename", "../a")],
        &[("filename", "a/../../b")],
        &[("filename", ".haul/x")],
        &[("filename", "a\0b")],
        &[("filename", "a"), ("filename", "a")],
        &[("filename", "a"), ("replace", "maybe")],
        &[("filename", "a"), ("mtime", "soon")],
        &[("filetype", "a")],
    ] {
        assert_eq!(described_by(pairs, "").unwrap_err().status, Status::BAD, "{pairs:?}");
    }
    for text in ["filename", "filename YQ", "filename YQ==,", ",filename YQ==", "filename  YQ=="] {
        let head = head(&format!("Upload-Metadata: {text}\r\n"));
        assert!(described(&head, "").is_err(), "{text}");
    }
    assert!(described_by(&[("filename", "a")], "to=..").is_err());
    assert!(described_by(&[("filename", "a")], "to=%zz").is_err());
}

#[test]
fn size_is_told_once_now_or_later() {
    assert_eq!(size(&head("Upload-Length: 7\r\n")), Ok(Some(7)));
    assert_eq!(size(&head("Upload-Defer-Length: 1\r\n")), Ok(None));
    for fields in [
        "",
        "Upload-Length: \r\n",
        "Upload-Length: -1\r\n",
        "Upload-Length: +1\r\n",
        "Upload-Length: 1.0\r\n",
        "Upload-Length: 18446744073709551616\r\n",
        "Upload-Defer-Length: 2\r\n",
        "Upload-Length: 7\r\nUpload-Defer-Length: 1\r\n",
    ] {
        assert!(size(&head(fields)).is_err(), "{fields}");
    }
}

#[test]
fn checksums_of_three_algorithms_are_known() {
    let of = |text: &str| checksum(&head(&format!("Upload-Checksum: {text}\r\n")));
    for (name, algorithm, len) in [
        ("sha1", Algorithm::Sha1, 20),
        ("sha256", Algorithm::Sha256, 32),
        ("blake3", Algorithm::Blake3, 32),
    ] {
        let text = format!("{name} {}", BASE64.encode(&vec![1; len]));
        assert_eq!(of(&text), Ok(Some(Checksum { algorithm, value: vec![1; len] })));
        assert!(of(&format!("{name} {}", BASE64.encode(&vec![1; len + 1]))).is_err());
    }
    for text in ["md5 AAAA", "sha1", "sha1 ", "SHA1 AAAA", "sha1 !"] {
        assert!(of(text).is_err(), "{text}");
    }
    assert_eq!(checksum(&head("")), Ok(None));
}

#[test]
fn protocol_is_told_by_its_fields() {
    assert_eq!(spoken(&head("Tus-Resumable: 1.0.0\r\n")), Ok(Spoken::Tus));
    assert_eq!(spoken(&head("Tus-Resumable: 0.2.2\r\n")).unwrap_err().status, Status::PRECONDITION);
    let draft = |completes, version| Ok(Spoken::Draft { completes, version });
    assert_eq!(spoken(&head("")), draft(None, Version::Unknown));
    for (text, version) in [
        ("5", Version::Early),
        ("6", Version::Early),
        ("8", Version::Present),
        ("4", Version::Unknown),
        ("7", Version::Unknown),
        ("eight", Version::Unknown),
    ] {
        let fields = format!("Upload-Complete: ?0\r\nUpload-Draft-Interop-Version: {text}\r\n");
        assert_eq!(spoken(&head(&fields)), draft(Some(false), version), "{text}");
    }
    assert_eq!(spoken(&head("Upload-Complete: ?1\r\n")), draft(Some(true), Version::Unknown));
    for odd in ["1", "yes", "?2", ""] {
        let fields = format!("Upload-Complete: {odd}\r\n");
        assert_eq!(spoken(&head(&fields)), draft(None, Version::Unknown), "{odd}");
    }
}

#[test]
fn client_of_the_draft_tells_the_length_in_two_ways_which_must_agree() {
    let told = |complete: &str, length: &str, offset| {
        let fields = format!(
            "Upload-Complete: {complete}\r\nContent-Length: 3\r\nUpload-Length: {length}\r\n"
        );
        let head = head(&fields);
        told_length(&head, spoken(&head).unwrap(), offset)
    };
    assert_eq!(told("?1", "10", 7), Ok(Some(10)));
    assert_eq!(told("?1", "none", 7), Ok(Some(10)));
    assert_eq!(told("?0", "12", 7), Ok(Some(12)));
    assert_eq!(told("?0", "-12", 7), Ok(None));
    assert!(told("?1", "11", 7).is_err());
    assert!(told("?1", "3", u64::MAX).is_err());
}

#[test]
fn metadata_of_many_keys_is_taken_and_one_that_comes_twice_is_not() {
    let keys: Vec<_> = (0..1000).map(|key| key.to_string()).collect();
    assert_eq!(metadata(&keys.join(",")).unwrap().len(), keys.len());
    assert!(metadata(&format!("{},999", keys.join(","))).is_err());
}

/// A field of metadata with values in base64, right ones and nearly right ones.
fn pairs() -> impl Strategy<Value = String> {
    let key =
        prop::sample::select(vec!["filename", "relativePath", "name", "mtime", "replace", "x"]);
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        "[a./ü\\-0-9]{0,12}".prop_map(String::into_bytes),
        prop::sample::select(vec!["yes", "no", "null", "1.5", ".haul/x", "..", "a/b"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let pair = (key, value).prop_map(|(key, value)| format!("{key} {}", BASE64.encode(&value)));
    prop::collection::vec(pair, 0..4).prop_map(|pairs| pairs.join(","))
}

proptest! {
    /// Nothing makes the parsers panic, and no file gets a name that the protocol does not have.
    #[test]
    fn any_field_is_read_or_refused(
        metadata in pairs(),
        text in "[ -~]{0,60}",
        number in "[0-9]{0,22}",
        query in "(name=|to=)?[!-~]{0,30}",
    ) {
        for (field, value) in [
            ("Upload-Metadata", &metadata),
            ("Upload-Metadata", &text),
            ("Upload-Length", &text),
            ("Upload-Length", &number),
            ("Upload-Complete: ?1\r\nContent-Length: 7\r\nUpload-Offset", &number),
            ("Upload-Checksum", &text),
            ("Upload-Complete", &text),
            ("Content-Digest", &text),
            ("Want-Repr-Digest", &text),
        ] {
            fuzzing::tus(format!("{query}\n{field}: {value}\r\n").as_bytes());
        }
    }
}
