//! XML of a stranger: a small document whose names have namespaces, or an error.
//!
//! Bounded in bytes, depth, elements and the length of names. Without DTD and entities, so nothing in it grows or leads elsewhere.

use std::fmt::Write;
use std::sync::Arc;

/// The namespace of the attribute `xml:lang`.
pub(super) const XML: &str = "http://www.w3.org/XML/1998/namespace";

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
    pub(super) attributes: Vec<(Tag, String)>,
    pub(super) children: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
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
pub(super) fn is_letter(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
