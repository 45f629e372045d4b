//! Words of the command line that are about accounts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use haul_protocol::{Right, Rights};

use crate::accounts::file;
use crate::accounts::{AccountName, View};
use crate::error::StartError;

pub(super) fn account_name(text: &str) -> Result<AccountName, StartError> {
    let wrong = || StartError::Usage(format!("`{text}` can't be the name of an account"));
    AccountName::parse(text).ok_or_else(wrong)
}

pub(super) fn root(name: &AccountName, root: Option<&str>) -> Result<View, StartError> {
    file::root(root.unwrap_or(name.as_str())).map_err(StartError::Usage)
}

pub(super) fn system_user(text: &str) -> Result<u32, String> {
    if let Ok(user) = text.parse() {
        return Ok(user);
    }
    match nix::unistd::User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(String::from("this machine has no such user")),
        Err(error) => Err(error.to_string()),
    }
}

/// Rights from the command line: a preset, or words.
pub(super) fn rights(text: &str) -> Result<Rights, String> {
    match text {
        "writer" => return Ok(Rights::writer()),
        "mirror" => return Ok(Rights::mirror()),
        "reader" => return Ok(Rights::reader()),
        "drop" => return Ok(Rights::drop_box()),
        _ => {}
    }
    let words = text.split(',').map(|word| {
        Right::parse(word.trim()).ok_or_else(|| {
            format!("`{word}` is none of put, replace, delete, list, get, publish, nor of writer, mirror, reader, drop")
        })
    });
    words.collect()
}

pub(super) fn size(text: &str) -> Result<u64, String> {
    parse_size::parse_size(text).map_err(|error| error.to_string())
}

/// The second since 1970 of a day, a time, or a time from now.
pub(super) fn end(text: &str) -> Result<i64, String> {
    if let Some(second) = text.parse().ok().as_ref().and_then(file::second) {
        return Ok(second);
    }
    let from_now = humantime::parse_duration(text);
    let from_now = from_now.map_err(|_| {
        String::from(
            "neither a day (2027-01-01), a time with its offset, nor a time from now (30d)",
        )
    })?;
    Ok(now().saturating_add(seconds(from_now)))
}

pub(super) fn now() -> i64 {
    seconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(super) fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_command_line_are_rights_and_ends() {
        assert_eq!(rights("put,list").unwrap().to_string(), "put, list");
        assert!(rights("put,fly").unwrap_err().contains("`fly`"));
        assert_eq!(end("2027-01-01"), Ok(1_798_761_600));
        assert_eq!(end("2027-01-01T01:00:00+01:00"), Ok(1_798_761_600));
        assert!((end("7d").unwrap() - now() - 7 * 86_400).abs() < 5);
        assert!(
            end("2027-13-01").is_err()
                && end("soon").is_err()
                && end("2027-01-01T00:00:00").is_err()
        );
    }
}
