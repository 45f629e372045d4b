//! The counts that an operator watches. Each has its place from the start, so to count is one relaxed addition, without a lock
//! or a look-up by name; no peer can make another place. Workers count once for a read of the socket and once for a request,
//! of which a bundle of small files is one; the committer counts once for each change.
//!
//! [`text`] writes them as Prometheus reads them. docs/metrics.md lists them all.

mod changes;
pub(crate) mod counter;
pub(crate) mod histogram;
pub(crate) mod hooks;
pub(crate) mod text;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use haul_protocol::{Code, Op};

use crate::store::ChangeKind;
use changes::Changes;
use counter::Counter;
use histogram::Histogram;
use hooks::Hooks;

/// The commands of requests, and a last one for those that this list does not have.
const OPS: [&str; 20] = [
    "put", "bundle", "open", "part", "commit", "abort", "mkdir", "symlink", "setattr", "remove",
    "rename", "check", "adopt", "publish", "rollback", "list", "get", "fetch", "ping", "other",
];

/// The methods of HTTP that are served, and a last one for all others.
const METHODS: [&str; 15] = [
    "get",
    "head",
    "put",
    "delete",
    "mkcol",
    "move",
    "options",
    "post",
    "patch",
    "propfind",
    "proppatch",
    "copy",
    "lock",
    "unlock",
    "other",
];

/// The dialect of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Haul,
    Classic,
    Http,
}

impl Speaks {
    /// Its word.
    pub(crate) fn as_str(self) -> &'static str {
        DIALECTS[self as usize]
    }
}

/// All dialects, in the words of labels.
const DIALECTS: [&str; 3] = ["haul", "classic", "http"];

/// Clients of one kind: all that have come, and those that have left.
#[derive(Debug, Default)]
struct Clients {
    come: Counter,
    left: Counter,
}

/// All counts of a server.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Connections that were accepted.
    pub(crate) accepted: Counter,
    /// By dialect, in clear and over TLS.
    clients: [[Clients; 2]; DIALECTS.len()],
    pub(crate) logins: Counter,
    pub(crate) failed_logins: Counter,
    ops: [Counter; OPS.len()],
    methods: [Counter; METHODS.len()],
    /// Refusals, each with its code; the last is of codes that the protocol does not name.
    refusals: Vec<(String, Counter)>,
    /// Bytes from the sockets of peers.
    pub(crate) received: Counter,
    /// Bytes of answers that were given to sockets, before they are encrypted.
    pub(crate) sent: Counter,
    changes: Changes,
    /// Changes in a group of the committer.
    pub(crate) groups: Histogram,
    /// Seconds that the flush of a group has taken.
    pub(crate) flushes: Histogram,
    pub(crate) hooks: Hooks,
    /// Readings of the file of settings while the server ran: those that count, and those that were wrong.
    pub(crate) reloads: [Counter; 2],
    /// Whether the last one was wrong.
    pub(crate) is_reload_wrong: AtomicBool,
}

impl Default for Metrics {
    fn default() -> Self {
        let codes = Code::all().map(|code| code.as_str().to_owned());
        let refusals = codes.chain([String::from("other")]);
        Self {
            accepted: Counter::default(),
            clients: Default::default(),
            logins: Counter::default(),
            failed_logins: Counter::default(),
            ops: Default::default(),
            methods: Default::default(),
            refusals: refusals.map(|code| (code, Counter::default())).collect(),
            received: Counter::default(),
            sent: Counter::default(),
            changes: Changes::default(),
            groups: Histogram::of(&[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096]),
            flushes: Histogram::of(&[
                500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
                1_000_000, 2_000_000, 5_000_000, 30_000_000,
            ]),
            hooks: Hooks::default(),
            reloads: Default::default(),
            is_reload_wrong: AtomicBool::new(false),
        }
    }
}

impl Metrics {
    /// A client of this kind has come.
    pub(crate) fn came(&self, speaks: Speaks, over_tls: bool) {
        self.clients[speaks as usize][usize::from(over_tls)].come.add(1);
    }

    /// It has left.
    pub(crate) fn left(&self, speaks: Speaks, over_tls: bool) {
        self.clients[speaks as usize][usize::from(over_tls)].left.add(1);
    }

    /// A request of the haul dialect has come.
    pub(crate) fn asked(&self, op: &Op) {
        let place = OPS.iter().position(|known| *known == op.command());
        self.ops[place.unwrap_or(OPS.len() - 1)].add(1);
    }

    /// A request of HTTP has come, with a method of this name in lower case.
    pub(crate) fn asked_over_http(&self, method: &str) {
        let place = METHODS.iter().position(|known| *known == method);
        self.methods[place.unwrap_or(METHODS.len() - 1)].add(1);
    }

    /// A request is refused, or a connection ended, with this code.
    pub(crate) fn refused(&self, code: &Code) {
        let known = self.refusals.iter().find(|(known, _)| known == code.as_str());
        if let Some((_, counter)) = known.or(self.refusals.last()) {
            counter.add(1);
        }
    }

    /// The committer has flushed for so long.
    pub(crate) fn flushed(&self, time: Duration) {
        self.flushes.add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// A change of this kind is over.
    pub(crate) fn changed(&self, kind: ChangeKind, is_done: bool) {
        self.changes.add(kind, is_done);
    }

    /// The settings were read again; `is_right`: they count.
    pub(crate) fn reloaded(&self, is_right: bool) {
        self.reloads[usize::from(!is_right)].add(1);
        self.is_reload_wrong.store(!is_right, Ordering::Relaxed);
    }

    /// Writes the counts of clients, requests and changes.
    pub(crate) fn write(&self, text: &mut text::Text) {
        use text::Kind::{Counter, Gauge};
        text.family("hauld_connections_accepted_total", Counter, "Connections that were accepted.");
        text.sample(&[], self.accepted.get());
        let clients = || {
            DIALECTS.iter().zip(&self.clients).flat_map(|(dialect, by_tls)| {
                ["no", "yes"].into_iter().zip(by_tls).map(|(tls, clients)| (*dialect, tls, clients))
            })
        };
        text.family(
            "hauld_clients_total",
            Counter,
            "Connections whose client has spoken, by dialect.",
        );
        for (dialect, tls, clients) in clients() {
            text.sample(&[("dialect", dialect), ("tls", tls)], clients.come.get());
        }
        text.family("hauld_clients", Gauge, "Those that are there now.");
        for (dialect, tls, clients) in clients() {
            // First those that have left: there are never fewer than none.
            let left = clients.left.get();
            text.sample(
                &[("dialect", dialect), ("tls", tls)],
                clients.come.get().saturating_sub(left),
            );
        }
        text.family("hauld_logins_total", Counter, "Clients that have logged in.");
        text.sample(&[], self.logins.get());
        text.family("hauld_logins_failed_total", Counter, "Logins that were refused.");
        text.sample(&[], self.failed_logins.get());
        text.family(
            "hauld_requests_total",
            Counter,
            "Requests of the haul dialect, a bundle of files as one.",
        );
        for (op, counter) in OPS.iter().zip(&self.ops) {
            text.sample(&[("op", op)], counter.get());
        }
        text.family("hauld_http_requests_total", Counter, "Requests of HTTP.");
        for (method, counter) in METHODS.iter().zip(&self.methods) {
            text.sample(&[("method", method)], counter.get());
        }
        text.family(
            "hauld_refusals_total",
            Counter,
            "Requests that were refused, and connections that were ended.",
        );
        for (code, counter) in &self.refusals {
            text.sample(&[("code", code)], counter.get());
        }
        text.family("hauld_received_bytes_total", Counter, "Bytes from the sockets of clients.");
        text.sample(&[], self.received.get());
        text.family(
            "hauld_sent_bytes_total",
            Counter,
            "Bytes of answers, before they are encrypted.",
        );
        text.sample(&[], self.sent.get());
        text.family(
            "hauld_changes_total",
            Counter,
            "Changes that are over, each file and directory as one.",
        );
        for kind in ChangeKind::ALL {
            for (result, is_done) in [("done", true), ("failed", false)] {
                let count = self.changes.get(kind, is_done);
                text.sample(&[("kind", kind.as_str()), ("result", result)], count);
            }
        }
        self.groups.write(
            text,
            "hauld_commit_group_changes",
            "Changes that were made durable together.",
            1,
        );
        self.flushes.write(
            text,
            "hauld_commit_flush_seconds",
            "Time of the flush of such a group.",
            1_000_000,
        );
        self.hooks.write(text);
        text.family(
            "hauld_config_reloads_total",
            Counter,
            "Readings of the file of settings while hauld ran.",
        );
        for (result, counter) in ["counts", "wrong"].iter().zip(&self.reloads) {
            text.sample(&[("result", result)], counter.get());
        }
        text.family(
            "hauld_config_last_reload_successful",
            Gauge,
            "0: the last reading of the settings was wrong.",
        );
        text.sample(&[], u64::from(!self.is_reload_wrong.load(Ordering::Relaxed)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_has_its_place_and_strangers_share_one() {
        let metrics = Metrics::default();
        metrics.asked(&Op::Ping);
        metrics.asked_over_http("brew");
        metrics.asked_over_http("propfind");
        metrics.refused(&Code::Quota);
        metrics.refused(&Code::Other(String::from("x\"} 1\nfake 2")));
        metrics.came(Speaks::Http, true);
        metrics.came(Speaks::Http, true);
        metrics.left(Speaks::Http, true);
        metrics.changed(ChangeKind::File, true);
        metrics.reloaded(false);
        let mut text = text::Text::default();
        metrics.write(&mut text);
        let text = text.end();
        for line in [
            "hauld_requests_total{op=\"ping\"} 1",
            "hauld_http_requests_total{method=\"other\"} 1",
            "hauld_http_requests_total{method=\"propfind\"} 1",
            "hauld_refusals_total{code=\"quota\"} 1",
            "hauld_refusals_total{code=\"other\"} 1",
            "hauld_clients_total{dialect=\"http\",tls=\"yes\"} 2",
            "hauld_clients{dialect=\"http\",tls=\"yes\"} 1",
            "hauld_changes_total{kind=\"file\",result=\"done\"} 1",
            "hauld_config_last_reload_successful 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(!text.contains("fake"), "{text}");
    }
}
