//! XML of a stranger: a small document whose names have namespaces, or an error.
//!
//! Bounded in bytes, depth, elements and the length of names. Without DTD and entities, so nothing in it grows or leads elsewhere.

use std::fmt::Write;
use std::sync::Arc;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use crate::http::status::{Status, Wrong};

/// Bytes of the longest document.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// Elements within each other.
const MAX_DEPTH: usize = 32;

/// Elements and pieces of text of a document.
const MAX_NODES: usize = 2_000;

/// Bytes of a namespace, which every element that has it repeats when it is written.
const MAX_NAMESPACE: usize = 256;

/// Bytes of a name without its namespace.
const MAX_LOCAL: usize = 256;

/// Namespaces that are declared at one place.
const MAX_DECLARED: usize = 64;

/// The namespace of the attribute `xml:lang`.
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// The name of an element or attribute. An empty namespace is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) namespace: Arc<str>,
    pub(crate) local: Box<str>,
}

/// An element with all that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) tag: Tag,
    attributes: Vec<(Tag, String)>,
    children: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Element(Element),
    Text(String),
}

impl Tag {
    /// A name in this namespace.
    #[cfg(test)]
    pub(crate) fn new(namespace: &str, local: &str) -> Self {
        Self { namespace: namespace.into(), local: local.into() }
    }

    /// Bytes of memory that it takes, about.
    pub(crate) fn held_bytes(&self) -> usize {
        self.local.len() + self.namespace.len() + 64
    }

    /// Whether it is this one of WebDAV's own.
    pub(crate) fn is_dav(&self, local: &str) -> bool {
        &*self.namespace == super::DAV && &*self.local == local
    }
}

impl Element {
    /// The elements right in it.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|child| match child {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The element right in it of this name of WebDAV's own.
    pub(crate) fn dav(&self, local: &str) -> Option<&Self> {
        self.elements().find(|element| element.tag.is_dav(local))
    }

    /// The text right in it.
    pub(crate) fn text(&self) -> String {
        let texts = self.children.iter().filter_map(|child| match child {
            Node::Text(text) => Some(&**text),
            Node::Element(_) => None,
        });
        texts.collect()
    }

    /// The text of it, unless that is longer than `most` bytes.
    pub(crate) fn written(&self, most: usize) -> Option<String> {
        let mut text = String::new();
        self.write_some(&mut text, most);
        (text.len() <= most).then_some(text)
    }

    /// Writes it so that it means the same wherever it stands: each element declares its namespace.
    pub(crate) fn write(&self, out: &mut String) {
        self.write_some(out, usize::MAX);
    }

    /// The same, up to the element with which the text has become longer than `most` bytes: namespaces that many elements share
    /// make it much longer than it was.
    fn write_some(&self, out: &mut String, most: usize) {
        if out.len() > most {
            return;
        }
        open(&self.tag, out);
        for (number, (tag, value)) in self.attributes.iter().enumerate() {
            if &*tag.namespace == XML {
                let _ = write!(out, " xml:{}=\"", tag.local);
            } else if tag.namespace.is_empty() {
                let _ = write!(out, " {}=\"", tag.local);
            } else {
                let _ = write!(out, " xmlns:a{number}=\"");
                escape(&tag.namespace, out);
                let _ = write!(out, "\" a{number}:{}=\"", tag.local);
            }
            escape(value, out);
            out.push('"');
        }
        if self.children.is_empty() {
            return out.push_str("/>");
        }
        out.push('>');
        for child in &self.children {
            match child {
                Node::Element(element) => element.write_some(out, most),
                Node::Text(text) => escape(text, out),
            }
        }
        let _ = write!(out, "</{}>", self.tag.local);
    }
}

/// Writes an element with nothing in it.
pub(crate) fn write_empty(tag: &Tag, out: &mut String) {
    open(tag, out);
    out.push_str("/>");
}

/// The begin of an element's tag, with its namespace.
fn open(tag: &Tag, out: &mut String) {
    let _ = write!(out, "<{} xmlns=\"", tag.local);
    escape(&tag.namespace, out);
    out.push('"');
}

/// Writes text as text; characters that XML has not become another one.
pub(crate) fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => drop(write!(out, "&#{};", u32::from(letter))),
            _ if is_letter(letter) => out.push(letter),
            _ => out.push('\u{fffd}'),
        }
    }
}

/// Whether XML 1.0 has such a character.
fn is_letter(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether text is a name without a prefix.
fn is_local(text: &str) -> bool {
    let begins = |letter: char| letter.is_alphabetic() || letter == '_';
    let goes_on =
        |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '\u{b7}');
    text.len() <= MAX_LOCAL && text.starts_with(begins) && text.chars().all(goes_on)
}

/// Reads a document.
pub(crate) fn parse(bytes: &[u8]) -> Result<Element, Wrong> {
    if bytes.len() > MAX_BYTES {
        return Err(Wrong::new(Status::TOO_LARGE, "the XML is over 64 KiB"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Wrong::bad("the XML is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.chars().all(is_letter) {
        return Err(Wrong::bad("the XML has a character that it can't have"));
    }
    let mut document = Document::default();
    let mut reader = Reader::from_str(text);
    reader.config_mut().enable_all_checks(true);
    loop {
        let event = reader.read_event().map_err(|_| Wrong::bad("the XML is not well-formed"))?;
        match event {
            Event::Start(start) => document.begin(&start)?,
            Event::Empty(start) => {
                document.begin(&start)?;
                document.end()?;
            }
            Event::End(_) => document.end()?,
            Event::Text(text) => document.text(&text.xml10_content())?,
            Event::CData(text) => document.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => {
                let letter = match &*reference.xml10_content() {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => reference.resolve_char_ref().ok().flatten().filter(|c| is_letter(*c)),
                };
                let letter = letter.ok_or(Wrong::bad("the XML has an entity"))?;
                document.text(letter.encode_utf8(&mut [0; 4]))?;
            }
            Event::DocType(_) => return Err(Wrong::bad("the XML has a DTD")),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => return document.over(),
        }
    }
}

/// A document as far as it has been read.
#[derive(Default)]
struct Document {
    /// The elements that are open, from the outermost on.
    open: Vec<Element>,
    /// The outermost one, when it is over.
    root: Option<Element>,
    /// Namespaces that hold, each from the depth on where it was declared.
    declared: Vec<(usize, String, Arc<str>)>,
    nodes: usize,
}

impl Document {
    fn counts(&mut self) -> Result<(), Wrong> {
        self.nodes += 1;
        match self.nodes > MAX_NODES {
            true => Err(Wrong::new(Status::TOO_LARGE, "the XML has too many elements")),
            false => Ok(()),
        }
    }

    fn begin(&mut self, start: &BytesStart<'_>) -> Result<(), Wrong> {
        self.counts()?;
        if self.root.is_some() {
            return Err(Wrong::bad("the XML has two outermost elements"));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(Wrong::new(Status::TOO_LARGE, "the XML is too deep"));
        }
        let depth = self.open.len();
        let mut plain = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| Wrong::bad("an attribute of the XML"))?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            let value = value.map_err(|_| Wrong::bad("the value of an attribute of the XML"))?;
            if !value.chars().all(is_letter) || value.contains('<') && attribute.value.contains('<')
            {
                return Err(Wrong::bad("the value of an attribute of the XML"));
            }
            let key = attribute.key.0;
            match key.strip_prefix("xmlns") {
                Some("") => self.declare(depth, "", &value)?,
                Some(rest) if rest.starts_with(':') => {
                    if value.is_empty() || !is_local(&rest[1..]) {
                        return Err(Wrong::bad("a prefix of the XML stands for nothing"));
                    }
                    self.declare(depth, &rest[1..], &value)?;
                }
                _ => plain.push((key.to_owned(), value.into_owned())),
            }
        }
        let tag = self.tag(start.name().0, true)?;
        let mut attributes: Vec<(Tag, String)> = Vec::with_capacity(plain.len());
        for (key, value) in plain {
            self.counts()?;
            let tag = self.tag(&key, false)?;
            if attributes.iter().any(|(other, _)| *other == tag) {
                return Err(Wrong::bad("an attribute of the XML comes twice"));
            }
            attributes.push((tag, value));
        }
        self.open.push(Element { tag, attributes, children: Vec::new() });
        Ok(())
    }

    fn declare(&mut self, depth: usize, prefix: &str, namespace: &str) -> Result<(), Wrong> {
        if namespace.len() > MAX_NAMESPACE || self.declared.len() == MAX_DECLARED {
            return Err(Wrong::new(
                Status::TOO_LARGE,
                "the XML has too many or too long namespaces",
            ));
        }
        // These two have their one meaning always.
        if matches!(prefix, "xml" | "xmlns") {
            return Ok(());
        }
        self.declared.push((depth, prefix.to_owned(), namespace.into()));
        Ok(())
    }

    fn tag(&self, name: &str, is_element: bool) -> Result<Tag, Wrong> {
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        if !is_local(local) {
            return Err(Wrong::bad("a name in the XML"));
        }
        let found = self.declared.iter().rev().find(|(_, known, _)| known == prefix);
        let namespace = match (found, prefix) {
            (_, "xml") => XML.into(),
            (_, "") if !is_element || found.is_none() => "".into(),
            (Some((_, _, namespace)), _) => Arc::clone(namespace),
            (None, _) => return Err(Wrong::bad("a prefix of the XML is not declared")),
        };
        if name.starts_with(':') {
            return Err(Wrong::bad("a name in the XML"));
        }
        Ok(Tag { namespace, local: local.into() })
    }

    fn end(&mut self) -> Result<(), Wrong> {
        let Some(element) = self.open.pop() else {
            return Err(Wrong::bad("the XML ends what has not begun"));
        };
        let depth = self.open.len();
        self.declared.retain(|(at, ..)| *at < depth);
        match self.open.last_mut() {
            Some(above) => above.children.push(Node::Element(element)),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Wrong> {
        let Some(element) = self.open.last_mut() else {
            return match text.trim_matches([' ', '\t', '\r', '\n']).is_empty() {
                true => Ok(()),
                false => Err(Wrong::bad("the XML has text outside of its outermost element")),
            };
        };
        if let Some(Node::Text(before)) = element.children.last_mut() {
            before.push_str(text);
            return Ok(());
        }
        element.children.push(Node::Text(text.to_owned()));
        self.counts()
    }

    fn over(self) -> Result<Element, Wrong> {
        match self.root {
            Some(root) if self.open.is_empty() => Ok(root),
            _ => Err(Wrong::bad("the XML ends before its elements do")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = String::new();
        parse(text.as_bytes()).unwrap().write(&mut out);
        out
    }

    #[test]
    fn prefixes_are_of_no_matter() {
        let expected = "<a xmlns=\"DAV:\"><b xmlns=\"DAV:\"/></a>";
        for text in [
            "<a xmlns='DAV:'><b/></a>",
            "<D:a xmlns:D=\"DAV:\"><D:b></D:b></D:a>",
            "<?xml version='1.0' encoding='utf-8'?>\r\n<x:a xmlns:x='DAV:'><y:b xmlns:y='DAV:'/></x:a>\n",
            "\u{feff}<!-- c --><a xmlns='&#68;AV:'><b/></a>",
        ] {
            assert_eq!(written(text), expected, "{text}");
        }
        assert_eq!(
            written("<a xmlns='u'><b xmlns=''/><c/></a>"),
            "<a xmlns=\"u\"><b xmlns=\"\"/><c xmlns=\"u\"/></a>"
        );
        assert_eq!(
            written("<a x='1' xml:lang='en' p:y='&lt;2' xmlns:p='u'>t&amp;<![CDATA[<]]>&#x41;</a>"),
            "<a xmlns=\"\" x=\"1\" xml:lang=\"en\" xmlns:a2=\"u\" a2:y=\"&lt;2\">t&amp;&lt;A</a>"
        );
    }

    #[test]
    fn documents_that_are_not_well_formed_or_lead_elsewhere_are_refused() {
        let deep = format!("{}{}", "<a>".repeat(33), "</a>".repeat(33));
        let many = format!("<a>{}</a>", "<b/>".repeat(MAX_NODES));
        let namespace = format!("<a xmlns='{}'/>", "x".repeat(MAX_NAMESPACE + 1));
        for text in [
            "",
            " ",
            "text",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a/>x",
            "<a><b></a></b>",
            "<p:a/>",
            "<a p:b='1'/>",
            "<a><b:c xmlns:b=''/></a>",
            "<a x='1' x='2'/>",
            "<a x=1/>",
            "<a p:x='1' q:x='2' xmlns:p='u' xmlns:q='u'/>",
            "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
            "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
            "<a>&x;</a>",
            "<a>&#0;</a>",
            "<a>&#xd800;</a>",
            "<a>\u{1}</a>",
            "<a b='&#1;'/>",
            "<1a/>",
            "<a!b/>",
            "<:a/>",
            "<a",
            "<a><!-- </a>",
            &deep,
            &many,
            &namespace,
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(b"<a>\xff</a>").is_err() && parse(&[b' '; MAX_BYTES + 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        /// And documents that are written read back as they are.
        #[test]
        fn any_markup_is_read_or_refused(
            text in "(<[ab]?[:/!?]?[a-c]{0,2}( xmlns(:a)?='[ux&;]{0,3}')?/?>|&[a-z#0-9]{1,3};|[a-c<>&'\" \u{e4}\n]|</a>|<!\\[CDATA\\[x\\]\\]>){0,20}"
        ) {
            for text in [text.clone(), format!("<a>{text}</a>")] {
                if let Ok(element) = parse(text.as_bytes()) {
                    let mut out = String::new();
                    element.write(&mut out);
                    prop_assert_eq!(parse(out.as_bytes()), Ok(element), "{}", out);
                }
            }
        }
    }
}
