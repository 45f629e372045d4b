//! The type of a file, by the end of its name, and whether a browser may show it: nothing that came from somebody may run in
//! this server's name.

/// Types that a browser shows and that can do nothing: images, sound, film and text. All others are saved.
const SHOWN: [(&str, &str); 22] = [
    ("txt", TEXT),
    ("md", TEXT),
    ("log", TEXT),
    ("csv", TEXT),
    ("toml", TEXT),
    ("rs", TEXT),
    ("json", "application/json"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("mp3", "audio/mpeg"),
    ("ogg", "audio/ogg"),
    ("flac", "audio/flac"),
    ("wav", "audio/wav"),
    ("m4a", "audio/mp4"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("mov", "video/quicktime"),
];

/// Types that programs want to know, of files that a browser only saves.
const SAVED: [(&str, &str); 12] = [
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("xhtml", "application/xhtml+xml"),
    ("svg", "image/svg+xml"),
    ("xml", "application/xml"),
    ("js", "text/javascript"),
    ("mjs", "text/javascript"),
    ("css", "text/css"),
    ("pdf", "application/pdf"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("wasm", "application/wasm"),
];

const TEXT: &str = "text/plain; charset=utf-8";

/// The type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Media {
    pub(crate) name: &'static str,
    /// A browser saves it, and does not show it.
    pub(crate) is_saved: bool,
}

impl Media {
    /// By the last component of a name.
    pub(crate) fn of(last: &[u8]) -> Self {
        let end =
            last.iter().rposition(|byte| *byte == b'.').map_or(&b""[..], |at| &last[at + 1..]);
        let find = |table: &[(&str, &'static str)]| {
            let row = table.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(end));
            row.map(|(_, name)| *name)
        };
        match find(&SHOWN) {
            Some(name) => Self { name, is_saved: false },
            None => {
                Self { name: find(&SAVED).unwrap_or("application/octet-stream"), is_saved: true }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_could_do_something_are_saved() {
        for name in
            ["a.html", "a.HTM", "a.svg", "a.xml", "a.js", "a.pdf", "a.xhtml", "a", "a.", "a.exe"]
        {
            assert!(Media::of(name.as_bytes()).is_saved, "{name}");
        }
        for name in ["a.png", "a.JPG", "notes.txt", "a.b.mp4", "a.json"] {
            assert!(!Media::of(name.as_bytes()).is_saved, "{name}");
        }
        assert!(SHOWN.iter().all(|(_, name)| !name.contains("html") && !name.contains("xml")));
    }
}
