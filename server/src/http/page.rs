//! A directory as a page, which works with its script and without it, and as JSON.

pub(crate) mod scripts;
pub(crate) mod shell;

use std::fmt::Write;

use data_encoding::BASE64;
use haul_protocol::{Entry, EntryKind, Mtime, is_plain};
use humansize::{BINARY, format_size};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::left_out;
use super::target::encode;
use shell::{Nonce, escape};

/// The facts about the asker that a page depends on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) nonce: Nonce,
    /// Files may be put here.
    pub(crate) may_put: bool,
    /// Entries may not be listed: there is only the place for uploads.
    pub(crate) is_drop: bool,
    /// A cookie tells who asks, so there is something to log out of.
    pub(crate) has_session: bool,
    /// Entries that a form has just made.
    pub(crate) stored: Option<u64>,
}

/// The page of a directory up to its entries. `name`: as the client sees it; empty is the root.
pub(crate) fn begin(name: &[u8], facts: &Facts) -> String {
    let title = format!("/{}", String::from_utf8_lossy(name));
    let mut page = shell::begin(&title, if facts.is_drop { "drop" } else { "list" });
    page.push_str("<header><a class=\"home\" href=\"/\">haul</a>\n<nav aria-label=\"Directory\">");
    if !facts.is_drop {
        path(name, &mut page);
    }
    page.push_str("</nav>\n");
    if facts.has_session {
        page.push_str(
            "<form method=\"post\" action=\"/.haul/logout\"><button class=\"quiet\">Log out</button></form>\n",
        );
    }
    page.push_str("</header>\n<main>\n<h1>");
    match (facts.is_drop, name.rsplit(|byte| *byte == b'/').next().unwrap_or_default()) {
        (true, _) => page.push_str("Send files"),
        (false, b"") => page.push_str("All files"),
        (false, last) => escape(&String::from_utf8_lossy(last), &mut page),
    }
    page.push_str("</h1>\n");
    if let Some(stored) = facts.stored {
        let _ = writeln!(page, "<p role=\"status\"><strong>Stored: {stored}.</strong></p>");
    }
    if facts.may_put {
        page.push_str(FORM);
        if !facts.is_drop {
            // In a directory of one client alone nothing is anybody else's.
            page.push_str(REPLACE);
        }
        page.push_str(FORM_END);
    }
    if !facts.is_drop {
        page.push_str("<section aria-labelledby=\"entries\">\n<div class=\"bar\"><h2 id=\"entries\">Files</h2>\n");
        if facts.may_put {
            page.push_str(FOLDER);
        }
        page.push_str("</div>\n");
    }
    // Before the entries, so that it is there while a long list still comes.
    let nonce = &facts.nonce;
    let script = if facts.may_put { "page.js" } else { "list.js" };
    let _ = writeln!(page, "<script src=\"/.haul/page/{script}\" nonce=\"{nonce}\"></script>");
    if !facts.is_drop {
        page.push_str(LIST);
        if !name.is_empty() {
            page.push_str("<tr id=\"up\"><td><a href=\"../\">..</a><td>up<td>\n");
        }
    }
    page
}

/// The table of entries up to the first one. The script makes buttons of its headers.
const LIST: &str = "<div id=\"list\" class=\"list\"><table aria-labelledby=\"entries\">\n\
<thead><tr><th scope=\"col\">Name<th scope=\"col\">Size<th scope=\"col\">Changed\n<tbody>\n";

const FORM: &str = "<section id=\"send\" aria-label=\"Upload\">\n\
<form id=\"upload\" method=\"post\" enctype=\"multipart/form-data\">\n\
<p class=\"big\">Upload files</p>\n";

const REPLACE: &str = "<label><input type=\"checkbox\" name=\"replace\" value=\"yes\"> Replace files that have the same name</label>\n";

const FORM_END: &str = "<p class=\"row\"><input type=\"file\" name=\"file\" multiple required aria-label=\"Files to upload\">\n\
<button class=\"main\">Upload</button></p>\n</form>\n</section>\n";

const FOLDER: &str = "<form id=\"folder\" method=\"post\" enctype=\"multipart/form-data\">\
<input type=\"text\" name=\"folder\" required maxlength=\"255\" placeholder=\"New folder\" aria-label=\"Name of the new folder\">\
<button>Create</button></form>\n";

/// Links to the directories above, and to this one, at most: each has the whole address of its directory.
const MOST_LINKS: usize = 8;

/// Links to the directories next above, and to this one.
fn path(name: &[u8], page: &mut String) {
    let parts = || name.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    let count = parts().count();
    let current = |is_it: bool| if is_it { " aria-current=\"page\"" } else { "" };
    let _ = write!(page, "<a href=\"/\"{}>Home</a>", current(count == 0));
    let mut address = String::from("/");
    for (index, part) in parts().enumerate() {
        encode(part, &mut address);
        address.push('/');
        let below = count - index;
        if below > MOST_LINKS {
            page.push_str(if below == MOST_LINKS + 1 { "<span>…</span>" } else { "" });
            continue;
        }
        let _ = write!(page, "<a href=\"{address}\"{}>", current(index + 1 == count));
        escape(&String::from_utf8_lossy(part), page);
        page.push_str("</a>");
    }
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
    page.push_str("<tr><td>");
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
    match entry.kind {
        EntryKind::File { size, .. } => drop(write!(page, "<td data-bytes={size}>")),
        _ => page.push_str("<td>"),
    }
    escape(&what, page);
    page.push_str("<td>");
    if let Some(Ok(time)) = entry.mtime.map(|Mtime { s, .. }| Timestamp::from_second(s)) {
        let told = time.strftime("%Y-%m-%d %H:%M");
        let _ = write!(page, "<time datetime=\"{time}\">{told}</time>");
    }
    page.push('\n');
}

/// The end of a page, behind entries or none. `left_out`: entries that no request can name.
pub(crate) fn end(facts: &Facts, is_empty: bool, left_out: u64) -> String {
    let mut end = String::new();
    if !facts.is_drop {
        end.push_str("</table>\n");
        if let Some(told) = left_out::told(left_out) {
            let _ = writeln!(end, "<p role=\"status\">{told}</p>");
        } else if is_empty {
            let hint = if facts.may_put { "Files that you upload appear here." } else { "" };
            let _ =
                writeln!(end, "<p id=\"empty\"><strong>Nothing is here yet.</strong> {hint}</p>");
        }
        end.push_str("</div>\n</section>\n");
    }
    end.push_str("</main>\n");
    end
}

/// The first bytes of a list as JSON.
pub(crate) const JSON_BEGIN: &str = "{\"entries\":[";

/// Its last ones. `left_out`: as of [`end`].
pub(crate) fn json_end(left_out: u64) -> String {
    match left_out {
        0 => String::from("\n]}\n"),
        count => format!("\n],\"left_out\":{count}}}\n"),
    }
}

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

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};
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
        let shown =
            "ünï &lt;b&gt;x&quot;&#39;&amp;\u{fffd}\u{fffd}</a><td data-bytes=1536>1.50 KiB<td>";
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
        let page = begin(b"a/<script>", &Facts::default());
        assert!(page.contains("/a/&lt;script&gt;") && page.contains("href=\"../\""), "{page}");
        assert!(page.contains("<a href=\"/a/%3Cscript%3E/\" aria-current=\"page\">"), "{page}");
        // However deep it is, there are a few links, each with the whole address.
        let deep = begin("d/".repeat(2040).trim_end_matches('/').as_bytes(), &Facts::default());
        assert_eq!(deep.matches(">d</a>").count(), MOST_LINKS);
        assert!(deep.contains("<span>…</span>") && deep.len() < 100_000, "{}", deep.len());
        // The only script is the server's own.
        let own = "<script src=\"/.haul/page/list.js\" nonce=\"\"></script>";
        assert!(!begin(b"", &Facts::default()).contains("../"));
        assert_eq!((page.matches("<script").count(), page.matches(own).count()), (1, 1));
    }

    #[test]
    fn page_has_the_forms_that_the_asker_may_use() {
        let page = |may_put, is_drop, has_session| {
            begin(b"d", &Facts { may_put, is_drop, has_session, ..Facts::default() })
        };
        let (upload, folder, list) = ("id=\"upload\"", "id=\"folder\"", "id=\"list\"");
        let writer = page(true, false, true);
        assert!([upload, folder, list, "/.haul/logout"].iter().all(|part| writer.contains(part)));
        let reader = page(false, false, false);
        assert!([upload, folder, "logout"].iter().all(|part| !reader.contains(part)));
        assert!(reader.contains(list));
        let drop = page(true, true, true);
        assert!(drop.contains(upload) && drop.contains("data-view=\"drop\""));
        assert!([folder, list, "replace"].iter().all(|part| !drop.contains(part)), "{drop}");
    }

    #[test]
    fn times_are_told_for_people_and_for_the_script() {
        let mut entry = entry(b"a", EntryKind::Directory);
        entry.mtime = Some(Mtime { s: 1_798_761_600, ns: 0 });
        let mut page = String::new();
        row(&entry, &mut page);
        assert!(page.contains("<time datetime=\"2027-01-01T00:00:00Z\">2027-01-01 00:00</time>"));
        entry.mtime = Some(Mtime { s: i64::MAX, ns: 0 });
        page.clear();
        row(&entry, &mut page);
        assert!(!page.contains("<time"), "{page}");
    }

    /// A browser takes the style only if the policy has the digest of what stands between the tags.
    #[test]
    fn policy_allows_the_style_and_nothing_else() {
        let page = begin(b"", &Facts::default());
        let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
        let expected = BASE64.encode(digest(&SHA256, style.as_bytes()).as_ref());
        let policy = shell::policy(&Nonce::default());
        assert!(policy.contains(&format!("style-src 'sha256-{expected}'")));
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"));
    }

    #[test]
    fn json_has_one_line_for_each_entry_and_reads_back() {
        let mut text = String::from(JSON_BEGIN);
        json(&entry(b"d/a\"\n", EntryKind::File { size: 7, digest: None }), true, &mut text);
        json(&entry(b"d/\xff", EntryKind::Directory), false, &mut text);
        let odd = "d/\u{7f}\u{9b}\u{202e}\u{2028}x";
        json(&entry(odd.as_bytes(), EntryKind::Directory), false, &mut text);
        text.push_str(&json_end(0));
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
