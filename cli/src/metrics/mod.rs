//! A node's figures as it tells them: read from Prometheus' text format, kept as samples, compared over time.
//!
//! Only what our own nodes write has to be understood; a line that cannot be read is passed over, so that a later version may
//! say more.

mod buckets;
pub(crate) mod figures;
mod interval;
mod moment;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

pub(crate) use buckets::Buckets;
pub(crate) use interval::Interval;
pub(crate) use moment::{Moment, Silence};

/// One line of the text.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Sample {
    /// Name and labels as in the text.
    fn series(&self) -> String {
        let mut out = self.name.clone();
        for (position, (label, text)) in self.labels.iter().enumerate() {
            let before = if position == 0 { '{' } else { ',' };
            let _ = write!(out, "{before}{label}=\"{text}\"");
        }
        out + if self.labels.is_empty() { "" } else { "}" }
    }
}

/// All figures of one node at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    samples: Vec<Sample>,
}

impl Metrics {
    /// Reads the text format.
    pub(crate) fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Metrics { samples: lines.filter_map(sample).collect() }
    }

    /// The sum of all samples of this name that carry these labels among theirs; `None` when there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut values = self.matching(name, labels).map(|sample| sample.value).peekable();
        values.peek()?;
        Some(values.sum())
    }

    /// A histogram, or the sum of several that carry these labels.
    pub(crate) fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Buckets {
        let name = format!("{name}_bucket");
        let mut buckets = Buckets::default();
        for sample in self.matching(&name, labels) {
            let bound = sample.labels.get("le").and_then(|bound| bound.parse().ok());
            buckets.add(bound.unwrap_or(f64::INFINITY), sample.value);
        }
        buckets
    }

    /// The largest value among the samples of this name.
    pub(crate) fn largest(&self, name: &str) -> Option<f64> {
        self.matching(name, &[]).map(|sample| sample.value).reduce(f64::max)
    }

    /// How many samples have this name.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.matching(name, &[]).count()
    }

    /// The values that a label has among the samples of this name.
    pub(crate) fn values_of(&self, name: &str, label: &str) -> BTreeSet<&str> {
        let samples = self.samples.iter().filter(|sample| sample.name == name);
        samples.filter_map(|sample| sample.labels.get(label)).map(String::as_str).collect()
    }

    /// Every series whose name begins so, with its value; histograms as their sum and count, without their buckets.
    pub(crate) fn series<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (String, f64)> + use<'a> {
        let chosen = move |name: &str| name.starts_with(prefix) && !name.ends_with("_bucket");
        let samples = self.samples.iter().filter(move |sample| chosen(&sample.name));
        samples.map(|sample| (sample.series(), sample.value))
    }

    fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = &'a Sample> + use<'a> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(name, text)| sample.labels.get(*name).is_some_and(|held| held == text))
        })
    }
}

/// `name{label="text",..} value`.
fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    while let Some((label, after)) = rest.split_once("=\"") {
        let (text, end) = quoted(after)?;
        labels.insert(label.trim_start_matches(',').to_owned(), text);
        rest = &after[end..];
    }
    Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
}

/// The text up to the closing quote, and where the rest begins.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((out, at + 1)),
            '\\' => match characters.next()?.1 {
                'n' => out.push('\n'),
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    const TEXT: &str = "# TYPE a counter\na{x=\"1\",y=\"p \\\"q\\\"\"} 2\na{x=\"2\"} 3.5\nb 7\nnonsense\n\
        h_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 4\nh_sum 1\nh_count 4\n";

    #[test]
    fn samples_are_found_by_name_and_labels() {
        let metrics = Metrics::parse(TEXT);
        assert_eq!(metrics.sum("a", &[]), Some(5.5));
        assert_eq!(metrics.sum("a", &[("y", "p \"q\"")]), Some(2.0));
        assert_eq!(metrics.sum("b", &[]), Some(7.0));
        assert_eq!(metrics.sum("c", &[]), None);
        assert_eq!(metrics.count("a"), 2);
        assert_eq!(metrics.values_of("a", "x").into_iter().collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn series_are_chosen_by_the_beginning_of_their_name_and_buckets_are_left_out() {
        let metrics = Metrics::parse(TEXT);
        let all: Vec<(String, f64)> = metrics.series("h").collect();
        assert_eq!(all, [("h_sum".to_owned(), 1.0), ("h_count".to_owned(), 4.0)]);
        let labelled = metrics.series("a").nth(1).expect("the second");
        assert_eq!(labelled, ("a{x=\"2\"}".to_owned(), 3.5));
    }

    #[test]
    fn a_histogram_is_read_from_its_buckets() {
        let buckets = Metrics::parse(TEXT).histogram("h", &[]);
        assert_eq!(buckets.count(), 4.0);
        assert_eq!(buckets.percentile(0.2), Some(0.1 * 0.8));
    }
}
