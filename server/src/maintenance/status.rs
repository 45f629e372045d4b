//! `hauld status`: asks the server of a root who is connected and what is under way.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use haul_protocol::Shown;
use humansize::{BINARY, format_size};
use rustix::fs::{Mode, OFlags};
use serde_json::Value;
use unicode_width::UnicodeWidthChar;

use crate::error::StartError;
use crate::net::root_socket;

/// Time that the server may take: no disk is asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of the longest answer.
const LONGEST: u64 = 4 << 20;

/// Columns of a line about a connection: peer, account, dialect, last request, time idle, bytes received and sent.
const WIDTHS: [usize; 7] = [21, 12, 10, 8, 5, 9, 9];

const HEADINGS: [&str; 7] = ["PEER", "ACCOUNT", "DIALECT", "LAST", "IDLE", "RECEIVED", "SENT"];

/// The command's words.
#[derive(Debug, Clone, Args)]
pub struct Status {
    /// Directory that uploads go to.
    #[arg(long, value_name = "DIR", env = "HAULD_ROOT")]
    root: PathBuf,
    /// Tell it as JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    /// Does it.
    ///
    /// # Errors
    /// If no server of this user serves the root, or it does not answer.
    pub fn run(&self, out: &mut dyn Write) -> Result<(), StartError> {
        let body = self.ask().map_err(|error| {
            let root = self.root.display();
            let message = "is not served by a hauld that this user may ask; the user of the server and root may";
            StartError::Usage(format!("`{root}` {message}: {error}"))
        })?;
        if self.json {
            writeln!(out, "{body}")?;
            return Ok(());
        }
        let status: Value = serde_json::from_str(&body).map_err(|error| {
            StartError::Usage(format!("the server's answer is not JSON: {error}"))
        })?;
        Ok(show(&status, &self.root.display().to_string(), out)?)
    }

    /// The server's answer.
    fn ask(&self) -> std::io::Result<String> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.root, flags, Mode::empty())?;
        let mut socket = root_socket::join(&root, root_socket::STATUS, PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket
            .write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.take(LONGEST).read_to_string(&mut answer)?;
        let wrong = || std::io::Error::other("the server has answered otherwise");
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(wrong)?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(wrong());
        }
        Ok(body.trim_end().to_owned())
    }
}

/// Writes it for people, in 80 columns.
fn show(status: &Value, root: &str, out: &mut dyn Write) -> std::io::Result<()> {
    let number = |name: &str| status[name].as_u64().unwrap_or(0);
    let texts = |name: &str| {
        let texts = status[name].as_array().into_iter().flatten();
        texts.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let disk = |name: &str| size(&status["disk"][name]);
    let not_ready = texts("not_ready");
    let ready = if not_ready.is_empty() { "ready" } else { "NOT READY" };
    line(out, &format!("{ready}, up {}: {root}", time(number("uptime_s"))))?;
    for reason in not_ready {
        line(out, &format!("  {reason}"))?;
    }
    let (open, limit) = (number("connections"), number("connections_limit"));
    let (busy, workers) = (number("workers_busy"), number("workers"));
    let (queue, full) = (number("queue"), number("queue_limit"));
    line(
        out,
        &format!(
            "{open} of {limit} connections, {busy} of {workers} workers busy, queue {queue} of {full}"
        ),
    )?;
    let (free, all, kept) = (disk("free_bytes"), disk("bytes"), disk("keep_free_bytes"));
    line(out, &format!("disk: {free} free of {all}, {kept} stay free"))?;
    on_commit(&status["on_commit"], out)?;
    if !status["before_put"]["failure"].is_null() {
        line(out, "before-put fails, and files are refused as busy:")?;
        failure(&status["before_put"]["failure"], out)?;
    }
    let uploads = status["uploads"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !uploads.is_empty() {
        line(out, "\nLARGE FILES UNDER WAY")?;
    }
    for upload in uploads {
        let name = upload["name"].as_str().unwrap_or_default();
        line(out, &format!("{:>9}  {name}", size(&upload["size"])))?;
    }
    let listed = status["listed"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !listed.is_empty() {
        writeln!(out)?;
        row(out, &HEADINGS.map(String::from))?;
    }
    for connection in listed {
        let text = |name: &str| connection[name].as_str().unwrap_or("-").to_owned();
        let tls = if connection["tls"].as_bool() == Some(true) { "/tls" } else { "" };
        let idle = time(connection["idle_s"].as_u64().unwrap_or(0));
        let (received, sent) =
            (size(&connection["received_bytes"]), size(&connection["sent_bytes"]));
        let dialect = format!("{}{tls}", text("dialect"));
        row(out, &[text("peer"), text("account"), dialect, text("last"), idle, received, sent])?;
    }
    match number("not_listed") {
        0 => Ok(()),
        more => line(out, &format!("and {more} more")),
    }
}

/// The hook that is told of changes, if there is one.
fn on_commit(hook: &Value, out: &mut dyn Write) -> std::io::Result<()> {
    let Some(waiting) = hook["waiting"].as_u64() else { return Ok(()) };
    let (bytes, most) = (size(&hook["spool_bytes"]), size(&hook["spool_limit_bytes"]));
    line(out, &format!("on-commit: {waiting} changes wait, spool {bytes} of {most}"))?;
    failure(&hook["failure"], out)
}

/// The last failure of a hook, if it has not worked since.
fn failure(failure: &Value, out: &mut dyn Write) -> std::io::Result<()> {
    let Some(error) = failure["error"].as_str() else { return Ok(()) };
    let ago = time(failure["ago_s"].as_u64().unwrap_or(0));
    line(out, &format!("  it has failed {} times, last {ago} ago:", failure["times"]))?;
    line(out, &format!("  {error}"))
}

fn row(out: &mut dyn Write, cells: &[String; 7]) -> std::io::Result<()> {
    let cells = cells.iter().zip(WIDTHS).map(|(cell, width)| {
        let cell = cut(&Shown(cell).to_string(), width);
        let room = width.saturating_sub(cell.chars().filter_map(UnicodeWidthChar::width).sum());
        format!("{cell}{}", " ".repeat(room))
    });
    writeln!(out, "{}", cells.collect::<Vec<_>>().join(" ").trim_end())
}

/// One line, without what a terminal would take for a command.
fn line(out: &mut dyn Write, text: &str) -> std::io::Result<()> {
    let (begin, text) =
        if let Some(rest) = text.strip_prefix('\n') { ("\n", rest) } else { ("", text) };
    writeln!(out, "{begin}{}", cut(&Shown(text).to_string(), 80))
}

/// The begin of a text that fits.
fn cut(text: &str, width: usize) -> String {
    if text.chars().filter_map(UnicodeWidthChar::width).sum::<usize>() <= width {
        return text.to_owned();
    }
    let (mut cut, mut used) = (String::new(), 0);
    for letter in text.chars() {
        used += letter.width().unwrap_or(0);
        if used >= width {
            break;
        }
        cut.push(letter);
    }
    cut + "…"
}

fn size(bytes: &Value) -> String {
    format_size(bytes.as_u64().unwrap_or(0), BINARY.decimal_places(1)).replace(' ', "")
}

fn time(seconds: u64) -> String {
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_line_fits_and_shows_no_control_character() {
        let long = "x\u{1b}[2J\u{4e16}".repeat(50);
        let connection = json!({
            "peer": long, "account": long, "dialect": "haul", "tls": true, "agent": long, "last": "bundle",
            "idle_s": 7_000_000, "received_bytes": u64::MAX, "sent_bytes": 1_048_575,
        });
        let status = json!({
            "uptime_s": 7300, "not_ready": [long], "connections": 10_000, "connections_limit": 10_000,
            "workers": 1024, "workers_busy": 1024, "queue": 8192, "queue_limit": 4096,
            "disk": {"bytes": u64::MAX, "free_bytes": u64::MAX, "keep_free_bytes": u64::MAX},
            "on_commit": {
                "waiting": u64::MAX, "spool_bytes": u64::MAX, "spool_limit_bytes": u64::MAX,
                "failure": {"error": long, "ago_s": u64::MAX, "times": u64::MAX},
            },
            "before_put": {"failure": {"error": long, "ago_s": 1, "times": 1}},
            "uploads": [{"name": long, "size": u64::MAX}], "listed": [connection], "not_listed": 9000,
        });
        let mut out = Vec::new();
        show(&status, &long, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for line in text.lines() {
            let width: usize = line.chars().filter_map(UnicodeWidthChar::width).sum();
            assert!(width <= 80, "{width}: {line}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        assert!(text.contains("on-commit: 18446744073709551615 changes wait"), "{text}");
        assert!(text.contains("NOT READY, up 2h") && text.contains("haul/tls"), "{text}");
        assert!(text.contains("and 9000 more") && text.contains("81d"), "{text}");
    }
}
