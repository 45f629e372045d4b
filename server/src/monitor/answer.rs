//! The answer to each path: `/metrics`, `/health` and `/ready`.

use super::peer::Answer;
use super::verdict::unhealthy;
use super::{Monitor, gather};
use crate::http::response::Response;
use crate::http::status::Status;
use crate::runtime::Runtime;

/// The type of the text that Prometheus reads.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

const PLAIN: &str = "text/plain; charset=utf-8";

impl Monitor {
    /// The answer to a path, without its slash.
    pub(super) fn answer(&self, path: &str, is_of_owner: bool, runtime: &Runtime) -> Answer {
        let text = |status, text: String| {
            (Response::new(status).with("Content-Type", PLAIN), text.into_bytes())
        };
        let verdict = |reasons: Vec<String>| match reasons.is_empty() {
            true => text(Status::OK, String::from("ok\n")),
            false => text(Status::BUSY, format!("{}\n", reasons.join("\n"))),
        };
        match path {
            "metrics" => {
                let response = Response::new(Status::OK).with("Content-Type", PROMETHEUS);
                (response, gather::text(self, runtime).into_bytes())
            }
            "health" => verdict(unhealthy(runtime)),
            "ready" => verdict(self.unready(runtime)),
            "status" if is_of_owner => text(Status::OK, format!("{}\n", self.status(runtime))),
            _ => text(Status::NOT_FOUND, String::from("here are /metrics, /health and /ready\n")),
        }
    }
}
