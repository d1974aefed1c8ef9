//! A node's figures as it tells them: read from Prometheus' text format, kept as samples, compared over time.
//!
//! Only what our own nodes write has to be understood; a line that cannot be read is passed over, so that a later version may
//! say more.

mod buckets;

use std::collections::BTreeMap;

use kvorum_client::Client;
use kvorum_ring::NodeId;

pub(crate) use buckets::Buckets;

/// One line of the text.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// All figures of one node at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    samples: Vec<Sample>,
}

/// The section of a diagnosis that holds them.
const SECTION: &str = "metrics";

impl Metrics {
    /// Asks a node. `None` when it does not answer, or is of a version that has no figures.
    pub(crate) async fn of(client: &Client, node: NodeId) -> Option<Metrics> {
        let diagnosis = client.diagnosis_of(node, &[SECTION]).await.ok()?;
        let section = diagnosis.sections.into_iter().find(|section| section.name == SECTION)?;
        Some(Metrics::parse(&section.text))
    }

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

    fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = &'a Sample> {
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
    }

    #[test]
    fn a_histogram_is_read_from_its_buckets() {
        let buckets = Metrics::parse(TEXT).histogram("h", &[]);
        assert_eq!(buckets.count(), 4.0);
        assert_eq!(buckets.percentile(0.2), Some(0.1 * 0.8));
    }
}
