//! Bundles as a client sends them.

use serde_json::{Value, json};

/// The body of a bundle of these files.
#[must_use]
pub fn body(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, bytes) in files {
        let line = json!({
            "kind": "file", "filename": name, "filesize": bytes.len(), "mode": 0o640,
            "mtime": {"s": 1_700_000_000, "ns": 5},
        });
        body.extend_from_slice(format!("{line}\n").as_bytes());
        body.extend_from_slice(bytes);
    }
    body
}

/// Its header. `id`: of its first file.
#[must_use]
pub fn header(id: u64, count: usize, body: &[u8]) -> Value {
    json!({
        "cmd": "bundle", "id": id, "count": count, "length": body.len(),
        "blake3": blake3::hash(body).to_hex().as_str(),
    })
}
