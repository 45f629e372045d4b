//! The cipher of ssh. One thread of ssh does all of the work, and its default cipher costs twice as much as AES on a
//! processor that has AES.

use std::process::{Child, Command, Stdio};

use super::Ssh;
use crate::net::aes::has_aes;

/// The cheapest cipher.
const CHEAPEST: &str = "aes128-gcm@openssh.com";

/// Words that put the cheapest cipher before the others, unless the user or the system has chosen ciphers. To ask ssh takes
/// some 10 ms, and logging in some 300.
pub(super) fn wanted(place: &Ssh) -> Vec<String> {
    if !has_aes() {
        return Vec::new();
    }
    let login = place.login();
    // Both at once: each takes as long as ssh takes to start.
    let (chosen, usual) = (asked(&["-G", &login]), asked(&["-F", "none", "-G", &login]));
    match (configured(chosen), configured(usual)) {
        (Some(chosen), Some(usual)) if chosen == usual => first(&usual),
        _ => Vec::new(),
    }
}

/// Asks ssh for a configuration.
fn asked(words: &[&str]) -> Option<Child> {
    let mut command = Command::new("ssh");
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().ok()
}

/// The ciphers of the configuration that ssh prints.
fn configured(asked: Option<Child>) -> Option<String> {
    let output = asked?.wait_with_output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    text.lines().find_map(|line| line.strip_prefix("ciphers ")).map(str::to_owned)
}

/// The same ciphers with the cheapest one first.
fn first(usual: &str) -> Vec<String> {
    let others: Vec<_> = usual.trim().split(',').filter(|cipher| *cipher != CHEAPEST).collect();
    if others.len() == usual.trim().split(',').count() {
        return Vec::new();
    }
    vec![String::from("-c"), [&[CHEAPEST], &others[..]].concat().join(",")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cheapest_cipher_comes_first_if_ssh_has_it() {
        let usual = "chacha20-poly1305@openssh.com,aes128-ctr,aes128-gcm@openssh.com";
        let expected = "aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr";
        assert_eq!(first(usual), ["-c", expected]);
        assert_eq!(first("aes128-ctr"), [""; 0]);
    }
}
