//! Runs the vectors of bodies (`testdata/bodies`): entries, bundles, bitmaps, letters, and names and files of `fetch`.

use std::fs;
use std::path::Path;

use haul_protocol::limits::MAX_HEADER_LEN;
use haul_protocol::{
    Attributes, Bitmap, Bundled, Entry, EntryKind, Verdict, decode_bundle, decode_entry,
    decode_fetched, decode_wanted, trim_line,
};
use serde_json::{Map, Value, json};

use crate::show::{attributes, bytes};

/// The values in a body, or `None` if the body is refused.
pub(crate) type Found = Option<Vec<(String, Value)>>;

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) of: String,
    pub(crate) count: u64,
    pub(crate) expected: Found,
    pub(crate) body: Vec<u8>,
}

/// The cases of a folder of `testdata`.
pub(crate) fn cases(folder: &str) -> Vec<Case> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder);
    let paths = fs::read_dir(dir)
        .expect("the directory is there")
        .map(|file| file.expect("the directory can be read").path());
    let is_case = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "txt");
    paths.filter(is_case).map(|path| case(&path)).collect()
}

fn case(path: &Path) -> Case {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = fs::read(path).expect("a vector can be read");
    let blank =
        file.windows(2).position(|pair| pair == b"\n\n").expect("a blank line ends the head");
    let head = std::str::from_utf8(&file[..blank]).expect("the head is UTF-8");
    assert!(head.starts_with("expect: "), "{name}: `expect` comes first");
    let (mut of, mut expected, mut count) = (String::new(), None, 0);
    for line in head.lines() {
        match line.split_once(": ").expect("a line is `key: value`") {
            ("expect", "events") => expected = Some(Vec::new()),
            ("expect", "refused") | ("note", _) => {}
            ("body", value) => of = value.to_owned(),
            ("count", value) => count = value.parse().expect("`count` is a number"),
            ("event", value) => {
                let events = expected.as_mut().expect("a body that is refused has no events");
                let (word, value) = value.split_once(' ').unwrap_or((value, "null"));
                let value = match word {
                    "body" => json!(value),
                    _ => serde_json::from_str(value).expect("an event has JSON"),
                };
                events.push((word.to_owned(), value));
            }
            (key, value) => panic!("{name}: `{key}: {value}`"),
        }
    }
    Case { name, of, count, expected, body: file[blank + 2..].to_vec() }
}

fn entries(body: &[u8]) -> Found {
    let mut found = Vec::new();
    for line in body.split(|byte| *byte == b'\n') {
        if line.len() >= MAX_HEADER_LEN {
            return None;
        }
        let line = trim_line(line);
        if !line.is_empty() {
            found.push(("entry".to_owned(), shown(&decode_entry(line).ok()?)));
        }
    }
    Some(found)
}

fn bundle(body: &[u8], count: u64) -> Found {
    let mut found = Vec::new();
    for Bundled { name, attributes: Attributes { mode, mtime }, digest, bytes } in
        decode_bundle(body, count).ok()?
    {
        let kind = EntryKind::File { size: bytes.len() as u64, digest };
        found.push(("entry".to_owned(), shown(&Entry { name, kind, mode, mtime })));
        if !bytes.is_empty() {
            found.push(("body".to_owned(), json!(data_encoding::HEXLOWER.encode(bytes))));
        }
    }
    Some(found)
}

fn wanted(body: &[u8]) -> Found {
    let name = |name: &haul_protocol::Name| {
        let mut all = Map::new();
        bytes(&mut all, "filename", name.as_bytes());
        ("name".to_owned(), Value::Object(all))
    };
    Some(decode_wanted(body).ok()?.iter().map(name).collect())
}

fn fetched(body: &[u8], count: u64) -> Found {
    let mut found = Vec::new();
    for file in decode_fetched(body, usize::try_from(count).expect("a small count")).ok()? {
        match file {
            Ok(file) => {
                let mut all = Map::from_iter([("filesize".to_owned(), json!(file.bytes.len()))]);
                attributes(&mut all, file.attributes);
                found.push(("file".to_owned(), Value::Object(all)));
                if !file.bytes.is_empty() {
                    let hex = data_encoding::HEXLOWER.encode(file.bytes);
                    found.push(("body".to_owned(), json!(hex)));
                }
            }
            Err(refusal) => {
                let refusal = json!({
                    "code": refusal.code.as_str(),
                    "message": refusal.message,
                    "retry": refusal.retry,
                });
                found.push(("refused".to_owned(), refusal));
            }
        }
    }
    Some(found)
}

fn shown(entry: &Entry) -> Value {
    let mut all = Map::new();
    bytes(&mut all, "filename", entry.name.as_bytes());
    let kind = match &entry.kind {
        EntryKind::File { size, digest } => {
            all.insert("filesize".into(), json!(size));
            all.extend(digest.map(|digest| ("blake3".to_owned(), json!(digest.to_string()))));
            "file"
        }
        EntryKind::Directory => "directory",
        EntryKind::Link { target } => {
            bytes(&mut all, "target", target.as_bytes());
            "link"
        }
        EntryKind::Other => "other",
        other => panic!("no vector knows {other:?}"),
    };
    all.insert("kind".into(), json!(kind));
    all.extend(entry.mode.map(|mode| ("mode".to_owned(), json!(mode))));
    all.extend(entry.mtime.map(|at| ("mtime".to_owned(), json!({"s": at.s, "ns": at.ns}))));
    Value::Object(all)
}

fn bitmap(body: &[u8]) -> Found {
    let bitmap = Bitmap::from_bytes(body.to_vec());
    let numbers = (0..8 * body.len() + 100).filter(|number| bitmap.get(*number));
    Some(numbers.map(|number| ("number".to_owned(), json!(number))).collect())
}

fn letters(body: &[u8]) -> Found {
    let word = |letter: &u8| match Verdict::from_letter(*letter) {
        Some(verdict) => format!("{verdict:?}").to_lowercase(),
        None => "differs".to_owned(),
    };
    Some(body.iter().map(|letter| (word(letter), Value::Null)).collect())
}

#[test]
fn bodies_are_read_as_their_vectors_say() {
    let cases = cases("bodies");
    assert!(cases.len() > 50, "only {} vectors of bodies are there", cases.len());
    for Case { name, of, count, expected, body } in cases {
        let found = match of.as_str() {
            "entries" => entries(&body),
            "bundle" => bundle(&body, count),
            "wanted" => wanted(&body),
            "fetched" => fetched(&body, count),
            "bitmap" => bitmap(&body),
            "letters" => letters(&body),
            other => panic!("{name}: {other}"),
        };
        assert_eq!(found, expected, "{name}");
    }
}
