//! Reads XML: a document, or the reason why it is none.

use std::sync::Arc;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::xml::{Element, Node, Tag, XML, is_letter};
use crate::http::status::{Status, Wrong};

/// Bytes of the longest document.
pub(in crate::http) const MAX_BYTES: usize = 64 * 1024;

/// Elements within each other.
const MAX_DEPTH: usize = 32;

/// Elements and pieces of text of a document.
pub(super) const MAX_NODES: usize = 2_000;

/// Bytes of a namespace, which every element that has it repeats when it is written.
pub(super) const MAX_NAMESPACE: usize = 256;

/// Bytes of a name without its namespace.
const MAX_LOCAL: usize = 256;

/// Namespaces that are declared at one place.
const MAX_DECLARED: usize = 64;

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

/// Whether text is a name without a prefix.
fn is_local(text: &str) -> bool {
    let begins = |letter: char| letter.is_alphabetic() || letter == '_';
    let goes_on =
        |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '\u{b7}');
    text.len() <= MAX_LOCAL && text.starts_with(begins) && text.chars().all(goes_on)
}
