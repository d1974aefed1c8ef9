//! The text in which figures are handed to others: Prometheus' exposition format 0.0.4.
//!
//! Thirty lines suffice for writing it, and they allocate one string. Names and labels are ours; only label values can hold
//! anything, so only they are escaped.

use std::fmt::Write;

use crate::runtime::metrics::histogram::{BOUNDS, Histogram};

/// The media type of the text.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// As it is now.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A label's name and its value.
pub(crate) type Label<'a> = (&'static str, &'a str);

/// The text under construction.
#[derive(Default)]
pub(crate) struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// Begins a family: all its samples follow at once.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.family = name;
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name()));
    }

    /// A family of one sample.
    pub(crate) fn single(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &str,
        value: impl Into<f64>,
    ) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }

    /// One sample of the family begun last.
    pub(crate) fn sample(&mut self, labels: &[Label<'_>], value: impl Into<f64>) {
        self.line("", labels, value.into());
    }

    /// The samples of one histogram of the family begun last.
    pub(crate) fn histogram(&mut self, labels: &[Label<'_>], histogram: &Histogram) {
        let mut sum = 0;
        for (bucket, count) in histogram.counts().into_iter().enumerate() {
            sum += count;
            let bound = BOUNDS.get(bucket).map(|ns| format!("{}", *ns as f64 / 1e9));
            let mut labels = labels.to_vec();
            labels.push(("le", bound.as_deref().unwrap_or("+Inf")));
            self.line("_bucket", &labels, sum as f64);
        }
        self.line("_sum", labels, histogram.sum_seconds());
        self.line("_count", labels, sum as f64);
    }

    /// The whole text.
    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &[Label<'_>], value: f64) {
        let family = self.family;
        self.write(format_args!("{family}{suffix}"));
        for (position, (name, text)) in labels.iter().enumerate() {
            let before = if position == 0 { '{' } else { ',' };
            self.write(format_args!("{before}{name}=\"{}\"", escaped(text)));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        self.write(format_args!("{end} {value}\n"));
    }

    fn write(&mut self, what: std::fmt::Arguments<'_>) {
        self.text.write_fmt(what).expect("writing to memory does not fail");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::{Exposition, Kind};
    use crate::runtime::metrics::histogram::Histogram;

    #[test]
    fn samples_stand_below_their_family_with_their_labels() {
        let mut text = Exposition::default();
        text.single("up", Kind::Gauge, "Whether it is up.", 1);
        text.family("peers", Kind::Counter, "Peers.");
        text.sample(&[("name", "a \"b\"\n"), ("zone", "z")], 2.5);
        assert_eq!(
            text.finish(),
            "# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n\
             # HELP peers Peers.\n# TYPE peers counter\npeers{name=\"a \\\"b\\\"\\n\",zone=\"z\"} 2.5\n"
        );
    }

    #[test]
    fn buckets_of_a_histogram_are_cumulative_and_end_at_infinity() {
        let histogram = Histogram::default();
        histogram.record_ns(20_000);
        histogram.record_ns(u64::MAX / 4);
        let mut text = Exposition::default();
        text.family("t", Kind::Histogram, "T.");
        text.histogram(&[("a", "b")], &histogram);
        let text = text.finish();
        assert!(text.contains("t_bucket{a=\"b\",le=\"0.000016\"} 0\n"), "{text}");
        assert!(text.contains("t_bucket{a=\"b\",le=\"16.777216\"} 1\n"), "{text}");
        assert!(text.contains("t_bucket{a=\"b\",le=\"+Inf\"} 2\n"), "{text}");
        assert!(text.contains("t_count{a=\"b\"} 2\n"), "{text}");
    }
}
