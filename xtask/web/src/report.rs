//! The table: medians of the servers, and the ratio of each round.

use std::fmt::Write as _;
use std::fs;

use crate::Options;
use crate::server::Kind;

/// The time that one upload has taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// Seconds from its begin to its end.
    pub(crate) wall: f64,
    /// Seconds of a processor that the server has taken.
    pub(crate) processor: f64,
}

/// All turns: of the large file, and of the small ones.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// In the order of [`Kind::ALL`].
    turns: [[Vec<Turn>; 2]; Kind::ALL.len()],
}

impl Report {
    pub(crate) fn add(&mut self, kind: Kind, large: Turn, small: Turn) {
        let turns = &mut self.turns[kind as usize];
        turns[0].push(large);
        turns[1].push(small);
    }

    fn of(&self, kind: Kind, work: usize) -> &[Turn] {
        &self.turns[kind as usize][work]
    }

    /// As Markdown.
    pub(crate) fn text(&self, options: &Options) -> anyhow::Result<String> {
        let mut text = format!("{}; medians of {} rounds\n", machine()?, options.rounds);
        let works = [
            format!("one file of {} MiB by `curl -T`", options.mib),
            format!(
                "{} PUTs of {} bytes over {} kept connections",
                options.puts, options.bytes, options.connections
            ),
        ];
        for (index, work) in works.iter().enumerate() {
            write!(text, "\n### {work}\n\n| | seconds | CPU s of the server |\n|---|---|---|\n")?;
            for kind in Kind::ALL {
                let [wall, processor] = FIGURES.map(|figure| spread(self.of(kind, index), figure));
                writeln!(text, "| {} | {wall} | {processor} |", kind.name())?;
            }
            let theirs = self.of(Kind::Nginx, index);
            for kind in [Kind::Flushing, Kind::Hauld] {
                let ours = self.of(kind, index);
                let [wall, processor] = FIGURES.map(|figure| {
                    let ratios = ours.iter().zip(theirs).map(|(a, b)| figure(a) / figure(b));
                    middle(ratios.collect())
                });
                let name = kind.name();
                writeln!(
                    text,
                    "| {name}, by nginx, round by round | {wall:.2} | {processor:.2} |"
                )?;
            }
        }
        Ok(text)
    }
}

/// The figures of a turn.
const FIGURES: [fn(&Turn) -> f64; 2] = [|turn| turn.wall, |turn| turn.processor];

/// The middle one, the least and the most.
fn spread(turns: &[Turn], figure: fn(&Turn) -> f64) -> String {
    let all: Vec<f64> = turns.iter().map(figure).collect();
    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    let most = all.iter().copied().fold(0.0, f64::max);
    format!("{:.2} ({least:.2} to {most:.2})", middle(all))
}

/// The median.
pub(crate) fn middle(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Processor, cores and kernel.
fn machine() -> anyhow::Result<String> {
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let named = processors.lines().find_map(|line| line.strip_prefix("model name"));
    let processor = named.map_or("?", |line| line.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!("{processor}, {cores} cores, Linux {}", kernel.trim()))
}
