//! The figures as `--json` prints them; `node/METRICS.md` explains the names.

use serde_json::{Value, json};

use super::{Row, Stats};

/// The version of the form.
const FORMAT: u32 = 1;

/// The whole document.
pub(crate) fn document(cluster: &str, stats: &Stats) -> Value {
    let nodes: Vec<Value> = stats.rows.iter().map(node).collect();
    json!({ "format": FORMAT, "cluster": cluster, "nodes": nodes, "all": stats.all })
}

fn node(row: &Row) -> Value {
    let told = row.figures.as_ref().ok();
    json!({
        "name": row.name, "id": row.node.to_string(), "answers": told.is_some(),
        "error": row.figures.as_ref().err().map(ToString::to_string),
        "version": told.map(|told| &told.version), "uptime_seconds": told.map(|told| told.uptime.as_secs_f64()),
        "figures": told.map(|told| &told.figures),
    })
}

#[cfg(test)]
mod tests {
    use super::document;
    use crate::verb::stats::samples::stats;

    #[test]
    fn every_node_is_there_whether_it_answers_or_not() {
        let document = document("c", &stats());
        assert_eq!(document["nodes"][0]["figures"]["operations"]["put"]["per_second"], 1_001.0);
        assert_eq!(document["nodes"][0]["version"], "0.1.0");
        assert_eq!(document["nodes"][1]["answers"], false);
        assert_eq!(document["nodes"][1]["error"], "does not answer within 1 s");
        assert!(document["nodes"][1]["figures"].is_null());
        assert_eq!(document["all"]["requests"]["per_second"], 2_002.0);
    }
}
