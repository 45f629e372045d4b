//! Runs the vectors of texts (`testdata/texts`): pins and access tokens as people type and paste them.

use haul_protocol::{AccessToken, Pin};
use serde_json::json;

use crate::bodies::{Case, Found, cases};

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn pin(text: &str) -> Found {
    let pin: Pin = text.parse().ok()?;
    assert_eq!(pin.to_string().parse(), Ok(pin));
    Some(vec![("pin".to_owned(), json!(hex(&pin.0)))])
}

fn access_token(text: &str) -> Found {
    let token: AccessToken = text.parse().ok()?;
    assert_eq!(token.expose(), text.trim());
    // The crate gives nobody the bytes of the secret.
    let text = token.expose();
    let (_, secret) = text.split_at(text.len() - 43);
    let secret = data_encoding::BASE64URL_NOPAD.decode(secret.as_bytes()).ok()?;
    let secret: [u8; 32] = secret.try_into().ok()?;
    let id = data_encoding::BASE32_NOPAD.decode(token.id().to_uppercase().as_bytes()).ok()?;
    assert_eq!(AccessToken::new(id.try_into().ok()?, secret), token);
    Some(vec![("token".to_owned(), json!({"id": token.id(), "secret": hex(&secret)}))])
}

#[test]
fn texts_are_read_as_their_vectors_say() {
    let cases = cases("texts");
    assert!(cases.len() > 30, "only {} vectors of texts are there", cases.len());
    for Case { name, of, expected, body, .. } in cases {
        let text = std::str::from_utf8(&body).expect("a text is UTF-8");
        let found = match of.as_str() {
            "pin" => pin(text),
            "access_token" => access_token(text),
            other => panic!("{name}: {other}"),
        };
        assert_eq!(found, expected, "{name}");
    }
}
