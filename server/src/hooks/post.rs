//! A URL that is told of changes: hauld itself is the program of the hook then, and posts what it gets at standard input.

use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;

use clap::Args;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

/// The variable with the URL. A URL may have a secret in its path, and everybody can read the words of a process.
pub(super) const URL: &str = "HAULD_HOOK_URL";

/// The command of the program, which hauld alone starts.
pub(super) const COMMAND: &str = "hook-post";

/// Bytes of an answer that are told.
const MOST_TOLD: u64 = 200;

/// The words of the program: none.
#[derive(Debug, Clone, Copy, Args)]
pub struct HookPost {}

impl HookPost {
    /// Posts standard input to the URL.
    ///
    /// # Errors
    /// If it was not answered with a status of 200 to 299. The error names scheme and host of the URL only.
    pub fn run(self) -> Result<(), String> {
        let url = std::env::var(URL).map_err(|error| format!("{URL}: {error}"))?;
        let url = Url::new(&url)?;
        let mut lines = Vec::new();
        let read = std::io::stdin().read_to_end(&mut lines);
        read.map_err(|error| format!("standard input: {error}"))?;
        let sent = agent().post(&url.0).content_type("application/x-ndjson").send(&lines[..]);
        let answer = sent.map_err(|error| format!("{}: {error}", url.place()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let mut text = Vec::new();
        // The status counts, with its text or without.
        let _ = answer.into_body().into_reader().take(MOST_TOLD).read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text);
        let colon = if text.is_empty() { "" } else { ": " };
        Err(format!("{}: answered with {status}{colon}{text}", url.place()))
    }
}

/// A client that trusts the authorities of the system, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`; it follows no redirection,
/// and asks no proxy.
fn agent() -> ureq::Agent {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(
            Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        );
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("hauld/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build())
        .build()
        .into()
}

/// An address of `http` or `https` that can be told of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url(Uri);

impl Url {
    /// # Errors
    /// If it is none, or has a password in it. The error does not show the URL, which may be secret.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("the URL is wrong: {error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(String::from("the URL begins neither with https:// nor with http://"));
        }
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        match authority {
            None => Err(String::from("the URL names no host")),
            Some(authority) if authority.as_str().contains('@') => Err(String::from(
                "the URL has a name or password in it, which is not sent; a secret may be part of its path",
            )),
            Some(authority)
                if authority.as_str() != authority.host() && uri.port_u16().is_none() =>
            {
                Err(String::from("the port of the URL is not a number from 1 to 65535"))
            }
            Some(_) => Ok(Self(uri)),
        }
    }

    /// Scheme and host, without the rest, which may be secret.
    pub(crate) fn place(&self) -> String {
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        format!("{}://{authority}", self.0.scheme_str().unwrap_or_default())
    }

    /// Whether others on the way can read what is posted.
    pub(crate) fn is_in_clear(&self) -> bool {
        let host = self.0.host().unwrap_or_default();
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let is_here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        self.0.scheme_str() == Some("http") && !is_here
    }

    /// The whole URL.
    pub(super) fn text(&self) -> String {
        self.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_taken_or_refused_without_showing_it() {
        for (text, place, is_in_clear) in [
            ("https://box.example/a/b?key=s3cret", "https://box.example", false),
            ("https://box.example:8443", "https://box.example:8443", false),
            ("http://box.example/", "http://box.example", true),
            ("http://127.0.0.1:80/x", "http://127.0.0.1:80", false),
            ("http://[::1]:80/x", "http://[::1]:80", false),
            ("http://localhost/x", "http://localhost", false),
        ] {
            let url = Url::new(text).unwrap();
            assert_eq!((&*url.place(), url.is_in_clear()), (place, is_in_clear), "{text}");
        }
        for text in [
            "https://",
            "https:///s3cret",
            "ftp://box.example/s3cret",
            "file:///s3cret",
            "https://alice:s3cret@box.example/",
            "https://box.example/s3 cret",
            "https://box.example:99999999/s3cret",
            "https://box.example:/s3cret",
            "https://[::1]:x/s3cret",
            "://s3cret",
        ] {
            let why = Url::new(text).unwrap_err();
            assert!(!why.contains("s3c"), "{text}: {why}");
        }
    }
}
