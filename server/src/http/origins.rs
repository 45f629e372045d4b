//! Pages of other servers that the owner lets ask here (`--http-origin`), and what browsers want to be told of that (CORS, in
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! Such a page may do what its token may. A cookie is never the proof of one: it is for this server's own pages.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::host::is_authority;
use super::response::Response;
use super::status::Status;

/// The origin of a page: `https://app.example`, or `http://app.example:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOrigin(String);

/// The text is no origin of a page.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not https://NAME or http://NAME, perhaps with :PORT, and nothing behind it")]
pub struct HttpOriginError(String);

impl FromStr for HttpOrigin {
    type Err = HttpOriginError;

    fn from_str(text: &str) -> Result<Self, HttpOriginError> {
        let wrong = || HttpOriginError(text.to_owned());
        let origin = text.to_ascii_lowercase();
        let (scheme, authority) = origin.split_once("://").ok_or_else(wrong)?;
        let usual = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => return Err(wrong()),
        };
        if !is_authority(authority) || authority.ends_with(':') {
            return Err(wrong());
        }
        // Browsers leave the usual port out.
        Ok(Self(origin.strip_suffix(usual).unwrap_or(&origin).to_owned()))
    }
}

impl fmt::Display for HttpOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The origins that the owner has named.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins(Vec<HttpOrigin>);

impl Origins {
    pub(crate) fn new(origins: &[HttpOrigin]) -> Self {
        Self(origins.to_vec())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the owner has named this `Origin`.
    pub(crate) fn knows(&self, origin: &str) -> bool {
        self.0.iter().any(|known| known.0 == origin)
    }
}

/// The fields of answers that a script of such a page may read, besides those that any may.
pub(crate) const EXPOSED: &str = "Accept-Ranges, Allow, Content-Range, DAV, Date, ETag, Location, Repr-Digest, Retry-After, \
    Tus-Checksum-Algorithm, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Complete, Upload-Defer-Length, \
    Upload-Expires, Upload-Length, Upload-Limit, Upload-Metadata, Upload-Offset, WWW-Authenticate";

/// The answer to a browser that asks whether a page of a named origin may send a request.
pub(crate) fn preflight() -> Response {
    Response::new(Status::NO_CONTENT)
        .with("Access-Control-Allow-Methods", METHODS)
        .with("Access-Control-Allow-Headers", FIELDS)
        .with("Access-Control-Max-Age", "7200")
}

const METHODS: &str = "GET, HEAD, PUT, POST, PATCH, DELETE, MKCOL, MOVE, COPY, PROPFIND, PROPPATCH, LOCK, UNLOCK, OPTIONS";

const FIELDS: &str = "Authorization, Content-Digest, Content-Type, Depth, Destination, If, If-Match, If-Modified-Since, \
    If-None-Match, If-Range, If-Unmodified-Since, Lock-Token, Overwrite, Range, Repr-Digest, Timeout, Tus-Resumable, \
    Upload-Checksum, Upload-Complete, Upload-Concat, Upload-Defer-Length, Upload-Draft-Interop-Version, Upload-Length, \
    Upload-Metadata, Upload-Offset, Want-Repr-Digest, X-HTTP-Method-Override, X-OC-Mtime, X-Requested-With";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_schemes_and_hosts_as_browsers_tell_them() {
        let parsed = |text: &str| text.parse::<HttpOrigin>().map(|origin| origin.to_string());
        for (text, origin) in [
            ("https://app.example", "https://app.example"),
            ("HTTPS://App.Example:443", "https://app.example"),
            ("http://app.example:80", "http://app.example"),
            ("http://app.example:443", "http://app.example:443"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(origin));
        }
        for wrong in [
            "",
            "*",
            "null",
            "app.example",
            "https://",
            "https://*.example",
            "https://a.example/",
            "https://a.example/x",
            "https://u@a.example",
            "ftp://a.example",
            "https://a.example:x",
            "https://a.example:",
            "https://a b",
            "file://",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        let origins = Origins::new(&["https://app.example".parse().unwrap()]);
        assert!(origins.knows("https://app.example"));
        for other in [
            "http://app.example",
            "https://app.example:8443",
            "https://app.example.evil",
            "null",
            "",
        ] {
            assert!(!origins.knows(other), "{other}");
        }
        assert!(Origins::default().is_empty() && !Origins::default().knows("null"));
    }
}
