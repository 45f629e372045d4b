//! The answers to requests about resumable uploads: how far an upload is.

use std::time::{SystemTime, UNIX_EPOCH};

use haul_protocol::Token;

use super::MOST;
use crate::http::response::Response;
use crate::http::resumable::Spoken;
use crate::http::status::{Status, Wrong};
use crate::http::validators::date;
use crate::services::Services;
use crate::store::OrderedUpload;

/// The state of an upload that a client is told of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) offset: u64,
    pub(super) size: Option<u64>,
    /// The file stands there.
    pub(super) is_whole: bool,
}

/// The bounds of an upload, as the draft tells them.
pub(super) fn limits(services: &Services) -> String {
    let tuning = services.tuning();
    // No number of a field has more digits.
    let age = tuning.keep_partials.as_secs().min(999_999_999_999_999);
    format!("max-size={}, max-age={age}", tuning.limits.max_file.min(MOST))
}

/// The address of an upload.
pub(super) fn location(token: Token) -> String {
    format!("/.haul/tus/{token}")
}

/// The answer that an upload has begun.
pub(super) fn created(
    services: &Services,
    token: Token,
    spoken: Spoken,
    progress: Progress,
) -> Response {
    let response = Response::new(Status::CREATED).with("Location", location(token));
    told(response, services, spoken, progress)
}

/// The answer that the bytes of a request have come.
pub(super) fn taken(services: &Services, spoken: Spoken, progress: Progress) -> Response {
    told(Response::new(Status::NO_CONTENT), services, spoken, progress)
}

/// The answer to the question how far an upload is.
pub(super) fn asked(
    services: &Services,
    upload: &OrderedUpload,
    spoken: Spoken,
    progress: Progress,
) -> Response {
    let response = told(Response::new(Status::OK), services, spoken, progress);
    let response = response.with("Cache-Control", "no-store");
    let response = match progress.size {
        Some(size) => response.with("Upload-Length", size.to_string()),
        None if spoken.is_draft() => response,
        None => response.with("Upload-Defer-Length", "1"),
    };
    match &*upload.facts.metadata {
        "" => response,
        metadata => response.with("Upload-Metadata", metadata),
    }
}

/// The answer to a request whose bytes belong elsewhere.
pub(super) fn elsewhere(offset: Option<u64>) -> (Response, String) {
    let why = "Upload-Offset is not that of the upload: HEAD tells it";
    let (response, text) = Response::wrong(Wrong::new(Status::CONFLICT, why));
    match offset {
        Some(offset) => (response.with("Upload-Offset", offset.to_string()), text),
        None => (response, text),
    }
}

fn told(response: Response, services: &Services, spoken: Spoken, progress: Progress) -> Response {
    let response = response.with("Upload-Offset", progress.offset.to_string());
    let response = match spoken {
        Spoken::Tus => response,
        Spoken::Draft { .. } => {
            response.with("Upload-Complete", if progress.is_whole { "?1" } else { "?0" })
        }
    };
    if progress.is_whole {
        return response;
    }
    let keep = services.tuning().keep_partials;
    let end =
        SystemTime::now().checked_add(keep).and_then(|end| end.duration_since(UNIX_EPOCH).ok());
    let end = end.and_then(|end| i64::try_from(end.as_secs()).ok()).and_then(date);
    match end {
        Some(end) => response.with("Upload-Expires", end),
        None => response,
    }
}
