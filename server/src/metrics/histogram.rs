//! A histogram with fixed bounds.

use super::counter::Counter;
use super::text::{Kind, Text};

/// How often values up to each bound were seen. The bounds, in whole units, never change.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for values above them all.
    counts: Vec<Counter>,
    sum: Counter,
}

impl Histogram {
    /// With these bounds, the smallest first.
    pub(super) fn of(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Self { bounds, counts, sum: Counter::default() }
    }

    /// A value was seen.
    pub(crate) fn add(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place].add(1);
        self.sum.add(value);
    }

    /// Writes it. `unit`: so many units are one of the metric.
    pub(super) fn write(&self, text: &mut Text, name: &'static str, help: &str, unit: u32) {
        #[expect(clippy::cast_precision_loss, reason = "a sum for people")]
        let in_units = |value: u64| value as f64 / f64::from(unit);
        text.family(name, Kind::Histogram, help);
        let mut below = 0;
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            below += count.get();
            text.part("_bucket", &[("le", &in_units(*bound).to_string())], below);
        }
        below += self.counts.last().map_or(0, Counter::get);
        text.part("_bucket", &[("le", "+Inf")], below);
        text.part("_sum", &[], in_units(self.sum.get()));
        text.part("_count", &[], below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_counts_up_to_the_first_bound_that_it_reaches() {
        let histogram = Histogram::of(&[1000, 2500]);
        for value in [0, 1000, 1001, 2501] {
            histogram.add(value);
        }
        let mut text = Text::default();
        histogram.write(&mut text, "h", "Help.", 1000);
        let lines = text.end();
        let lines: Vec<&str> = lines.lines().skip(2).collect();
        let expected = [
            "h_bucket{le=\"1\"} 2",
            "h_bucket{le=\"2.5\"} 3",
            "h_bucket{le=\"+Inf\"} 4",
            "h_sum 4.502",
            "h_count 4",
        ];
        assert_eq!(lines, expected);
    }
}
