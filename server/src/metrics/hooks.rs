//! Counts of hooks.

use super::counter::Counter;
use super::text::{Kind, Text};

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    /// Changes that `on-commit` was told of, and has taken.
    pub(crate) delivered: Counter,
    /// Runs of it that have failed.
    pub(crate) failed: Counter,
    /// Changes that were refused because its spool was full, or could not be written.
    pub(crate) refused: Counter,
    /// Files that `before-put` has allowed, has refused, and has not answered about.
    pub(crate) allowed: Counter,
    pub(crate) refused_files: Counter,
    pub(crate) unanswered: Counter,
    /// Failures of its program.
    pub(crate) broken: Counter,
}

impl Hooks {
    /// Writes them.
    pub(super) fn write(&self, text: &mut Text) {
        let mut one = |name, help, counter: &Counter| {
            text.family(name, Kind::Counter, help);
            text.sample(&[], counter.get());
        };
        one(
            "hauld_on_commit_delivered_total",
            "Changes that on-commit has taken.",
            &self.delivered,
        );
        one("hauld_on_commit_failures_total", "Runs of on-commit that have failed.", &self.failed);
        one(
            "hauld_on_commit_refused_total",
            "Changes that were refused for want of its spool.",
            &self.refused,
        );
        one("hauld_before_put_failures_total", "Failures of before-put.", &self.broken);
        text.family(
            "hauld_before_put_answers_total",
            Kind::Counter,
            "Files that before-put was asked about.",
        );
        for (answer, counter) in [
            ("allowed", &self.allowed),
            ("refused", &self.refused_files),
            ("none", &self.unanswered),
        ] {
            text.sample(&[("answer", answer)], counter.get());
        }
    }
}
