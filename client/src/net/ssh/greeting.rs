//! The greeting: one line in each direction before the protocol begins, with a nonce by which the answer is found in whatever
//! the remote shell prints before it.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Access, Ssh, words};
use crate::error::ssh::{Denial, Offer, Remote};

/// The most bytes before the answer.
const MAX_NOISE: usize = 64 * 1024;

/// The most bytes of the answer.
const MAX_LINE: usize = 64 * 1024;

/// The most bytes that come at once.
pub(super) const ROOM: usize = 4096;

/// The client's line.
#[derive(Serialize)]
struct Question<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_b64: Option<String>,
    make: bool,
    change: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    direct: bool,
}

/// The line that begins a connection to this root. `direct`: it asks for the other way, too.
///
/// # Errors
/// If it can't be put into words, which is a bug here.
pub(super) fn question(
    nonce: &str,
    place: &Ssh,
    direct: bool,
) -> Result<Vec<u8>, serde_json::Error> {
    let root = words::root(place);
    let text = std::str::from_utf8(root).ok();
    let question = Question {
        root: text,
        root_b64: text.is_none().then(|| BASE64.encode(root)),
        make: place.access == Access::Makes,
        change: matches!(place.access, Access::Changes | Access::Makes),
        direct,
    };
    Ok(format!("haul-stdio 1 {nonce} {}\n", serde_json::to_string(&question)?).into_bytes())
}

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

/// Looks for the answer in the bytes that come.
#[derive(Debug)]
pub(super) struct Scan {
    /// The text before the JSON of the answer.
    mark: Vec<u8>,
    /// All bytes so far. A token may be among them.
    bytes: Zeroizing<Vec<u8>>,
    /// Where the JSON begins, once the mark is found.
    json: Option<usize>,
    /// Bytes that have no mark in them.
    looked: usize,
}

impl Scan {
    pub(super) fn new(nonce: &str) -> Self {
        let mark = format!("hauld-stdio 1 {nonce} ").into_bytes();
        // With all its room from the start, so that no copy of a token is left where the room was too little.
        let bytes = Zeroizing::new(Vec::with_capacity(MAX_NOISE + MAX_LINE + ROOM));
        Self { mark, bytes, json: None, looked: 0 }
    }

    /// The bytes before the answer.
    pub(super) fn noise(&self) -> &[u8] {
        let end = self.json.map_or(self.bytes.len(), |json| json - self.mark.len());
        &self.bytes[..end]
    }

    /// Takes bytes that have come; the answer, once all of it is there.
    ///
    /// # Errors
    /// If too much comes before the answer, or it makes no sense, or bytes follow it that nobody has asked for.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
    ) -> Result<Option<Result<Remote, Denial>>, Nonsense> {
        self.bytes.extend_from_slice(bytes);
        let json = match self.json {
            Some(json) => json,
            None => {
                let found = self.bytes[self.looked..].windows(self.mark.len());
                let found = found.into_iter().position(|window| window == self.mark);
                let Some(at) = found else {
                    self.looked = self.bytes.len().saturating_sub(self.mark.len() - 1);
                    return if self.bytes.len() > MAX_NOISE { Err(Nonsense) } else { Ok(None) };
                };
                *self.json.insert(self.looked + at + self.mark.len())
            }
        };
        let Some(end) = self.bytes[json..].iter().position(|&byte| byte == b'\n') else {
            return if self.bytes.len() - json > MAX_LINE { Err(Nonsense) } else { Ok(None) };
        };
        if json + end + 1 != self.bytes.len() {
            return Err(Nonsense);
        }
        let answer = serde_json::from_slice(&self.bytes[json..json + end]).map_err(|_| Nonsense)?;
        match answer {
            Answer { error: Some(denial), .. } => Ok(Some(Err(denial))),
            Answer { version: Some(version), root: Some(root), joined, direct, .. } => {
                let direct = direct.and_then(|way| way.offer());
                Ok(Some(Ok(Remote { version, root, joined, direct })))
            }
            _ => Err(Nonsense),
        }
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::{AccessToken, Pin};
    use proptest::prelude::*;

    use super::super::Runs;
    use super::*;

    const NONCE: &str = "0123456789abcdef0123456789abcdef";

    fn place(root: &[u8], access: Access) -> Ssh {
        let (user, host, port) = (None, String::from("box"), None);
        Ssh { user, host, port, root: root.to_vec(), access, runs: Runs::default() }
    }

    fn answer() -> String {
        format!(
            "hauld-stdio 1 {NONCE} {{\"version\":\"0.1.0\",\"root\":\"/r\",\"joined\":true,\"x\":1}}\n"
        )
    }

    fn remote() -> Remote {
        let (version, root) = (String::from("0.1.0"), String::from("/r"));
        Remote { version, root, joined: true, direct: None }
    }

    #[test]
    fn question_has_the_root_byte_for_byte() {
        let text = |place| String::from_utf8(question(NONCE, &place, false).unwrap()).unwrap();
        assert_eq!(
            text(place(b"a b/\"c\"\n", Access::Makes)),
            format!(
                "haul-stdio 1 {NONCE} {{\"root\":\"a b/\\\"c\\\"\\n\",\"make\":true,\"change\":true}}\n"
            )
        );
        assert_eq!(
            text(place(b"\xff", Access::Reads)),
            format!(
                "haul-stdio 1 {NONCE} {{\"root_b64\":\"/w==\",\"make\":false,\"change\":false}}\n"
            )
        );
        assert!(text(place(b"", Access::Changes)).contains("\"root\":\".\""));
    }

    #[test]
    fn failure_is_read() {
        let mut scan = Scan::new(NONCE);
        let line = format!(
            "hauld-stdio 1 {NONCE} {{\"error\":{{\"code\":\"denied\",\"message\":\"m\"}}}}\n"
        );
        let denial = Denial { code: String::from("denied"), message: String::from("m") };
        assert_eq!(scan.push(line.as_bytes()), Ok(Some(Err(denial))));
    }

    #[test]
    fn echo_of_the_question_and_another_nonce_are_noise() {
        let mut scan = Scan::new(NONCE);
        let question = question(NONCE, &place(b"r", Access::Reads), true).unwrap();
        assert!(question.ends_with(b",\"direct\":true}\n"));
        assert_eq!(scan.push(&question), Ok(None));
        let other = answer().replace(NONCE, "00000000000000000000000000000000");
        assert_eq!(scan.push(other.as_bytes()), Ok(None));
        assert_eq!(scan.noise(), [&question[..], other.as_bytes()].concat());
        assert_eq!(scan.push(answer().as_bytes()), Ok(Some(Ok(remote()))));
    }

    #[test]
    fn other_way_is_read_and_one_that_can_not_be_gone_is_none() {
        let token = AccessToken::new([1; 5], [2; 32]);
        let (address, pin) = ("127.0.0.1:5000", Pin([3; 32]));
        let read = |address: &str, token: &str| {
            let line = format!(
                "hauld-stdio 1 {NONCE} {{\"direct\":{{\"address\":\"{address}\",\"pin\":\"{pin}\",\"token\":\"{token}\",\"x\":1}},\"joined\":false,\"root\":\"/r\",\"version\":\"0.1.0\"}}\n"
            );
            Scan::new(NONCE).push(line.as_bytes()).unwrap().unwrap().unwrap().direct
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
    }

    #[test]
    fn nonsense_is_told() {
        for json in ["{}", "[]", "", "{\"version\":1,\"root\":\"/\"}", "{\"error\":1}"] {
            let line = format!("hauld-stdio 1 {NONCE} {json}\n");
            assert_eq!(Scan::new(NONCE).push(line.as_bytes()), Err(Nonsense), "{json}");
        }
        let more = answer() + "x";
        assert_eq!(Scan::new(NONCE).push(more.as_bytes()), Err(Nonsense));
    }

    proptest! {
        #[test]
        fn answer_is_found_however_it_is_cut_and_whatever_comes_before(
            noise in prop::collection::vec(prop_oneof![Just(b'h'), Just(b'\n'), any::<u8>()], 0..200),
            cuts in prop::collection::vec(1_usize..40, 1..20),
        ) {
            let all = [&noise[..], answer().as_bytes()].concat();
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
            prop_assert_eq!(found, Some(Ok(remote())));
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
