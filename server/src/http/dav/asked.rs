//! Requests in XML: the properties that a client wants to know, to set or to remove.

use jiff::Timestamp;

use super::live::{is_live, is_room};
use super::xml::{Element, Tag};
use super::xml_reader::parse;
use super::{DAV, WINDOWS};
use crate::http::status::{Status, Wrong};
use crate::http::validators::parse_date;

/// The properties that a list of a directory tells without a closer look at the entries.
const KNOWN_BY_LIST: [&str; 7] = [
    "resourcetype",
    "getcontentlength",
    "getlastmodified",
    "getcontenttype",
    "displayname",
    "supportedlock",
    "lockdiscovery",
];

/// The properties that a client wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All, and these besides.
    All(Vec<Tag>),
    /// The names of all.
    Names,
    /// These.
    These(Vec<Tag>),
}

/// A property that a client sets, or removes (`None`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) tag: Tag,
    value: Option<Element>,
}

/// The key of a property that only clients know, and its value; `None` removes it.
type Change = (Box<[u8]>, Option<Box<[u8]>>);

/// The change that edits ask for. All of it is carried out or nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The second of the mtime.
    pub(crate) modified: Option<i64>,
    /// Properties that only clients know.
    pub(crate) kept: Vec<Change>,
    /// Edits that can't be carried out, by their place in the list, and why.
    pub(crate) refused: Vec<(usize, Status)>,
}

/// Elements of a document whose outermost one must have this name.
fn document(bytes: &[u8], name: &str) -> Result<Element, Wrong> {
    let document = parse(bytes)?;
    match document.tag.is_dav(name) {
        true => Ok(document),
        false => Err(Wrong::bad("the XML is not that of this method")),
    }
}

/// Properties that a request may want or change, at most: each entry answers all of them at once.
const MOST_PROPERTIES: usize = 64;

/// Bytes of the keys and values of a request's properties that only clients know. The store keeps fewer of a file.
const MOST_KEPT: usize = 4 * 1024;

/// The properties in an element, each once.
fn tags(element: &Element) -> Result<Vec<Tag>, Wrong> {
    let mut tags: Vec<Tag> = Vec::new();
    for inner in element.elements() {
        if !tags.contains(&inner.tag) {
            tags.push(inner.tag.clone());
        }
        if tags.len() > MOST_PROPERTIES {
            return Err(Wrong::new(Status::TOO_LARGE, "the XML has too many properties"));
        }
    }
    Ok(tags)
}

impl Wanted {
    /// Reads the body of a `PROPFIND`; an empty one wants all.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Wrong> {
        if bytes.is_empty() {
            return Ok(Self::All(Vec::new()));
        }
        let document = document(bytes, "propfind")?;
        if let Some(prop) = document.dav("prop") {
            return Ok(Self::These(tags(prop)?));
        }
        if document.dav("propname").is_some() {
            return Ok(Self::Names);
        }
        match document.dav("allprop") {
            Some(_) => {
                let more = document.dav("include").map(tags).transpose()?;
                Ok(Self::All(more.unwrap_or_default()))
            }
            None => Err(Wrong::bad("the XML wants no properties")),
        }
    }

    /// Whether the room on the file system is wanted.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::All(tags) | Self::These(tags) => tags.iter().any(is_room),
            Self::Names => false,
        }
    }

    /// Whether an entry has to be opened for its properties.
    pub(crate) fn looks_closer(&self) -> bool {
        let is_known =
            |tag: &Tag| KNOWN_BY_LIST.iter().any(|known| tag.is_dav(known)) || is_room(tag);
        match self {
            Self::All(_) | Self::Names => true,
            Self::These(tags) => !tags.iter().all(is_known),
        }
    }

    /// Bytes of memory that it takes, about.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::All(tags) | Self::These(tags) => tags.iter().map(Tag::held_bytes).sum(),
            Self::Names => 0,
        }
    }
}

impl Edit {
    /// Reads the body of a `PROPPATCH`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Self>, Wrong> {
        let document = document(bytes, "propertyupdate")?;
        let mut edits = Vec::new();
        for part in document.elements() {
            let sets = part.tag.is_dav("set");
            if !sets && !part.tag.is_dav("remove") {
                continue;
            }
            for element in part.dav("prop").into_iter().flat_map(Element::elements) {
                let value = sets.then(|| element.clone());
                edits.push(Self { tag: element.tag.clone(), value });
                if edits.len() > MOST_PROPERTIES {
                    return Err(Wrong::new(Status::TOO_LARGE, "the XML has too many properties"));
                }
            }
        }
        match edits.is_empty() {
            true => Err(Wrong::bad("the XML sets and removes nothing")),
            false => Ok(edits),
        }
    }
}

impl Plan {
    /// The change that these edits ask for.
    pub(crate) fn of(edits: &[Edit]) -> Self {
        let mut plan = Self::default();
        let mut room = MOST_KEPT;
        for (at, edit) in edits.iter().enumerate() {
            if edit.tag.is_dav("getlastmodified") || is_mtime_of_windows(&edit.tag) {
                match &edit.value {
                    None => plan.refused.push((at, Status::FORBIDDEN)),
                    Some(value) => match parse_time(value.text().trim()) {
                        Some(second) => plan.modified = Some(second),
                        None => plan.refused.push((at, Status::CONFLICT)),
                    },
                }
            } else if &*edit.tag.namespace == DAV && (is_live(&edit.tag) || edit.value.is_some()) {
                // The server's own, and those that a later standard may define.
                plan.refused.push((at, Status::FORBIDDEN));
            } else {
                let key = key(&edit.tag);
                let value = edit.value.as_ref().map(|value| value.written(room));
                let text = value.as_ref().and_then(Option::as_ref);
                let left = room.checked_sub(key.len() + text.map_or(0, String::len));
                match (value, left) {
                    (Some(None), _) | (_, None) => plan.refused.push((at, Status::NO_ROOM)),
                    (value, Some(left)) => {
                        room = left;
                        let value = value.flatten().map(|text| text.into_bytes().into());
                        plan.kept.push((key, value));
                    }
                }
            }
        }
        plan
    }
}

/// The key by which the store keeps a property.
fn key(tag: &Tag) -> Box<[u8]> {
    format!("{{{}}}{}", tag.namespace, tag.local).into_bytes().into()
}

/// A property that the store has kept. Whoever can write to the file could have put anything there.
pub(crate) fn kept(key_of_it: &[u8], value: &[u8]) -> Option<Element> {
    parse(value).ok().filter(|element| *key(&element.tag) == *key_of_it)
}

fn is_mtime_of_windows(tag: &Tag) -> bool {
    &*tag.namespace == WINDOWS && &*tag.local == "Win32LastModifiedTime"
}

/// A second since 1970, as a field has it or by RFC 3339.
fn parse_time(text: &str) -> Option<i64> {
    parse_date(text).or_else(|| text.parse().ok().map(Timestamp::as_second))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn propfind_wants_all_names_or_some() {
        let wanted = |text: &str| Wanted::parse(text.as_bytes());
        assert_eq!(wanted(""), Ok(Wanted::All(Vec::new())));
        assert_eq!(
            wanted("<propfind xmlns='DAV:'><allprop/><include><x/></include></propfind>"),
            Ok(Wanted::All(vec![Tag::new("DAV:", "x")]))
        );
        assert_eq!(wanted("<propfind xmlns='DAV:'><propname/></propfind>"), Ok(Wanted::Names));
        let some = wanted(
            "<D:propfind xmlns:D='DAV:'><D:prop><D:getetag/><a xmlns='u'/><b/></D:prop></D:propfind>",
        )
        .unwrap();
        let tags = [("DAV:", "getetag"), ("u", "a"), ("", "b")].map(|(n, l)| Tag::new(n, l));
        assert!(some.looks_closer() && !some.has_room());
        assert_eq!(some, Wanted::These(tags.to_vec()));
        let of = |inner: &str| format!("<propfind xmlns='DAV:'><prop>{inner}</prop></propfind>");
        let twice = wanted(&of("<x/><x/>")).unwrap();
        assert_eq!(twice, Wanted::These(vec![Tag::new("DAV:", "x")]));
        let many: String = (0..=MOST_PROPERTIES).map(|index| format!("<p{index}/>")).collect();
        assert_eq!(wanted(&of(&many)).unwrap_err().status, Status::TOO_LARGE);
        for text in ["<propfind/>", "<propfind xmlns='DAV:'/>", "<prop xmlns='DAV:'/>", "<a>", "x"]
        {
            assert_eq!(wanted(text).unwrap_err().status, Status::BAD, "{text}");
        }
    }

    #[test]
    fn edits_are_the_mtime_properties_of_clients_or_refused() {
        let plan = |set: &str, remove: &str| {
            let text = format!(
                "<D:propertyupdate xmlns:D='DAV:' xmlns:Z='urn:schemas-microsoft-com:' xmlns:n='u'>\
                 <D:set><D:prop>{set}</D:prop></D:set><D:remove><D:prop>{remove}</D:prop></D:remove>\
                 </D:propertyupdate>"
            );
            Plan::of(&Edit::parse(text.as_bytes()).unwrap())
        };
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for set in [
            format!("<Z:Win32LastModifiedTime>{date}</Z:Win32LastModifiedTime>"),
            format!("<D:getlastmodified> {date}\n</D:getlastmodified>"),
            "<D:getlastmodified>1994-11-06T08:49:37Z</D:getlastmodified>".to_owned(),
        ] {
            assert_eq!(plan(&set, ""), Plan { modified: Some(784_111_777), ..Plan::default() });
        }
        let kept = plan("<n:a>x</n:a><Z:Win32FileAttributes>20</Z:Win32FileAttributes>", "<b/>");
        let keys: Vec<_> = kept.kept.iter().map(|(key, _)| String::from_utf8_lossy(key)).collect();
        assert_eq!(keys, ["{u}a", "{urn:schemas-microsoft-com:}Win32FileAttributes", "{}b"]);
        let value = kept.kept[0].1.as_ref().unwrap();
        assert_eq!(**value, *b"<a xmlns=\"u\">x</a>");
        assert!(kept.kept[2].1.is_none() && kept.refused.is_empty());
        assert_eq!(super::kept(b"{u}a", value).unwrap().text(), "x");
        assert!(
            super::kept(b"{u}b", value).is_none() && super::kept(b"{u}a", b"<a/><b/>").is_none()
        );
        let refused = plan(
            "<D:getetag/><n:a/><D:getlastmodified>now</D:getlastmodified>",
            "<D:getlastmodified/>",
        );
        assert_eq!(
            refused.refused,
            [(0, Status::FORBIDDEN), (2, Status::CONFLICT), (3, Status::FORBIDDEN)]
        );
        assert!(Edit::parse(b"<propertyupdate xmlns='DAV:'/>").is_err());
        let of = |inner: &str| {
            let text = format!(
                "<D:propertyupdate xmlns:D='DAV:' xmlns:n='{}'><D:set><D:prop>{inner}</D:prop></D:set></D:propertyupdate>",
                "&#34;".repeat(256)
            );
            Edit::parse(text.as_bytes())
        };
        // A short body with a namespace that would be written for each of its elements.
        let long = format!("<n:a>{}</n:a>", "<n:b/>".repeat(1_900));
        assert_eq!(Plan::of(&of(&long).unwrap()).refused, [(0, Status::NO_ROOM)]);
        let three = Plan::of(&of("<n:a/><n:b/><n:c/>").unwrap());
        assert_eq!((three.kept.len(), three.refused), (2, vec![(2, Status::NO_ROOM)]));
        let many = "<n:a/>".repeat(MOST_PROPERTIES + 1);
        assert_eq!(of(&many).unwrap_err().status, Status::TOO_LARGE);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Wanted::parse(&bytes), Edit::parse(&bytes).map(|edits| Plan::of(&edits)));
        }
    }
}
