//! The account of a user, as `haul login` and `haul whoami` tell it.

use haul_protocol::{AccountFacts, Used};
use humansize::{BINARY, format_size};

use crate::cli::ending::Ending;
use crate::cli::events::{Account, Event};
use crate::net::destination::Server;

/// Tells the account at a server; `None`: the server asks nobody for one.
pub(super) fn tell(server: &Server, facts: Option<&AccountFacts>, ending: &Ending<'_>) {
    ending.event_or(&Event::Account(of(server, facts)), &lines(server, facts));
}

/// The facts for programs.
fn of(server: &Server, facts: Option<&AccountFacts>) -> Account {
    let quota = |used: fn(&AccountFacts) -> Option<Used>| facts.and_then(used);
    let (bytes, files) = (quota(|facts| facts.bytes), quota(|facts| facts.files));
    Account {
        server: server.to_string(),
        account: facts.map(|facts| facts.name.clone()),
        rights: facts.map(|facts| facts.rights.iter().map(|right| right.as_str()).collect()),
        expires: facts.and_then(|facts| facts.expires),
        used_bytes: bytes.map(|bytes| bytes.used),
        quota_bytes: bytes.map(|bytes| bytes.quota),
        used_files: files.map(|files| files.used),
        quota_files: files.map(|files| files.quota),
    }
}

/// The facts for people.
fn lines(server: &Server, facts: Option<&AccountFacts>) -> Vec<String> {
    let Some(AccountFacts { name, rights, expires, bytes, files }) = facts else {
        return vec![format!("{server} asks nobody for an account")];
    };
    let rights = if rights.is_empty() { String::from("none") } else { rights.to_string() };
    let mut lines = vec![format!("{name} at {server}"), format!("rights: {rights}")];
    if let Some(Used { used, quota }) = bytes {
        let [used, quota] = [used, quota].map(|bytes| format_size(*bytes, BINARY));
        lines.push(format!("bytes: {used} of {quota}"));
    }
    if let Some(Used { used, quota }) = files {
        lines.push(format!("files, directories and links: {used} of {quota}"));
    }
    if let Some(expires) = expires {
        let at = jiff::Timestamp::from_second(*expires)
            .map(|time| time.to_zoned(jiff::tz::TimeZone::system()))
            .map_or_else(
                |_| format!("@{expires}"),
                |time| time.strftime("%Y-%m-%d %H:%M:%S%:z").to_string(),
            );
        lines.push(format!("expires: {at}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use haul_protocol::Rights;

    use super::*;

    #[test]
    fn only_facts_that_the_server_tells_have_a_line() {
        let server = Server::Tcp { host: String::from("box"), port: 8080 };
        let facts = AccountFacts {
            name: String::from("alice"),
            rights: Rights::writer(),
            expires: None,
            bytes: None,
            files: None,
        };
        assert_eq!(
            lines(&server, Some(&facts)),
            ["alice at box:8080", "rights: put, replace, list"]
        );
        let used = |used, quota| Some(Used { used, quota });
        let (bytes, files) = (used(3 << 20, 1 << 30), used(2, 10));
        let all = AccountFacts { expires: Some(0), bytes, files, ..facts };
        let lines = lines(&server, Some(&all));
        assert_eq!(lines[2..4], ["bytes: 3 MiB of 1 GiB", "files, directories and links: 2 of 10"]);
        assert!(lines[4].starts_with("expires: 19"), "{lines:?}");
    }
}
