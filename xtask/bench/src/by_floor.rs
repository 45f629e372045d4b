//! haul by the floor: the figure below each table and in the chart.

use std::fmt;

use super::peer::Peer;
use super::race::{Outcome, Turn};
use crate::median;

/// haul's time by that of the floor in the same round.
#[derive(Debug, PartialEq)]
pub(super) struct ByFloor {
    median: f64,
    least: f64,
    most: f64,
    /// The same of the processor time of both sides, the median.
    cpu: f64,
}

impl ByFloor {
    /// `None` if there is no round in which both have a time.
    pub(super) fn of(outcome: &Outcome) -> Option<Self> {
        let of = |peer: Peer| outcome.turns.iter().filter(move |turn| turn.peer == peer);
        let pairs = of(Peer::Haul).filter_map(|haul| {
            let floor = of(Peer::Floor).find(|floor| floor.round == haul.round)?;
            Some((haul.seconds / floor.seconds, cpu(haul) / cpu(floor)))
        });
        let (mut times, mut cpus): (Vec<_>, Vec<_>) = pairs.unzip();
        let (least, most) =
            (times.iter().copied().reduce(f64::min)?, times.iter().copied().reduce(f64::max)?);
        Some(Self { median: median(&mut times), least, most, cpu: median(&mut cpus) })
    }
}

impl fmt::Display for ByFloor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, least, most, cpu } = self;
        write!(f, "haul/floor {median:.2} ({least:.2} to {most:.2}), processor time {cpu:.2}")
    }
}

/// Seconds of a processor on both sides.
fn cpu(turn: &Turn) -> f64 {
    turn.client.cpu() + turn.server.as_ref().map_or(0.0, super::timed::Figures::cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Workload;

    fn turn(peer: Peer, round: usize, seconds: f64, cpu: f64) -> Turn {
        let figures = serde_json::json!({
            "started": {"secs": 0, "nanos": 0}, "ended": {"secs": 0, "nanos": 0},
            "user": cpu, "system": cpu, "peak_kib": 0, "success": true,
        });
        let figures = || serde_json::from_value(figures.clone()).unwrap();
        Turn { peer, round, seconds, client: figures(), server: Some(figures()), suite: None }
    }

    #[test]
    fn haul_is_told_by_the_floor_of_the_same_round() {
        let turns = [
            (Peer::Haul, 1, 1.0, 0.5),
            (Peer::Haul, 2, 3.0, 0.5),
            (Peer::Haul, 3, 2.0, 0.5),
            (Peer::Floor, 2, 2.0, 0.25),
            (Peer::Floor, 1, 1.0, 0.5),
            (Peer::Floor, 3, 1.0, 0.25),
            (Peer::Haul, 4, 9.0, 9.0),
        ];
        let turns = turns.map(|(peer, round, seconds, cpu)| turn(peer, round, seconds, cpu));
        let mut outcome = Outcome {
            workload: Workload::Tiny,
            files: 1,
            bytes: 1,
            target: String::new(),
            turns: turns.into(),
            scaled: Vec::new(),
            without: Vec::new(),
            suite: None,
        };
        let told = ByFloor::of(&outcome).unwrap().to_string();
        assert_eq!(told, "haul/floor 1.50 (1.00 to 2.00), processor time 2.00");
        outcome.turns.retain(|turn| turn.peer == Peer::Haul);
        assert_eq!(ByFloor::of(&outcome), None);
    }
}
