//! A pattern with wildcards, and the names that it fits: bytes are compared with bytes, in any encoding.

/// The reason why a pattern fits nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// `[` without `]`, or a class between `[:` and `:]` that there isn't.
    Set,
    /// A set without any byte: `[/]`, since no set has a slash.
    Empty,
    /// `\` at the end.
    Backslash,
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Set => {
                "a `[` has no `]`, or names a class that there is not; write `\\[` for the letter"
            }
            Self::Empty => "a set has nothing but a slash, which no set fits",
            Self::Backslash => "nothing follows the last `\\`; write `\\\\` for the letter",
        })
    }
}

/// A pattern, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    /// The bytes that a name begins with.
    start: Box<[u8]>,
    rest: Rest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rest {
    /// A name ends with `start`.
    Nothing,
    /// One `*`, and the bytes that a name ends with: there is no slash between the two.
    Ends(Box<[u8]>),
    Pieces(Box<[Piece]>),
}

/// The form of a part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Byte(u8),
    /// `?`: a byte that is no slash.
    Any,
    /// `[…]`: one of some bytes, none of which is a slash.
    Set(Set),
    /// `*`: bytes without a slash, or none.
    Star,
    /// `**` as the last component, or before an escaped slash: any bytes, or none.
    Deep,
    /// `**/`: directories, each with its slash, or none.
    Directories,
}

/// A bit for each byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Set([u64; 4]);

impl Set {
    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte / 64)] |= 1 << (byte % 64);
    }

    fn remove(&mut self, byte: u8) {
        self.0[usize::from(byte / 64)] &= !(1 << (byte % 64));
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] >> (byte % 64) & 1 == 1
    }
}

/// Where to go on when the pieces since then did not fit.
#[derive(Clone, Copy)]
struct Mark {
    /// The piece that takes more.
    piece: usize,
    /// The bytes that it has taken end here.
    at: usize,
}

impl Glob {
    /// Takes a pattern apart.
    ///
    /// # Errors
    /// If no name has that form.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Flaw> {
        let is_special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
        let start = text.iter().position(is_special).unwrap_or(text.len());
        let (start, rest) = text.split_at(start);
        let rest = match rest {
            [] => Rest::Nothing,
            [b'*', end @ ..] if !end.iter().any(|byte| is_special(byte) || *byte == b'/') => {
                Rest::Ends(end.into())
            }
            // To git the pattern begins anew behind its first bytes without wildcards.
            rest => Rest::Pieces(pieces(rest)?.into()),
        };
        Ok(Self { start: start.into(), rest })
    }

    /// Whether a name, or a component of one, has this form.
    pub(super) fn fits(&self, name: &[u8]) -> bool {
        let Some(name) = name.strip_prefix(&*self.start) else { return false };
        match &self.rest {
            Rest::Nothing => name.is_empty(),
            Rest::Ends(end) => name.strip_suffix(&**end).is_some_and(|star| !star.contains(&b'/')),
            Rest::Pieces(pieces) => fit(pieces, name),
        }
    }
}

/// Whether the pieces, one after the other, can be the name. If one does not fit, the last piece that can take
/// more does so: a star as far as the next slash, behind that only the last piece that may be of any depth.
/// Such a piece takes as few bytes as it can, so earlier pieces need not be tried again.
fn fit(pieces: &[Piece], name: &[u8]) -> bool {
    let (mut piece, mut at) = (0, 0);
    let (mut star, mut deep): (Option<Mark>, Option<Mark>) = (None, None);
    loop {
        let byte = name.get(at).copied();
        let fits = match (pieces.get(piece), byte) {
            (None, None) => return true,
            (Some(Piece::Star), _) => {
                star = Some(Mark { piece, at });
                piece += 1;
                continue;
            }
            (Some(Piece::Deep | Piece::Directories), _) => {
                (star, deep) = (None, Some(Mark { piece, at }));
                piece += 1;
                continue;
            }
            (None, Some(_)) | (Some(_), None) => false,
            (Some(Piece::Byte(wanted)), Some(byte)) => *wanted == byte,
            (Some(Piece::Any), Some(byte)) => byte != b'/',
            (Some(Piece::Set(set)), Some(byte)) => set.has(byte),
        };
        if fits {
            piece += 1;
            at += 1;
            continue;
        }
        if let Some(mark) =
            star.as_mut().filter(|mark| !matches!(name.get(mark.at), None | Some(b'/')))
        {
            mark.at += 1;
            (piece, at) = (mark.piece + 1, mark.at);
        } else if let Some(mark) = &mut deep {
            let left = &name[mark.at..];
            let more = match pieces[mark.piece] {
                Piece::Directories => {
                    left.iter().position(|&byte| byte == b'/').map(|slash| slash + 1)
                }
                _ => (!left.is_empty()).then_some(1),
            };
            let Some(more) = more else { return false };
            mark.at += more;
            star = None;
            (piece, at) = (mark.piece + 1, mark.at);
        } else {
            return false;
        }
    }
}

fn pieces(text: &[u8]) -> Result<Vec<Piece>, Flaw> {
    let (mut pieces, mut at) = (Vec::new(), 0);
    while let Some(&byte) = text.get(at) {
        at += 1;
        pieces.push(match byte {
            b'?' => Piece::Any,
            b'\\' => {
                let escaped = *text.get(at).ok_or(Flaw::Backslash)?;
                at += 1;
                Piece::Byte(escaped)
            }
            b'[' => {
                let (set, used) = set(&text[at..]).ok_or(Flaw::Set)?;
                at += used;
                if set == Set::default() {
                    return Err(Flaw::Empty);
                }
                Piece::Set(set)
            }
            b'*' => {
                let before = at.checked_sub(2).map(|before| text[before]);
                let stars = text[at..].iter().take_while(|&&byte| byte == b'*').count();
                at += stars;
                let is_component = stars > 0 && matches!(before, None | Some(b'/'));
                match text[at..] {
                    [b'/', ..] if is_component => {
                        at += 1;
                        Piece::Directories
                    }
                    [] | [b'\\', b'/', ..] if is_component => Piece::Deep,
                    _ => Piece::Star,
                }
            }
            byte => Piece::Byte(byte),
        });
    }
    Ok(pieces)
}

/// The bytes that a set between `[` and `]` has, and the length of its text with the `]`; `None` if the set does not
/// end, or names a class that there is not.
fn set(text: &[u8]) -> Option<(Set, usize)> {
    let negated = matches!(text.first(), Some(b'!' | b'^'));
    let mut at = usize::from(negated);
    let (mut set, mut last, mut is_first) = (Set::default(), None, true);
    loop {
        let byte = *text.get(at)?;
        at += 1;
        match byte {
            b']' if !is_first => break,
            b'-' if last.is_some() && !matches!(text.get(at)?, b']') => {
                let mut end = *text.get(at)?;
                at += 1;
                if end == b'\\' {
                    end = *text.get(at)?;
                    at += 1;
                }
                (last.take()?..=end).for_each(|byte| set.add(byte));
            }
            b'[' if text.get(at) == Some(&b':') => {
                let inner = &text[at + 1..];
                let len = inner.iter().position(|&byte| byte == b']')?;
                if let Some(class) = inner[..len].strip_suffix(b":") {
                    let is_in = class_of(class)?;
                    (0..=u8::MAX).filter(is_in).for_each(|byte| set.add(byte));
                    at += len + 2;
                    last = None;
                } else {
                    // Not the end of a class: the letter.
                    set.add(b'[');
                    last = Some(b'[');
                }
            }
            byte => {
                let mut byte = byte;
                if byte == b'\\' {
                    byte = *text.get(at)?;
                    at += 1;
                }
                set.add(byte);
                last = Some(byte);
            }
        }
        is_first = false;
    }
    if negated {
        set.0.iter_mut().for_each(|bits| *bits = !*bits);
    }
    set.remove(b'/');
    Some((set, at))
}

/// The bytes of a class, as in ASCII.
fn class_of(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by trying everything.
    fn tried(pieces: &[Piece], name: &[u8]) -> bool {
        let Some((piece, rest)) = pieces.split_first() else { return name.is_empty() };
        let ends = |end: &usize| match piece {
            Piece::Star => !name[..*end].contains(&b'/'),
            Piece::Deep => true,
            Piece::Directories => *end == 0 || name[end - 1] == b'/',
            Piece::Byte(byte) => name[..*end] == [*byte],
            Piece::Any => *end == 1 && name[0] != b'/',
            Piece::Set(set) => *end == 1 && set.has(name[0]),
        };
        (0..=name.len()).filter(ends).any(|end| tried(rest, &name[end..]))
    }

    #[test]
    fn shortest_ways_find_what_all_ways_find() {
        let mut names = vec![Vec::new()];
        for index in 0.. {
            let name: &Vec<u8> = &names[index];
            if name.len() == 6 {
                break;
            }
            let longer = [b'a', b'b', b'/'].map(|byte| [&**name, &[byte]].concat());
            names.extend(longer);
        }
        let texts = ["a", "b", "/", "?", "*", "**/", "/**", "*/", "[ab]"];
        let mut number = 0_usize;
        for _ in 0..600 {
            number = (number * 25 + 13) % 59_049;
            let text: String = (0..5).map(|place| texts[number / 9_usize.pow(place) % 9]).collect();
            let pieces = pieces(text.as_bytes()).unwrap();
            for name in &names {
                assert_eq!(fit(&pieces, name), tried(&pieces, name), "{text} and {name:?}");
            }
        }
    }
}
