//! Rows of files that come in pieces of any length, right and wrong ones.

use proptest::prelude::*;
use serde_json::json;

use super::rows::{Event, MAX_ENTRIES, Rows};
use crate::http::status::{Status, Wrong};

type Entries = Vec<(String, Option<Vec<u8>>)>;

fn read(bytes: &[u8], at_once: usize) -> Result<(Entries, bool), Wrong> {
    let (mut rows, mut entries, mut ends) = (Rows::default(), Entries::new(), 0);
    for mut piece in bytes.chunks(at_once) {
        while let Some(event) = rows.receive(&mut piece)? {
            match event {
                Event::Row(row) => entries.push((row.name, row.size.map(|_| Vec::new()))),
                Event::Bytes(bytes) => {
                    let file = entries.last_mut().unwrap().1.as_mut();
                    file.unwrap().extend_from_slice(bytes);
                }
                Event::RowEnd => ends += 1,
            }
        }
    }
    Ok((entries, rows.is_between() && ends > 0))
}

fn written(entries: &Entries) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, bytes) in entries {
        let line = match bytes {
            Some(bytes) => json!({"name": name, "size": bytes.len(), "mtime": 7}),
            None => json!({"name": name}),
        };
        all.extend(format!("{line}\n").bytes());
        all.extend_from_slice(bytes.as_deref().unwrap_or_default());
    }
    all
}

proptest! {
    #[test]
    fn rows_are_the_same_in_pieces_of_any_length(
        entries in prop::collection::vec((
            any::<String>(),
            prop::option::of(prop::collection::vec(any::<u8>(), 0..30)),
        ), 1..5),
        at_once in 1_usize..50,
    ) {
        prop_assert_eq!(read(&written(&entries), at_once).unwrap(), (entries, true));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), at_once in 1_usize..9) {
        let _ = read(&bytes, at_once);
    }
}

#[test]
fn rows_that_are_cut_off_are_told_from_whole_ones() {
    let whole = written(&vec![("a".into(), Some(b"bytes".to_vec()))]);
    for len in 1..whole.len() {
        assert!(!read(&whole[..len], 3).unwrap().1, "{len}");
    }
    assert!(read(&whole, 3).unwrap().1);
}

#[test]
fn lines_that_are_none_are_refused() {
    for wrong in [
        "\n",
        "a\n",
        "[]\n",
        "{}\n",
        "{\"size\":1}\n",
        "{\"name\":1}\n",
        "{\"name\":\"a\",\"size\":-1}\n",
        "{\"name\":\"a\",\"size\":1.5}\n",
        "{\"name\":\"a\",\"mtime\":9223372036854775807}\n",
        "{\"name\":\"a\",\"size\":18446744073709551616}\n",
        "{\"name\":\"a\",\"name\":\"b\"}\n",
        "{\"name\":\"a\",\"sise\":1}\n",
        "{\"name\":\"\\ud800\"}\n",
        "{\"name\":\"a\"}{\"name\":\"b\"}\n",
    ] {
        assert_eq!(read(wrong.as_bytes(), 4).unwrap_err().status, Status::BAD, "{wrong}");
    }
    let long = "a".repeat(40_000);
    assert_eq!(read(long.as_bytes(), 999).unwrap_err().status, Status::HEAD_TOO_LARGE);
    let many = "{\"name\":\"a\"}\n".repeat(MAX_ENTRIES + 1);
    assert_eq!(read(many.as_bytes(), 999).unwrap_err().status, Status::TOO_LARGE);
}
