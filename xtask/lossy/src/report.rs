//! The table.

use std::fmt::{self, Display};
use std::fs;

use humansize::{BINARY, format_size};

use crate::line::Count;
use crate::trial::Run;

/// The head of the table.
pub(crate) const HEAD: &str = "\
| | file | seconds, no loss | Mbit/s | seconds, with loss | Mbit/s | times as long | congestion control | connections |
|---|---|---|---|---|---|---|---|---|
";

/// One program without losses and with them.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) clean: Run,
    pub(crate) lossy: Run,
    /// The packets of the run with losses.
    pub(crate) count: Count,
    /// The algorithm of a program that chooses none.
    pub(crate) usual: String,
}

impl Row {
    /// The time with losses by the time without.
    pub(crate) fn ratio(&self) -> f64 {
        self.lossy.time.as_secs_f64() / self.clean.time.as_secs_f64()
    }
}

fn rate(bytes: u64, run: &Run) -> f64 {
    // More than 2^52 bytes are never sent here.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let bits = bytes as f64 * 8.0;
    bits / run.time.as_secs_f64() / 1e6
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, bytes, clean, lossy, .. } = self;
        let connections = match (clean.connections, lossy.connections) {
            (Some(one), Some(other)) if one == other => one.to_string(),
            (Some(one), Some(other)) => format!("{one}, with loss {other}"),
            _ => String::from("1"),
        };
        let algorithm = lossy.algorithm.as_ref().unwrap_or(&self.usual);
        write!(
            f,
            "| {name} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} | {algorithm} | {connections} |",
            format_size(*bytes, BINARY),
            clean.time.as_secs_f64(),
            rate(*bytes, clean),
            lossy.time.as_secs_f64(),
            rate(*bytes, lossy),
            self.ratio(),
        )
    }
}

/// The whole file.
pub(crate) fn text(line: &str, rows: &[Row], verdict: &str) -> anyhow::Result<String> {
    let field = |path: &str, key: &str| -> anyhow::Result<String> {
        let text = fs::read_to_string(path)?;
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.split(':').nth(1));
        Ok(value.unwrap_or("?").trim().to_owned())
    };
    let processor = field("/proc/cpuinfo", "model name")?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cores = std::thread::available_parallelism()?;
    let mut text = format!("{processor}, {cores} cores, Linux {}; {line}\n\n{HEAD}", kernel.trim());
    for row in rows {
        text.push_str(&format!("{row}\n"));
    }
    text.push_str("\nPackets in the runs with losses, both ways:\n\n");
    text.push_str("| | passed | lost | found the queue full |\n|---|---|---|---|\n");
    for Row { name, count: Count { passed, lost, full }, .. } in rows {
        text.push_str(&format!("| {name} | {passed} | {lost} | {full} |\n"));
    }
    text.push_str(&format!("\n{verdict}\n"));
    Ok(text)
}
