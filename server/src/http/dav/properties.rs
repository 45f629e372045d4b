//! The properties of an entry, and the documents in which they are told.

use jiff::Timestamp;

use super::asked::Wanted;
use super::live::{LIVE, Live, is_live, is_room};
use super::lock::SUPPORTED;
use super::xml::{Element, Tag, escape, write_empty};
use crate::http::left_out;
use crate::http::status::Status;
use crate::http::validators::date;

/// The begin of an answer with several statuses.
pub(crate) const BEGIN: &str =
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"DAV:\">\n";

/// Its end.
pub(crate) const END: &str = "</D:multistatus>\n";

/// The end of the document about a directory. The standard has a place for a word to the user (RFC 4918, section 14.16).
/// `left_out`: entries that no request can name.
pub(crate) fn end(left_out: u64) -> String {
    let told = left_out::told(left_out);
    let told = told.map(|told| format!("<D:responsedescription>{told}</D:responsedescription>"));
    told.unwrap_or_default() + END
}

/// The facts about one entry that properties tell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Its address.
    pub(crate) href: String,
    /// Its last component, or that of the server.
    pub(crate) name: String,
    pub(crate) is_directory: bool,
    /// Of a file.
    pub(crate) size: Option<u64>,
    pub(crate) media: Option<&'static str>,
    pub(crate) etag: Option<String>,
    /// Seconds since 1970.
    pub(crate) modified: Option<i64>,
    pub(crate) created: Option<i64>,
    /// Bytes that can come, and bytes that are there.
    pub(crate) available: Option<u64>,
    pub(crate) used: Option<u64>,
    /// Properties that only clients know.
    pub(crate) kept: Vec<Element>,
}

impl Facts {
    /// Appends the entry's part of the answer to a `PROPFIND`.
    pub(crate) fn tell(&self, wanted: &Wanted, out: &mut String) {
        let (mut there, mut missing) = (String::new(), String::new());
        match wanted {
            Wanted::Names => {
                for (local, live) in LIVE {
                    if self.value(live).is_some() {
                        empty(local, &mut there);
                    }
                }
                self.kept.iter().for_each(|kept| write_empty(&kept.tag, &mut there));
            }
            Wanted::All(besides) => {
                for (local, live) in LIVE {
                    if !matches!(live, Live::Available | Live::Used) {
                        self.tell_live(local, live, &mut there);
                    }
                }
                self.kept.iter().for_each(|kept| kept.write(&mut there));
                let is_told = |tag: &Tag| is_live(tag) && !is_room(tag);
                for tag in besides.iter().filter(|tag| !is_told(tag)) {
                    if self.kept.iter().all(|kept| kept.tag != *tag) {
                        self.tell_one(tag, &mut there, &mut missing);
                    }
                }
            }
            Wanted::These(tags) => {
                tags.iter().for_each(|tag| self.tell_one(tag, &mut there, &mut missing));
            }
        }
        out.push_str("<D:response>");
        href(&self.href, out);
        if !there.is_empty() || missing.is_empty() {
            propstat(&there, Status::OK, out);
        }
        if !missing.is_empty() {
            propstat(&missing, Status::NOT_FOUND, out);
        }
        out.push_str("</D:response>\n");
    }

    fn tell_one(&self, tag: &Tag, there: &mut String, missing: &mut String) {
        let live = LIVE.iter().find(|(local, _)| tag.is_dav(local));
        let is_told = match live {
            Some((local, live)) => self.tell_live(local, *live, there),
            None => match self.kept.iter().find(|kept| kept.tag == *tag) {
                Some(kept) => {
                    kept.write(there);
                    true
                }
                None => false,
            },
        };
        if !is_told {
            write_empty(tag, missing);
        }
    }

    /// Returns whether the entry has it.
    fn tell_live(&self, local: &str, live: Live, out: &mut String) -> bool {
        let Some(value) = self.value(live) else { return false };
        if value.is_empty() {
            empty(local, out);
            return true;
        }
        for (begin, end) in [("<D:", ">"), ("</D:", ">")] {
            out.push_str(begin);
            out.push_str(local);
            out.push_str(end);
            if begin == "<D:" {
                out.push_str(&value);
            }
        }
        true
    }

    /// The value of a property, as XML.
    fn value(&self, live: Live) -> Option<String> {
        let text = |text: &str| {
            let mut value = String::new();
            escape(text, &mut value);
            value
        };
        match live {
            Live::Kind if self.is_directory => Some("<D:collection/>".to_owned()),
            Live::Kind | Live::LockDiscovery => Some(String::new()),
            Live::Size => self.size.map(|size| size.to_string()),
            Live::Modified => self.modified.and_then(date),
            Live::Created => {
                let time = Timestamp::from_second(self.created?).ok()?;
                Some(time.to_string())
            }
            Live::Etag => self.etag.as_deref().map(text),
            Live::Media => self.media.map(text),
            Live::Name => Some(text(&self.name)),
            Live::SupportedLock => Some(SUPPORTED.to_owned()),
            Live::Available => self.available.map(|bytes| bytes.to_string()),
            Live::Used => self.used.map(|bytes| bytes.to_string()),
        }
    }
}

/// The answer to a `PROPPATCH`, of which each edited property has its status.
pub(crate) fn edited<'a>(
    address: &str,
    tags: impl IntoIterator<Item = &'a Tag>,
    status: impl Fn(usize) -> Status,
) -> String {
    let mut out = String::from(BEGIN);
    out.push_str("<D:response>");
    href(address, &mut out);
    for (at, of) in tags.into_iter().enumerate() {
        let mut tag = String::new();
        write_empty(of, &mut tag);
        propstat(&tag, status(at), &mut out);
    }
    out.push_str("</D:response>\n");
    out.push_str(END);
    out
}

/// The part of an answer that says how a request has ended for one entry.
pub(crate) fn outcome(address: &str, status: Status, why: &str, out: &mut String) {
    out.push_str("<D:response>");
    href(address, out);
    line(status, out);
    out.push_str("<D:responsedescription>");
    escape(why, out);
    out.push_str("</D:responsedescription></D:response>\n");
}

/// An error that has a name of WebDAV's own.
pub(crate) fn error(condition: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:error xmlns:D=\"DAV:\"><D:{condition}/></D:error>\n"
    )
}

fn href(address: &str, out: &mut String) {
    out.push_str("<D:href>");
    escape(address, out);
    out.push_str("</D:href>");
}

fn propstat(inner: &str, status: Status, out: &mut String) {
    out.push_str("<D:propstat><D:prop>");
    out.push_str(inner);
    out.push_str("</D:prop>");
    line(status, out);
    out.push_str("</D:propstat>");
}

fn line(Status(number, phrase): Status, out: &mut String) {
    out.push_str(&format!("<D:status>HTTP/1.1 {number} {phrase}</D:status>"));
}

fn empty(local: &str, out: &mut String) {
    out.push_str("<D:");
    out.push_str(local);
    out.push_str("/>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::dav::asked::{Edit, kept};
    use crate::http::dav::xml_reader::parse;

    fn facts() -> Facts {
        Facts {
            href: "/a%20b".to_owned(),
            name: "a <b".to_owned(),
            size: Some(7),
            media: Some("text/plain"),
            etag: Some("\"b3-x\"".to_owned()),
            modified: Some(784_111_777),
            created: Some(784_111_777),
            kept: vec![kept(b"{u}p", b"<p xmlns='u'><q/></p>").unwrap()],
            ..Facts::default()
        }
    }

    fn told(facts: &Facts, wanted: &Wanted) -> String {
        let mut out = String::from(BEGIN);
        facts.tell(wanted, &mut out);
        out.push_str(END);
        parse(out.as_bytes()).unwrap();
        out
    }

    #[test]
    fn entry_tells_all_properties_their_names_or_those_that_are_wanted() {
        let all = told(&facts(), &Wanted::All(vec![Tag::new("DAV:", "quota-used-bytes")]));
        for part in [
            "<D:href>/a%20b</D:href>",
            "<D:resourcetype/>",
            "<D:getcontentlength>7</D:getcontentlength>",
            "<D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified>",
            "<D:creationdate>1994-11-06T08:49:37Z</D:creationdate>",
            "<D:getetag>&quot;b3-x&quot;</D:getetag>",
            "<D:displayname>a &lt;b</D:displayname>",
            "<p xmlns=\"u\"><q xmlns=\"u\"/></p>",
            "<D:status>HTTP/1.1 200 OK</D:status>",
            "<D:prop><quota-used-bytes xmlns=\"DAV:\"/></D:prop><D:status>HTTP/1.1 404 Not Found",
        ] {
            assert!(all.contains(part), "{part} is not in {all}");
        }
        let names = told(&facts(), &Wanted::Names);
        assert!(names.contains("<D:getetag/>") && names.contains("<p xmlns=\"u\"/>"), "{names}");
        assert!(!names.contains("404") && !names.contains("quota"), "{names}");
        let tags = [("u", "p"), ("DAV:", "getetag"), ("", "p"), ("DAV:", "resourcetype")];
        let directory = Facts { is_directory: true, etag: None, ..facts() };
        let these = told(&directory, &Wanted::These(tags.map(|(n, l)| Tag::new(n, l)).to_vec()));
        assert!(these.contains("<D:resourcetype><D:collection/></D:resourcetype>"), "{these}");
        let (there, missing) = these.split_once("200 OK").unwrap();
        assert!(
            there.contains("<p xmlns=\"u\">") && missing.contains("<p xmlns=\"\"/>"),
            "{these}"
        );
        assert!(missing.contains("<getetag xmlns=\"DAV:\"/>"), "{these}");
        assert!(told(&facts(), &Wanted::These(Vec::new())).contains("200 OK"));
    }

    #[test]
    fn outcomes_are_text_whatever_they_tell() {
        let mut out = String::from(BEGIN);
        outcome("/a&b", Status::CONFLICT, "`<x>\u{1}` is there", &mut out);
        out.push_str(END);
        assert!(parse(out.as_bytes()).is_ok() && out.contains("409 Conflict"), "{out}");
        assert!(parse(error("propfind-finite-depth").as_bytes()).is_ok());
        let edits = "<propertyupdate xmlns='DAV:'><set><prop><a/></prop></set></propertyupdate>";
        let edits = Edit::parse(edits.as_bytes()).unwrap();
        let text = edited("/a", edits.iter().map(|edit| &edit.tag), |_| Status::FORBIDDEN);
        assert!(parse(text.as_bytes()).is_ok() && text.contains("403 Forbidden"), "{text}");
    }
}
