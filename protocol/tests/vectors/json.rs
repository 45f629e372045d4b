//! JSON as the second decoder reads it: with doubled fields, raw numbers and halves of surrogate pairs kept.

use crate::wrong::Wrong;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// As it was written.
    Number(String),
    Text(Text),
    Array(Vec<Self>),
    Object(Vec<(Text, Self)>),
}

/// A string, and whether it has half a surrogate pair.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) half: bool,
}

/// Reads one value with white space around it.
pub(crate) fn parse(text: &str, wrong: Wrong) -> Option<Json> {
    let mut parser = Parser { rest: text, wrong };
    let value = parser.value()?;
    parser.space();
    (parser.rest.is_empty() || wrong.is("takes bytes behind the object")).then_some(value)
}

struct Parser<'a> {
    rest: &'a str,
    wrong: Wrong,
}

impl Parser<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, what: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(what)?;
        Some(())
    }

    fn value(&mut self) -> Option<Json> {
        self.space();
        match self.rest.chars().next()? {
            '{' => self
                .list('{', '}', |parser| {
                    parser.space();
                    let name = parser.text()?;
                    parser.space();
                    parser.take(":")?;
                    Some((name, parser.value()?))
                })
                .map(Json::Object),
            '[' => self.list('[', ']', Self::value).map(Json::Array),
            '"' => self.text().map(Json::Text),
            '\'' if self.wrong.is("takes single quotes") => self.text().map(Json::Text),
            't' => self.take("true").map(|()| Json::Bool(true)),
            'f' => self.take("false").map(|()| Json::Bool(false)),
            'n' => self.take("null").map(|()| Json::Null),
            _ => self.number(),
        }
    }

    fn list<T>(
        &mut self,
        open: char,
        close: char,
        mut one: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let (open, close) = (open.to_string(), close.to_string());
        self.take(&open)?;
        let mut found = Vec::new();
        self.space();
        if self.take(&close).is_some() {
            return Some(found);
        }
        loop {
            found.push(one(self)?);
            self.space();
            if self.take(&close).is_some() {
                return Some(found);
            }
            self.take(",")?;
            self.space();
            if self.wrong.is("takes a trailing comma") && self.take(&close).is_some() {
                return Some(found);
            }
        }
    }

    fn number(&mut self) -> Option<Json> {
        let end = self.rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
        let (raw, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        let unsigned = raw.strip_prefix('-').unwrap_or(raw);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let zeros = whole.len() > 1 && whole.starts_with('0');
        let sound = digits(whole)
            && (!zeros || self.wrong.is("takes a number with a leading zero"))
            && fraction.is_none_or(digits)
            && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
        self.rest = rest;
        sound.then(|| Json::Number(raw.to_owned()))
    }

    fn text(&mut self) -> Option<Text> {
        let quote = self.rest.chars().next()?;
        if quote != '"' && !(quote == '\'' && self.wrong.is("takes single quotes")) {
            return None;
        }
        self.rest = &self.rest[1..];
        let mut found = Text::default();
        loop {
            let character = self.rest.chars().next()?;
            self.rest = &self.rest[character.len_utf8()..];
            match character {
                c if c == quote => return Some(found),
                '\\' => self.escape(&mut found)?,
                c if c < ' ' && !self.wrong.is("takes control characters in strings") => {
                    return None;
                }
                c => found.text.push(c),
            }
        }
    }

    fn escape(&mut self, found: &mut Text) -> Option<()> {
        let character = self.rest.chars().next()?;
        self.rest = &self.rest[character.len_utf8()..];
        found.text.push(match character {
            '"' | '\\' | '/' => character,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let unit = self.unit()?;
                let joins = !self.wrong.is("does not join surrogates");
                let next = self.rest.strip_prefix("\\u").filter(|_| joins);
                let low = next.and_then(|rest| u32::from_str_radix(rest.get(..4)?, 16).ok());
                match (unit, low) {
                    (0xD800..0xDC00, Some(low @ 0xDC00..0xE000)) => {
                        self.rest = &self.rest[6..];
                        char::from_u32(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))?
                    }
                    (unit, _) => char::from_u32(unit).unwrap_or_else(|| {
                        found.half = true;
                        '\u{fffd}'
                    }),
                }
            }
            _ => return None,
        });
        Some(())
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.rest = &self.rest[4..];
        u32::from_str_radix(digits, 16).ok()
    }
}
