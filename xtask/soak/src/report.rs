//! The table of a soak, and the bounds that its figures break.

use std::fmt;
use std::time::Duration;

use super::peers::Tally;
use super::{LET_GO, MOST, REST};

/// The head of the table.
pub(super) const HEAD: &str = "\
| what each connection holds | held | refused | unfinished | peak MiB, sampled | peak MiB, VmHWM | MiB after | seconds \
until then | honest hello + ping + put |
|---|---|---|---|---|---|---|---|---|
";

/// The results of one kind.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) kind: &'static str,
    pub(super) tally: Tally,
    pub(super) peak_kib: u64,
    pub(super) high_kib: u64,
    pub(super) after_kib: u64,
    pub(super) after: After,
    pub(super) let_go: Duration,
    /// Time that an honest client took, or the reason that it was not served.
    pub(super) honest: Result<Duration, String>,
}

/// The server's state after all had left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The server's memory is below the bound.
    Here,
    /// The server keeps memory, and no connection.
    Memory,
    /// The server keeps connections whose peers have left.
    Connections,
}

impl Row {
    /// The bounds that are broken, each in words.
    pub(super) fn broken(&self) -> Vec<String> {
        let Self { kind, after_kib, .. } = self;
        let (mut broken, peak) = (Vec::new(), self.peak_kib.max(self.high_kib));
        if peak > MOST << 10 {
            broken.push(format!("{kind}: {} MiB, and {MOST} are the most", mib(peak)));
        }
        let after = mib(*after_kib);
        match self.after {
            After::Here => {}
            After::Memory => broken.push(format!(
                "{kind}: {after} MiB are kept {LET_GO:?} after all have left, and {REST} are the most"
            )),
            After::Connections => broken.push(format!(
                "{kind}: connections are still open {LET_GO:?} after their peers have left, with {after} MiB"
            )),
        }
        if let Err(error) = &self.honest {
            broken.push(format!("{kind}: an honest client is not served: {error}"));
        }
        broken
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { held, refused, unfinished } = self.tally;
        let [peak, high, after] = [self.peak_kib, self.high_kib, self.after_kib].map(mib);
        let let_go = match self.after {
            After::Here => format!("{:.1}", self.let_go.as_secs_f64()),
            After::Memory => String::from("never"),
            After::Connections => String::from("connections stay"),
        };
        let honest = match &self.honest {
            Ok(time) => format!("{} ms", time.as_millis()),
            Err(_) => String::from("not served"),
        };
        write!(
            f,
            "| {} | {held} | {refused} | {unfinished} | {peak} | {high} | {after} | {let_go} | {honest} |",
            self.kind
        )
    }
}

/// All rows.
pub(super) fn text(connections: usize, rows: &[Row]) -> String {
    let mut text = format!(
        "`cargo xtask soak --connections {connections}`: at the most {MOST} MiB, and {REST} MiB when all have left.\n\n\
         {HEAD}"
    );
    for row in rows {
        text += &format!("{row}\n");
    }
    let broken: Vec<String> = rows.iter().flat_map(Row::broken).collect();
    if !broken.is_empty() {
        text += "\nBroken:\n\n";
        broken.iter().for_each(|line| text += &format!("- {line}\n"));
    }
    text
}

/// With one digit.
fn mib(kib: u64) -> String {
    let tenths = (kib * 10).div_ceil(1024);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            kind: "kind",
            tally: Tally { held: 3, refused: 2, unfinished: 1 },
            peak_kib: MOST << 10,
            high_kib: MOST << 10,
            after_kib: REST << 10,
            after: After::Here,
            let_go: Duration::from_millis(1500),
            honest: Ok(Duration::from_millis(7)),
        }
    }

    #[test]
    fn row_within_all_bounds_breaks_none() {
        assert!(row().broken().is_empty());
        let line = "| kind | 3 | 2 | 1 | 512.0 | 512.0 | 64.0 | 1.5 | 7 ms |";
        assert_eq!(row().to_string(), line);
        assert!(text(6, &[row()]).ends_with(&format!("{line}\n")));
    }

    #[test]
    fn each_bound_that_is_broken_is_told() {
        let high = Row { high_kib: (MOST << 10) + 1, ..row() };
        assert_eq!(high.broken(), ["kind: 512.1 MiB, and 512 are the most"]);
        let kept = Row { after_kib: 70 << 10, after: After::Memory, ..row() };
        assert!(kept.broken()[0].contains("70.0 MiB are kept"), "{:?}", kept.broken());
        let open = Row { after: After::Connections, ..row() };
        assert!(open.broken()[0].contains("still open"));
        let alone = Row { honest: Err(String::from("busy")), ..row() };
        assert!(alone.broken()[0].ends_with("not served: busy"));
        assert!(text(6, &[alone]).contains("Broken:"));
    }
}
