//! The chart: for each workload a bar a peer, as long as its median, with the least and the most.

use std::fmt::Write as _;

use super::by_floor::ByFloor;
use super::peer::Peer;
use super::race::Outcome;
use super::report::rows;

const WIDTH: f64 = 760.0;
/// The left end of bars, and the length of the longest.
const LEFT: f64 = 120.0;
const LONGEST: f64 = 480.0;
const LINE: f64 = 22.0;

/// Draws all workloads below each other, each with a scale of its own.
pub(crate) fn draw(outcomes: &[Outcome]) -> String {
    let (mut body, mut y) = (String::new(), 12.0);
    for outcome in outcomes {
        let rows = rows(outcome);
        y += 20.0;
        let size = humansize::format_size(outcome.bytes, humansize::BINARY);
        let mut title = format!("{}: {} files, {size}", outcome.workload.name(), outcome.files);
        if let Some(by_floor) = ByFloor::of(outcome) {
            // Writing to a string never fails.
            let _ = write!(title, "; {by_floor}");
        }
        text(&mut body, (12.0, y), "title", &title);
        y += 10.0;
        // A peer that takes many times as long has its bar cut off, so that the others can be read.
        let unscaled = rows.iter().filter(|row| !row.scaled).map(|row| row.most);
        let scale = LONGEST / unscaled.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        for row in rows {
            text(&mut body, (12.0, y + 14.0), "name", row.peer.name());
            let long = (row.median * scale).min(LONGEST);
            let class = match (row.peer, row.scaled) {
                (Peer::Haul, _) => "haul",
                (Peer::Floor, _) => "floor",
                (_, true) => "scaled",
                (_, false) => "peer",
            };
            rect(&mut body, (LEFT, y + 3.0, long, LINE - 8.0), class);
            let mut end = long;
            if !row.scaled && row.most > row.least {
                let (from, to) = (row.least * scale, row.most * scale);
                rect(&mut body, (LEFT + from, y + 9.0, to - from, 2.0), "range");
                end = end.max(to);
            }
            let figure = match row.scaled {
                true => format!("{:.0} s, scaled", row.median),
                false => format!("{:.2} s", row.median),
            };
            text(&mut body, (LEFT + end + 6.0, y + 14.0), "name", &figure);
            y += LINE;
        }
    }
    let height = y + 12.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"Seconds of each peer for each workload\">\n\
         <style>text{{font:13px sans-serif;fill:#222}}.title{{font-weight:bold}}.haul{{fill:#d9480f}}\
         .floor{{fill:#2b8a3e}}.peer{{fill:#91a7c4}}.scaled{{fill:#d5dbe3}}.range{{fill:#333}}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

// Writing to a string never fails.

fn text(body: &mut String, (x, y): (f64, f64), class: &str, what: &str) {
    let what = what.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{what}</text>");
}

fn rect(body: &mut String, (x, y, width, height): (f64, f64, f64, f64), class: &str) {
    let _ = writeln!(
        body,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{class}\"/>"
    );
}
