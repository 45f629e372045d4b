//! The statuses that this server answers with, and the one table that turns codes of refusals into them.

use haul_protocol::Code;

/// A status: its number and its phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u16, pub(crate) &'static str);

impl Status {
    pub(crate) const OK: Self = Self(200, "OK");
    pub(crate) const CREATED: Self = Self(201, "Created");
    pub(crate) const NO_CONTENT: Self = Self(204, "No Content");
    pub(crate) const PARTIAL: Self = Self(206, "Partial Content");
    pub(crate) const MULTI: Self = Self(207, "Multi-Status");
    pub(crate) const SEE_OTHER: Self = Self(303, "See Other");
    pub(crate) const MOVED: Self = Self(308, "Permanent Redirect");
    pub(crate) const NOT_MODIFIED: Self = Self(304, "Not Modified");
    pub(crate) const BAD: Self = Self(400, "Bad Request");
    pub(crate) const UNAUTHORIZED: Self = Self(401, "Unauthorized");
    pub(crate) const FORBIDDEN: Self = Self(403, "Forbidden");
    pub(crate) const NOT_FOUND: Self = Self(404, "Not Found");
    pub(crate) const METHOD: Self = Self(405, "Method Not Allowed");
    pub(crate) const TIMEOUT: Self = Self(408, "Request Timeout");
    pub(crate) const LENGTH_REQUIRED: Self = Self(411, "Length Required");
    pub(crate) const CONFLICT: Self = Self(409, "Conflict");
    pub(crate) const PRECONDITION: Self = Self(412, "Precondition Failed");
    pub(crate) const TOO_LARGE: Self = Self(413, "Content Too Large");
    pub(crate) const MEDIA: Self = Self(415, "Unsupported Media Type");
    pub(crate) const RANGE: Self = Self(416, "Range Not Satisfiable");
    pub(crate) const EXPECTATION: Self = Self(417, "Expectation Failed");
    pub(crate) const MISDIRECTED: Self = Self(421, "Misdirected Request");
    pub(crate) const FAILED_DEPENDENCY: Self = Self(424, "Failed Dependency");
    pub(crate) const HEAD_TOO_LARGE: Self = Self(431, "Request Header Fields Too Large");
    pub(crate) const INTERNAL: Self = Self(500, "Internal Server Error");
    pub(crate) const NOT_IMPLEMENTED: Self = Self(501, "Not Implemented");
    pub(crate) const BUSY: Self = Self(503, "Service Unavailable");
    /// Of tus.
    pub(crate) const CHECKSUM: Self = Self(460, "Checksum Mismatch");
    pub(crate) const NO_ROOM: Self = Self(507, "Insufficient Storage");

    /// The status of a refusal.
    pub(crate) fn of(code: &Code) -> Self {
        match code {
            Code::Timeout => Self::TIMEOUT,
            Code::ShuttingDown | Code::Busy | Code::RootGone => Self::BUSY,
            Code::Unauthorized => Self::UNAUTHORIZED,
            Code::Forbidden
            | Code::Permission
            | Code::Unwanted
            | Code::Escape
            | Code::CrossDevice
            | Code::Symlink => Self::FORBIDDEN,
            Code::NotFound => Self::NOT_FOUND,
            Code::Conflict | Code::Exists | Code::Changed => Self::CONFLICT,
            Code::TooLarge => Self::TOO_LARGE,
            Code::NoSpace | Code::Quota => Self::NO_ROOM,
            Code::Malformed
            | Code::BadName
            | Code::BadRequest
            | Code::DigestMismatch
            | Code::Tls => Self::BAD,
            Code::UnknownCommand | Code::Unsupported => Self::NOT_IMPLEMENTED,
            _ => Self::INTERNAL,
        }
    }
}

/// A request that is answered with an error before the store is asked: the status, and the reason for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) status: Status,
    pub(crate) why: &'static str,
    /// With 405, the methods that the address takes, where those are not the methods of entries.
    pub(crate) methods: Option<&'static str>,
}

impl Wrong {
    pub(crate) const fn new(status: Status, why: &'static str) -> Self {
        Self { status, why, methods: None }
    }

    /// The address takes only these methods.
    pub(crate) const fn only(methods: &'static str) -> Self {
        let why = "that is not served here";
        Self { status: Status::METHOD, why, methods: Some(methods) }
    }

    /// The bytes or the field are not as the standard has them.
    pub(crate) const fn bad(why: &'static str) -> Self {
        Self::new(Status::BAD, why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new code must be looked at before it is answered with 500.
    #[test]
    fn codes_that_are_answered_as_the_servers_own_failure_are_few() {
        let internal: Vec<String> = Code::all()
            .filter(|code| Status::of(code) == Status::INTERNAL)
            .map(|code| code.as_str().to_owned())
            .collect();
        // Those that no request of HTTP can lead to, a failing disk, and a change whose flush failed.
        let expected = [
            "version",
            "bad_id",
            "window",
            "fenced",
            "unknown_upload",
            "bad_part",
            "superseded",
            "taken_over",
            "incomplete",
            "rolled_back",
            "io",
            "uncertain",
        ];
        assert_eq!(internal, expected);
    }
}
