//! The kinds of memory that HTTP adds: heads, lines and documents that are not whole, uploads that have come in part, and answers
//! that nobody reads.

use haul_tests::tus::{BYTES, base64};

use super::ground::deep;
use super::kind::Kind;
use super::peers::Step::{Forever, Own, Send};
use super::peers::Way;

/// Bytes of the longest head, and of the longest line of rows of files.
const HEAD: usize = 32 << 10;

/// Bytes of the longest document of XML.
const XML: usize = 64 << 10;

/// Bytes of the longest metadata of an upload, and of the longest head of a part of a form.
const METADATA: usize = 16 << 10;

/// A body that does not come to its end.
const BODY: usize = 8 << 20;

/// All of them.
pub(super) fn kinds() -> Vec<Kind> {
    let kind = |name, script| Kind {
        name,
        most: usize::MAX,
        send_buffer: 16 << 10,
        way: Way::Unix,
        script,
    };
    let xml = format!("Depth: 0\r\nContent-Length: {XML}\r\n");
    let form = form_fields();
    let rows = format!("Content-Type: application/vnd.haul.rows\r\nContent-Length: {BODY}\r\n");
    let line = format!("{{\"name\":\"{}", "r".repeat(HEAD - 100));
    vec![
        kind(
            "HTTP: sends on behind a head that is too long",
            vec![Send(b"GET / HTTP/1.1\r\n".to_vec()), Forever(vec![b'x'; 4 << 10])],
        ),
        kind("HTTP: head of 31 KiB, unfinished", vec![Send(unfinished_head())]),
        kind(
            "HTTP: XML of 64 KiB, unfinished",
            vec![Send(request("PROPFIND /.haul/dav/", &xml, &vec![b' '; XML - 1]))],
        ),
        kind(
            "HTTP: head of a part of a form, unfinished",
            vec![Send(request("POST /", &form, part_head().as_bytes()))],
        ),
        kind(
            "HTTP: file of a form, half there",
            vec![Send(request("POST /", &form, &begun_part()))],
        ),
        kind(
            "HTTP: rows, line unfinished",
            vec![Send(request("POST /.haul/many?to=/soak", &rows, line.as_bytes()))],
        ),
        kind("HTTP: put, body half there", vec![Send(begun_put())]),
        kind("HTTP: upload with long metadata, half there", vec![Own(begun_upload)]),
        kind(
            "HTTP: unread: a large file",
            vec![Send(request(&format!("GET /{}", deep("sparse")), "", b""))],
        ),
        kind("HTTP: unread: pages of nothing", vec![Send(many_requests())]),
    ]
}

fn request(first: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{first} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    [head.as_bytes(), body].concat()
}

fn unfinished_head() -> Vec<u8> {
    let begin = "GET / HTTP/1.1\r\nHost: localhost\r\nx: ";
    format!("{begin}{}", "h".repeat(HEAD - 1024 - begin.len())).into_bytes()
}

fn form_fields() -> String {
    format!("Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {BODY}\r\n")
}

fn part_head() -> String {
    let begin = "--x\r\nContent-Disposition: form-data; name=\"";
    format!("{begin}{}", "p".repeat(METADATA - 100))
}

fn begun_part() -> Vec<u8> {
    let head = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"soak-form\"\r\n\r\n";
    [head.as_bytes(), &[b'f'; 16 << 10]].concat()
}

fn begun_put() -> Vec<u8> {
    request("PUT /soak/half", &format!("Content-Length: {BODY}\r\n"), &[b'p'; 16 << 10])
}

/// Each has an upload of its own.
fn begun_upload(number: usize) -> Vec<u8> {
    let name = base64(format!("soak/tus/{number}").as_bytes());
    let more = base64(&vec![b'm'; (METADATA - 200) / 4 * 3]);
    let fields = format!(
        "{BYTES}Upload-Length: {BODY}\r\nContent-Length: {BODY}\r\nUpload-Metadata: filename {name},x {more}\r\n"
    );
    request("POST /.haul/tus/", &fields, &[b'u'; 16 << 10])
}

/// Requests in one row, of which each answer is longer than its question.
fn many_requests() -> Vec<u8> {
    request("GET /none", "Accept: text/html\r\n", b"").repeat(2000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_not_whole_are_within_the_limits() {
        assert!(unfinished_head().len() < HEAD && part_head().len() < METADATA + 100);
        let upload = begun_upload(1);
        let head = upload.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        assert!(head < HEAD);
        let names: std::collections::HashSet<_> = kinds().iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), kinds().len());
    }
}
