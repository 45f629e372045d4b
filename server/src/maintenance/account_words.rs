//! Words of the command line that are about accounts.

use std::net::Ipv6Addr;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use haul_protocol::{Right, Rights};

use crate::accounts::file;
use crate::accounts::{AccountName, View};
use crate::error::StartError;

pub(super) fn account_name(text: &str) -> Result<AccountName, StartError> {
    let wrong = || {
        let rule = AccountName::RULE;
        StartError::Usage(format!("`{text}` can't be the name of an account: {rule}"))
    };
    AccountName::parse(text).ok_or_else(wrong)
}

/// The view of an account below the server's root.
pub(super) fn root(
    name: &AccountName,
    root: Option<&str>,
    server_root: &Path,
) -> Result<View, StartError> {
    if let Some(text) = root
        .filter(|text| text.starts_with('/') || (*text != "." && Path::new(text) == server_root))
    {
        return Err(StartError::Usage(format!(
            "`{text}`: --root is the account's directory below the server's root; --server-root names that one"
        )));
    }
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
    match parse_size::parse_size(text) {
        Ok(0) => {
            Err(String::from("0 would let nothing through; without this option there is no limit"))
        }
        Ok(size) => Ok(size),
        Err(_) => Err(String::from("not a number of bytes, such as 5000, 10MiB or 2GB")),
    }
}

/// A number of things of which there is one at least.
pub(super) fn count<T: FromStr + Default + PartialEq>(text: &str) -> Result<T, String> {
    match text.parse() {
        Ok(count) if count != T::default() => Ok(count),
        _ => Err(String::from("not a whole number from 1 on")),
    }
}

/// An address for a link.
pub(super) fn address(text: &str) -> Result<String, String> {
    let is_of_host =
        |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte) || !byte.is_ascii();
    let is_host = |host: &str| match host.strip_prefix('[').and_then(|host| host.strip_suffix(']'))
    {
        Some(host) => host.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_of_host),
    };
    match text.rsplit_once(':') {
        Some((host, port)) if is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Ok(text.to_owned())
        }
        _ if is_host(text) => Err(format!("the port is missing: {text}:8080, say")),
        _ => Err(String::from("not HOST:PORT or [V6]:PORT with a port from 1 to 65535")),
    }
}

/// The second since 1970 of a day, a time, or a time from now; not one that has passed.
pub(super) fn end(text: &str) -> Result<i64, String> {
    let end = moment(text)?;
    if end <= now() {
        return Err(String::from("this time has passed"));
    }
    Ok(end)
}

fn moment(text: &str) -> Result<i64, String> {
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
        assert_eq!(moment("2027-01-01"), Ok(1_798_761_600));
        assert_eq!(moment("2027-01-01T01:00:00+01:00"), Ok(1_798_761_600));
        assert!((end("7d").unwrap() - now() - 7 * 86_400).abs() < 5);
        assert!(
            end("2027-13-01").is_err()
                && end("soon").is_err()
                && end("2027-01-01T00:00:00").is_err()
        );
    }

    #[test]
    fn limits_of_nothing_and_ends_that_have_passed_are_wrong() {
        assert!(size("0").is_err() && size("1KiB") == Ok(1024));
        assert!(count::<u32>("0").is_err() && count::<u32>("4294967296").is_err());
        assert_eq!(count::<u64>("7"), Ok(7));
        assert!(end("2020-01-01").unwrap_err().contains("passed") && end("0s").is_err());
    }

    #[test]
    fn address_is_a_host_and_a_port() {
        for right in ["box:8080", "box.example:1", "127.0.0.1:65535", "[::1]:80"] {
            assert_eq!(address(right).as_deref(), Ok(right));
        }
        for wrong in [
            "box",
            "box:0",
            "box:65536",
            "http://box:80",
            "box:80/d",
            ":80",
            "::1:80",
            "a@box:80",
            "box:",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn address_without_a_port_is_told_with_one() {
        for (wrong, right) in
            [("box", "box:8080"), ("[::1]", "[::1]:8080"), ("box.lan", "box.lan:8080")]
        {
            assert_eq!(address(wrong), Err(format!("the port is missing: {right}, say")));
            assert_eq!(address(right).as_deref(), Ok(right));
        }
    }

    #[test]
    fn name_that_no_account_can_have_is_told_with_the_rule() {
        for wrong in ["Alice", "al ice", "-a", "", &"a".repeat(33)] {
            let told = account_name(wrong).unwrap_err().to_string();
            assert!(told.ends_with(
                "has up to 32 of a-z, 0-9, `.`, `_` and `-`, and begins with a letter or digit"
            ));
        }
        assert_eq!(account_name("a.b_c-0").unwrap().as_str(), "a.b_c-0");
    }

    #[test]
    fn root_that_is_the_servers_is_told_with_the_option_for_it() {
        let alice = AccountName::parse("alice").unwrap();
        for wrong in ["/srv/haul", "./uploads"] {
            let told = root(&alice, Some(wrong), Path::new("./uploads")).unwrap_err().to_string();
            assert!(told.contains("--server-root"), "{told}");
        }
        assert!(root(&alice, Some("."), Path::new(".")).is_ok());
    }
}
