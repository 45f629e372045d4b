//! The client's line of the greeting, with the nonce by which the answer is found.

use data_encoding::BASE64;
use serde::Serialize;

use super::{Access, Ssh, words};

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

#[cfg(test)]
mod tests {
    use super::super::Runs;
    use super::*;

    const NONCE: &str = "0123456789abcdef0123456789abcdef";

    fn place(root: &[u8], access: Access) -> Ssh {
        let (user, host, port) = (None, String::from("box"), None);
        Ssh { user, host, port, root: root.to_vec(), access, runs: Runs::default() }
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
    fn other_way_is_asked_for() {
        let question = question(NONCE, &place(b"r", Access::Reads), true).unwrap();
        assert!(question.ends_with(b",\"direct\":true}\n"));
    }
}
