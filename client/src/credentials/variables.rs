//! The tokens that the environment gives: `HAUL_TOKEN`, and the file that `HAUL_TOKEN_FILE` names.

use std::env;
use std::path::PathBuf;

use haul_protocol::AccessToken;
use zeroize::Zeroizing;

use super::private;
use crate::error::account::TokenPlace;
use crate::error::credentials::CredentialsError;

/// The token itself.
const TOKEN: &str = "HAUL_TOKEN";

/// The path of a file with the token in its first line.
const TOKEN_FILE: &str = "HAUL_TOKEN_FILE";

/// The token of the environment, and its place.
///
/// # Errors
/// If a variable is set, and what it gives is no token or can't be read.
pub(super) fn find() -> Result<Option<(AccessToken, TokenPlace)>, CredentialsError> {
    if let Some(text) = env::var_os(TOKEN).filter(|text| !text.is_empty()) {
        let text = Zeroizing::new(text.into_encoded_bytes());
        let token = token(&text, TOKEN.to_owned())?;
        return Ok(Some((token, TokenPlace::Variable)));
    }
    let Some(path) = env::var_os(TOKEN_FILE).filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(path);
    let text = private::read(&path)?;
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let token = token(line, path.display().to_string())?;
    Ok(Some((token, TokenPlace::File(path))))
}

/// The variable that is set.
pub(super) fn is_set() -> Option<&'static str> {
    let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    [TOKEN, TOKEN_FILE].into_iter().find(is_set)
}

/// A token in the text of some place.
fn token(text: &[u8], place: String) -> Result<AccessToken, CredentialsError> {
    // Bytes that are no text are no token either, and the empty text says so.
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.parse().map_err(|source| CredentialsError::Malformed { place, source })
}
