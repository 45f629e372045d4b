//! JSON objects of which a run writes very many: an entry's line for each file.

use alloc::vec::Vec;

use serde::Serialize;

use crate::encode::append_json;

/// An object that is being written. serde_json would look for escapes in the names of its fields, which takes longer than
/// everything else about a line.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    /// Appends a field if it has a value. No byte of its name needs an escape.
    pub(crate) fn field(&mut self, name: &'static str, value: Option<&impl Serialize>) {
        let Some(value) = value else { return };
        self.out.extend_from_slice(if self.is_empty { b"\"" } else { b",\"" });
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        append_json(value, self.out);
        self.is_empty = false;
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_has_the_fields_that_have_a_value() {
        let mut out = Vec::new();
        for fields in [&[][..], &[("a", None)], &[("a", Some("1\"")), ("b", None), ("c", Some(""))]]
        {
            let mut object = Object::begin(&mut out);
            fields.iter().for_each(|&(name, value)| object.field(name, value.as_ref()));
            object.end();
        }
        assert_eq!(out, br#"{}{}{"a":"1\"","c":""}"#);
    }
}
