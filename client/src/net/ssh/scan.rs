//! hauld's line of the greeting, and the lines of the script that copies hauld, found by the nonce in whatever the remote shell
//! prints before them.

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::ssh::{Denial, Offer, Remote};

/// The most bytes before the answer.
const MAX_NOISE: usize = 64 * 1024;

/// The most bytes of a line that is looked for.
const MAX_LINE: usize = 64 * 1024;

/// The most bytes that come at once.
pub(super) const ROOM: usize = 4096;

/// The most bytes that are kept.
const ALL: usize = MAX_NOISE + MAX_LINE + ROOM;

/// hauld's line.
#[derive(Deserialize)]
struct Answer<'a> {
    error: Option<Denial>,
    version: Option<String>,
    root: Option<String>,
    #[serde(default)]
    joined: bool,
    #[serde(borrow, default)]
    direct: Option<Way<'a>>,
}

/// The other way. The texts are borrowed, so that the token is in one place only.
#[derive(Deserialize)]
struct Way<'a> {
    address: &'a str,
    pin: &'a str,
    token: &'a str,
}

impl Way<'_> {
    /// The same, if it can be gone.
    fn offer(&self) -> Option<Offer> {
        let Self { address, pin, token } = self;
        let (address, pin, token) = (address.parse().ok()?, pin.parse().ok()?, token.parse().ok()?);
        Some(Offer { address, pin, token })
    }
}

/// An answer that makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Nonsense;

/// A line that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// hauld begins, or says why it does not.
    Answer(Result<Remote, Denial>),
    /// The script says this.
    Script(String),
}

/// The speaker of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Hauld,
    Script,
}

/// Looks for lines in the bytes that come.
#[derive(Debug)]
pub(super) struct Scan {
    /// The text before the words of each speaker.
    marks: [(Speaker, Vec<u8>); 2],
    /// All bytes so far, but for lines of the script. A token may be among them.
    bytes: Zeroizing<Vec<u8>>,
    /// The speaker and where the mark begins and ends, once one is found.
    found: Option<(Speaker, usize, usize)>,
    /// Bytes that have no mark in them.
    looked: usize,
}

impl Scan {
    pub(super) fn new(nonce: &str) -> Self {
        let mark = |word: &str| format!("{word} 1 {nonce} ").into_bytes();
        let marks = [(Speaker::Hauld, mark("hauld-stdio")), (Speaker::Script, mark("haul-script"))];
        // With all its room from the start, so that no copy of a token is left where the room was too little.
        let bytes = Zeroizing::new(Vec::with_capacity(ALL));
        Self { marks, bytes, found: None, looked: 0 }
    }

    /// The bytes before the line that is looked for.
    pub(super) fn noise(&self) -> &[u8] {
        &self.bytes[..self.found.map_or(self.bytes.len(), |(_, mark, _)| mark)]
    }

    /// Takes bytes that have come, at most [`ROOM`] of them. [`next_line`](Self::next_line) tells what is in them.
    ///
    /// # Errors
    /// If more have come than there is room for.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), Nonsense> {
        if self.bytes.len() + bytes.len() > ALL {
            return Err(Nonsense);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The next line, once all of it is there. There may be another one behind a line of the script.
    ///
    /// # Errors
    /// If too much comes before it, or it makes no sense, or bytes follow hauld's that nobody has asked for.
    pub(super) fn next_line(&mut self) -> Result<Option<Said>, Nonsense> {
        let Some((speaker, mark, words)) = self.found.or_else(|| self.look()) else {
            return if self.bytes.len() > MAX_NOISE { Err(Nonsense) } else { Ok(None) };
        };
        self.found = Some((speaker, mark, words));
        let Some(len) = self.bytes[words..].iter().position(|&byte| byte == b'\n') else {
            return if self.bytes.len() - words > MAX_LINE { Err(Nonsense) } else { Ok(None) };
        };
        let end = words + len;
        match speaker {
            Speaker::Hauld if end + 1 != self.bytes.len() => Err(Nonsense),
            Speaker::Hauld => answer(&self.bytes[words..end]).map(|said| Some(Said::Answer(said))),
            Speaker::Script => {
                let said = String::from_utf8_lossy(&self.bytes[words..end]).into_owned();
                self.bytes.drain(mark..=end);
                (self.found, self.looked) = (None, mark);
                Ok(Some(Said::Script(said)))
            }
        }
    }

    /// Looks for the first mark.
    fn look(&mut self) -> Option<(Speaker, usize, usize)> {
        let (bytes, looked) = (&self.bytes[..], self.looked);
        let places = self.marks.iter().filter_map(|(speaker, mark)| {
            let at = bytes[looked..].windows(mark.len()).position(|window| window == mark)?;
            Some((*speaker, looked + at, looked + at + mark.len()))
        });
        let first = places.min_by_key(|(_, at, _)| *at);
        let longest = self.marks.iter().map(|(_, mark)| mark.len()).max().unwrap_or_default();
        self.looked = bytes.len().saturating_sub(longest - 1).max(looked);
        first
    }
}

/// Reads hauld's line.
fn answer(json: &[u8]) -> Result<Result<Remote, Denial>, Nonsense> {
    match serde_json::from_slice(json).map_err(|_| Nonsense)? {
        Answer { error: Some(denial), .. } => Ok(Err(denial)),
        Answer { version: Some(version), root: Some(root), joined, direct, .. } => {
            let direct = direct.and_then(|way| way.offer());
            Ok(Ok(Remote { version, root, joined, direct }))
        }
        _ => Err(Nonsense),
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::{AccessToken, Pin};
    use proptest::prelude::*;

    use super::*;

    const NONCE: &str = "0123456789abcdef0123456789abcdef";

    impl Scan {
        /// The first line after these bytes.
        fn push(&mut self, bytes: &[u8]) -> Result<Option<Said>, Nonsense> {
            self.feed(bytes)?;
            self.next_line()
        }
    }

    fn line() -> String {
        format!(
            "hauld-stdio 1 {NONCE} {{\"version\":\"0.1.0\",\"root\":\"/r\",\"joined\":true,\"x\":1}}\n"
        )
    }

    fn begun() -> Said {
        let (version, root) = (String::from("0.1.0"), String::from("/r"));
        Said::Answer(Ok(Remote { version, root, joined: true, direct: None }))
    }

    #[test]
    fn lines_of_the_script_are_told_one_by_one_and_are_no_noise() {
        let mut scan = Scan::new(NONCE);
        let script = |words: &str| format!("haul-script 1 {NONCE} {words}\n");
        let said = |words: &str| Ok(Some(Said::Script(words.to_owned())));
        let both = format!("hello\n{}{}", script("a b"), script(""));
        assert_eq!(scan.push(both.as_bytes()), said("a b"));
        assert_eq!(scan.next_line(), said(""));
        assert_eq!((scan.push(b"more\n"), scan.noise()), (Ok(None), &b"hello\nmore\n"[..]));
        let all = format!("{}{}", script("c"), line());
        assert_eq!(scan.push(all.as_bytes()), said("c"));
        assert_eq!(scan.next_line(), Ok(Some(begun())));
    }

    #[test]
    fn failure_is_read() {
        let mut scan = Scan::new(NONCE);
        let line = format!(
            "hauld-stdio 1 {NONCE} {{\"error\":{{\"code\":\"denied\",\"message\":\"m\"}}}}\n"
        );
        let denial = Denial { code: String::from("denied"), message: String::from("m") };
        assert_eq!(scan.push(line.as_bytes()), Ok(Some(Said::Answer(Err(denial)))));
    }

    #[test]
    fn echo_of_the_question_and_another_nonce_are_noise() {
        let mut scan = Scan::new(NONCE);
        let question = format!("haul-stdio 1 {NONCE} {{\"root\":\"r\"}}\n");
        assert_eq!(scan.push(question.as_bytes()), Ok(None));
        let other = line().replace(NONCE, "00000000000000000000000000000000");
        assert_eq!(scan.push(other.as_bytes()), Ok(None));
        assert_eq!(scan.noise(), [question.as_bytes(), other.as_bytes()].concat());
        assert_eq!(scan.push(line().as_bytes()), Ok(Some(begun())));
    }

    #[test]
    fn other_way_is_read_and_one_that_can_not_be_gone_is_none() {
        let token = AccessToken::new([1; 5], [2; 32]);
        let (address, pin) = ("127.0.0.1:5000", Pin([3; 32]));
        let read = |address: &str, token: &str| {
            let line = format!(
                "hauld-stdio 1 {NONCE} {{\"direct\":{{\"address\":\"{address}\",\"pin\":\"{pin}\",\"token\":\"{token}\",\"x\":1}},\"joined\":false,\"root\":\"/r\",\"version\":\"0.1.0\"}}\n"
            );
            let said = Scan::new(NONCE).push(line.as_bytes()).unwrap().unwrap();
            let Said::Answer(Ok(remote)) = said else { panic!("{said:?}") };
            remote.direct
        };
        let offer = read(address, &token.expose()).unwrap();
        assert_eq!(
            (offer.address, offer.pin, &offer.token),
            (address.parse().unwrap(), pin, &token)
        );
        assert_eq!((read("box:5000", &token.expose()), read(address, "haul_x")), (None, None));
    }

    #[test]
    fn memory_is_bounded() {
        let mut scan = Scan::new(NONCE);
        assert_eq!(scan.push(&vec![b'x'; MAX_NOISE]), Ok(None));
        assert_eq!(scan.push(b"x"), Err(Nonsense));
        let mut scan = Scan::new(NONCE);
        assert_eq!(scan.push(format!("hauld-stdio 1 {NONCE} ").as_bytes()), Ok(None));
        assert_eq!(scan.push(&vec![b' '; MAX_LINE + 1]), Err(Nonsense));
        let all = vec![b'x'; ALL];
        let mut scan = Scan::new(NONCE);
        assert_eq!((scan.feed(&all), scan.feed(b"x")), (Ok(()), Err(Nonsense)));
    }

    #[test]
    fn nonsense_is_told() {
        for json in ["{}", "[]", "", "{\"version\":1,\"root\":\"/\"}", "{\"error\":1}"] {
            let line = format!("hauld-stdio 1 {NONCE} {json}\n");
            assert_eq!(Scan::new(NONCE).push(line.as_bytes()), Err(Nonsense), "{json}");
        }
        let more = line() + "x";
        assert_eq!(Scan::new(NONCE).push(more.as_bytes()), Err(Nonsense));
    }

    proptest! {
        #[test]
        fn answer_is_found_however_it_is_cut_and_whatever_comes_before(
            noise in prop::collection::vec(prop_oneof![Just(b'h'), Just(b'\n'), any::<u8>()], 0..200),
            cuts in prop::collection::vec(1_usize..40, 1..20),
        ) {
            let all = [&noise[..], line().as_bytes()].concat();
            let (mut scan, mut rest, mut found) = (Scan::new(NONCE), &all[..], None);
            for len in cuts.into_iter().cycle() {
                let (piece, after) = rest.split_at(len.min(rest.len()));
                prop_assert!(found.is_none());
                found = scan.push(piece).unwrap();
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, Some(begun()));
            prop_assert_eq!(scan.noise(), &noise[..]);
        }

        #[test]
        fn no_bytes_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..5)) {
            let mut scan = Scan::new(NONCE);
            for piece in [format!("hauld-stdio 1 {NONCE} ").into_bytes()].iter().chain(&pieces) {
                if scan.push(piece).is_err() {
                    break;
                }
            }
        }
    }
}
