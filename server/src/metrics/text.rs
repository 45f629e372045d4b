//! The text form of metrics, as Prometheus reads it (version 0.0.4 of its exposition format).

use std::fmt::{Display, Write};

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows.
    Counter,
    Gauge,
    Histogram,
}

/// A text that grows by families of samples.
#[derive(Debug, Default)]
pub(crate) struct Text {
    text: String,
    /// The name of the present family.
    name: &'static str,
}

impl Text {
    /// Begins a family. `help` has neither a line break nor a backslash.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.name = name;
        // A `String` takes everything.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// A sample of the present family.
    pub(crate) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.part("", labels, value);
    }

    /// A sample whose name has an ending of its own.
    pub(super) fn part(&mut self, ending: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        self.text.push_str(ending);
        for (index, (label, value)) in labels.iter().enumerate() {
            let begin = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{begin}{label}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// The whole text.
    pub(crate) fn end(self) -> String {
        self.text
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_is_one_line_whatever_its_label_has() {
        let mut text = Text::default();
        text.family("a", Kind::Gauge, "Help.");
        text.sample(&[("x", "1"), ("y", "\"\\\n")], 7);
        text.sample(&[], 0.5);
        let expected = "# HELP a Help.\n# TYPE a gauge\na{x=\"1\",y=\"\\\"\\\\\\n\"} 7\na 0.5\n";
        assert_eq!(text.end(), expected);
    }
}
