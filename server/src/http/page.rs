//! A directory as a page without scripts, and as JSON.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use haul_protocol::{Entry, EntryKind, is_plain};
use humansize::{BINARY, format_size};
use serde_json::{Map, Value, json};

use super::target::encode;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}\
h1{font-size:1.2rem;overflow-wrap:anywhere}\
ul{list-style:none;padding:0;margin:0}\
li{display:flex;gap:1rem;border-bottom:1px solid #8884;padding:.5rem 0}\
li a,li span:first-child{flex:1;overflow-wrap:anywhere;min-width:0}\
li span+span,li a+span{opacity:.7;white-space:nowrap}";

/// The pages' `Content-Security-Policy`: their style and nothing else.
pub(crate) fn policy() -> String {
    let style = BASE64.encode(digest(&SHA256, STYLE.as_bytes()).as_ref());
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The page of a directory up to its entries. `name`: as the client sees it; empty is the root.
pub(crate) fn begin(name: &[u8]) -> String {
    let mut page = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>",
    );
    let title = format!("/{}", String::from_utf8_lossy(name));
    escape(&title, &mut page);
    let _ = write!(page, "</title>\n<style>{STYLE}</style>\n<h1>");
    escape(&title, &mut page);
    page.push_str("</h1>\n<ul>\n");
    if !name.is_empty() {
        page.push_str("<li><a href=\"../\">..</a><span>up</span>\n");
    }
    page
}

/// One entry. Names are text, and links lead below this directory whatever they are.
pub(crate) fn row(entry: &Entry, page: &mut String) {
    let last = entry.name.split().1;
    let text = String::from_utf8_lossy(last);
    let (slash, what) = match &entry.kind {
        EntryKind::File { size, .. } => ("", format_size(*size, BINARY)),
        EntryKind::Directory => ("/", String::from("directory")),
        EntryKind::Link { .. } => ("", String::from("symlink")),
        _ => ("", String::from("other")),
    };
    // Only files and directories can be had.
    let leads = matches!(entry.kind, EntryKind::File { .. } | EntryKind::Directory);
    page.push_str("<li>");
    if leads {
        // A name with a colon would be a scheme without the dot before it.
        page.push_str("<a href=\"./");
        encode(last, page);
        page.push_str(slash);
        page.push_str("\">");
    } else {
        page.push_str("<span>");
    }
    escape(&text, page);
    page.push_str(slash);
    page.push_str(if leads { "</a>" } else { "</span>" });
    page.push_str("<span>");
    escape(&what, page);
    page.push_str("</span>\n");
}

/// The end of a page.
pub(crate) const END: &str = "</ul>\n";

/// The first bytes of a list as JSON.
pub(crate) const JSON_BEGIN: &str = "{\"entries\":[";

/// Its last ones.
pub(crate) const JSON_END: &str = "\n]}\n";

/// One entry as JSON, behind others or not.
pub(crate) fn json(entry: &Entry, is_first: bool, out: &mut String) {
    let last = entry.name.split().1;
    let mut object = Map::new();
    match std::str::from_utf8(last) {
        Ok(name) => object.insert("name".into(), Value::from(name)),
        Err(_) => object.insert("name_b64".into(), Value::from(BASE64.encode(last))),
    };
    let (kind, size) = match &entry.kind {
        EntryKind::File { size, .. } => ("file", Some(*size)),
        EntryKind::Directory => ("directory", None),
        EntryKind::Link { .. } => ("symlink", None),
        _ => ("other", None),
    };
    object.insert("kind".into(), json!(kind));
    if let Some(size) = size {
        object.insert("size".into(), json!(size));
    }
    if let Some(mtime) = entry.mtime {
        object.insert("mtime".into(), json!(mtime.s));
    }
    out.push_str(if is_first { "\n" } else { ",\n" });
    // Only in a name are there such characters, and only in a text may they be escaped.
    for letter in Value::Object(object).to_string().chars() {
        match is_plain(letter) {
            true => out.push(letter),
            // All of them are in the first plane: one escape of four digits each.
            false => drop(write!(out, "\\u{:04x}", u32::from(letter))),
        }
    }
}

/// Text as text: no letter of it is markup, and no control character gets through.
fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ if letter.is_control() || is_turning(letter) => out.push('\u{fffd}'),
            _ => out.push(letter),
        }
    }
}

/// Whether a character turns the direction of those behind it, so that a name looks like another one.
fn is_turning(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use haul_protocol::Name;

    use super::*;

    fn entry(name: &[u8], kind: EntryKind) -> Entry {
        Entry { name: Name::parse(name).unwrap(), kind, mode: None, mtime: None }
    }

    #[test]
    fn names_are_text_in_a_page_whatever_they_are() {
        let file = || EntryKind::File { size: 1536, digest: None };
        let row = |name: &[u8], kind| {
            let mut page = String::new();
            super::row(&entry(name, kind), &mut page);
            page
        };
        let text = row("d/ünï <b>x\"'&\n\u{202e}".as_bytes(), file());
        let shown = "ünï &lt;b&gt;x&quot;&#39;&amp;\u{fffd}\u{fffd}</a><span>1.50 KiB</span>";
        assert!(text.contains(shown), "{text}");
        assert!(
            text.contains("href=\"./%C3%BCn%C3%AF%20%3Cb%3Ex%22%27%26%0A%E2%80%AE\""),
            "{text}"
        );
        assert!(
            row(b"javascript:alert(1)", file()).contains("href=\"./javascript%3Aalert%281%29\"")
        );
        assert!(row(b"d", EntryKind::Directory).contains("href=\"./d/\">d/</a>"));
        assert!(!row(b"s", EntryKind::Other).contains("href"));
        let page = begin(b"a/<script>");
        assert!(page.contains("/a/&lt;script&gt;") && page.contains("href=\"../\""), "{page}");
        assert!(!begin(b"").contains("../") && !page.contains("<script"));
    }

    /// A browser takes the style only if the policy has the digest of what stands between the tags.
    #[test]
    fn policy_allows_the_style_and_nothing_else() {
        let page = begin(b"");
        let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        let expected = BASE64.encode(digest(&SHA256, style.as_bytes()).as_ref());
        assert!(policy().contains(&format!("style-src 'sha256-{expected}'")));
        assert!(policy().starts_with("default-src 'none'; ") && !policy().contains("unsafe"));
    }

    #[test]
    fn json_has_one_line_for_each_entry_and_reads_back() {
        let mut text = String::from(JSON_BEGIN);
        json(&entry(b"d/a\"\n", EntryKind::File { size: 7, digest: None }), true, &mut text);
        json(&entry(b"d/\xff", EntryKind::Directory), false, &mut text);
        let odd = "d/\u{7f}\u{9b}\u{202e}\u{2028}x";
        json(&entry(odd.as_bytes(), EntryKind::Directory), false, &mut text);
        text.push_str(JSON_END);
        assert!(text.contains(r"\u007f\u009b\u202e\u2028x"), "{text}");
        let read: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({"entries": [
            {"name": "a\"\n", "kind": "file", "size": 7},
            {"name_b64": "/w==", "kind": "directory"},
            {"name": "\u{7f}\u{9b}\u{202e}\u{2028}x", "kind": "directory"},
        ]});
        assert_eq!(read, expected);
        assert_eq!(text.lines().count(), 5);
    }
}
