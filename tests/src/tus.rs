//! The fields of requests of tus 1.0, a protocol of resumable uploads.

/// Bytes in base64.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let [.., letter] = (bits >> (18 - 6 * at) & 63).to_be_bytes();
            let letter = char::from(LETTERS[usize::from(letter)]);
            text.push(if at <= three.len() { letter } else { '=' });
        }
    }
    text
}

/// The fields of every request of tus.
pub const TUS: &str = "Tus-Resumable: 1.0.0\r\n";

/// Those of one that brings bytes.
pub const BYTES: &str = "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n";

/// Metadata of these pairs.
#[must_use]
pub fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{key} {}", base64(value.as_bytes()))).collect();
    format!("Upload-Metadata: {}\r\n", pairs.join(","))
}
