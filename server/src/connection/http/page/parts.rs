//! The scripts of the page, which everybody may have: whoever logs in has no account yet.

use std::io::Write;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use haul_protocol::RequestId;

use crate::connection::Connection;
use crate::http::head::{Field, Head};
use crate::http::method::Method;
use crate::http::page::scripts;
use crate::http::response::{Length, Response};
use crate::http::status::{Status, Wrong};

/// Each part: its name, its bytes.
const PARTS: [(&str, &str); 3] =
    [("list.js", scripts::LIST), ("page.js", scripts::PAGE), ("login.js", scripts::LOGIN)];

impl Connection {
    /// A part of the page.
    pub(in crate::connection::http) fn page_part(
        &mut self,
        id: RequestId,
        head: &Head,
        name: &str,
    ) {
        let part = PARTS.iter().find(|(known, _)| *known == name);
        let refused = match part {
            None => Some(Wrong::new(Status::NOT_FOUND, "the page has no such part")),
            Some(_) if !matches!(head.method, Method::Get | Method::Head) => {
                Some(Wrong::only("GET, HEAD"))
            }
            Some(_) => None,
        };
        let Some(((_, text), None)) = part.zip(Some(refused)) else {
            return self.refuse_http(id, refused.unwrap_or(Wrong::bad("no part")).into());
        };
        // A weak one is that of the packed bytes, too.
        let opaque = BASE64URL_NOPAD.encode(digest(&SHA256, text.as_bytes()).as_ref());
        let etag = format!("W/\"{opaque}\"");
        let Some(half) = self.half.http() else { return };
        let known = head.field(Field::IfNoneMatch).unwrap_or_default();
        if known.split(',').any(|known| known.trim().trim_start_matches("W/") == &etag[2..]) {
            return half
                .begin(&Response::new(Status::NOT_MODIFIED).with("ETag", etag), Length::Absent);
        }
        let response = Response::new(Status::OK)
            .with("Content-Type", "text/javascript; charset=utf-8")
            .with("ETag", etag)
            .with("Vary", "Accept-Encoding");
        match packed(name).filter(|_| head.takes_gzip()) {
            Some(packed) => half.answer(&response.with("Content-Encoding", "gzip"), packed),
            None => half.answer(&response, text.as_bytes()),
        }
    }
}

/// A part as gzip packs it.
fn packed(name: &str) -> Option<&'static [u8]> {
    static PACKED: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| PARTS.map(|(_, text)| pack(text)));
    let at = PARTS.iter().position(|(known, _)| *known == name)?;
    PACKED.get(at).map(Vec::as_slice).filter(|packed| !packed.is_empty())
}

/// Without the lines that are comments. Empty if that fails, which it does not in memory.
fn pack(text: &str) -> Vec<u8> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let code: String = text.split_inclusive('\n').filter(is_code).collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(code.as_bytes()).and_then(|()| encoder.finish()).unwrap_or_default()
}
