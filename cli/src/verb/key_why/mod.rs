//! `kv key why`: what each owner of a key holds, who is behind, and why.
//!
//! One node is asked, and collects what all owners and fallbacks know. What follows from it is `kvorum_protocol::explain`;
//! here it becomes sentences, tables and JSON.

mod document;
mod sentences;
mod tables;

use kvorum_client::Topology;
use kvorum_protocol::explain::{Explanation, Finding, Reason, Verdict, explain};
use kvorum_protocol::message::WhyDone;
use kvorum_ring::NodeId;

use crate::args::connection::ConnectionArguments;
use crate::args::value::KeyArguments;
use crate::cluster::connect::connect;
use crate::cluster::explain::{self, key_text};
use crate::exit_code::ExitCode;
use crate::failure::Outcome;
use crate::output::Output;

/// A key and all that was told of it.
struct Told<'a> {
    key: &'a KeyArguments,
    topology: &'a Topology,
    done: &'a WhyDone,
    explanation: &'a Explanation,
}

impl Told<'_> {
    fn name(&self, node: NodeId) -> String {
        self.topology.name_of(node)
    }

    /// Names in a row: `n1, n2 and n3`.
    fn names(&self, nodes: &[NodeId]) -> String {
        let names: Vec<String> = nodes.iter().map(|node| self.name(*node)).collect();
        match &names[..] {
            [] => "nobody".to_owned(),
            [only] => only.clone(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        }
    }

    /// The wall clock of a node so many milliseconds before it testified.
    fn wall_ms(&self, node: NodeId, ago_ms: u64) -> Option<u64> {
        let told = self.done.testimonies.iter().find(|told| told.node == node)?;
        Some(told.now_ms.saturating_sub(ago_ms))
    }
}

/// Asks, and tells what follows.
pub(super) async fn run(
    key: &KeyArguments,
    connection: &ConnectionArguments,
    output: Output,
) -> Outcome<ExitCode> {
    let client = connect(connection, output).await?;
    let bucket = client.bucket_named(key.bucket.clone());
    let doing = format!("explain {}", key_text(&key.key));
    let reply = bucket.why(key.key.to_bytes()).await;
    let reply = reply.map_err(|error| explain::operation(&doing, &error, &client.topology()))?;
    let topology = client.topology();
    let explanation = explain(&reply.answer);
    let told = Told { key, topology: &topology, done: &reply.answer, explanation: &explanation };
    if output.is_json() {
        output.json(&document::of(&told))?;
    } else {
        let style = output.style();
        output.line(&style.bold(&sentences::verdict(&told)))?;
        for line in sentences::findings(&told) {
            output.line(&format!("  {line}"))?;
        }
        tables::print(&told, output)?;
    }
    Ok(code(&explanation))
}

/// What a script learns: the worst first.
fn code(explanation: &Explanation) -> ExitCode {
    let cannot_be = |finding: &Finding| match finding {
        Finding::Contradiction { .. } => true,
        Finding::Behind(behind) => {
            behind.lacks.iter().any(|lack| lack.reason == Reason::Unexplained)
        }
        _ => false,
    };
    if explanation.findings.iter().any(cannot_be) {
        return ExitCode::Damaged;
    }
    match explanation.verdict {
        Verdict::Contradiction => ExitCode::Damaged,
        Verdict::Behind { .. } => ExitCode::OwnersDiffer,
        Verdict::AgreeAsFarAsKnown => ExitCode::SomeSilent,
        Verdict::Nothing => ExitCode::NotFound,
        Verdict::Agree | Verdict::AgreeOnLive if explanation.siblings.are_several() => {
            ExitCode::Conflict
        }
        Verdict::Agree | Verdict::AgreeOnLive => ExitCode::Success,
    }
}

#[cfg(test)]
mod tests {
    use kvorum_protocol::explain::{Behind, Explanation, Finding, Lack, Reason, Siblings, Verdict};
    use kvorum_protocol::{Actor, Dot};
    use kvorum_ring::NodeId;

    use super::code;
    use crate::exit_code::ExitCode;

    fn behind(reason: Reason) -> Explanation {
        let lack = Lack {
            dot: Dot::new(Actor(1), 1),
            live: true,
            holders: Vec::new(),
            ago_ms: None,
            reason,
        };
        let behind =
            Behind { node: NodeId(1), lacks: vec![lack], shows: true, mending: Vec::new() };
        Explanation {
            verdict: Verdict::Behind { owners: 1 },
            siblings: Siblings::default(),
            findings: vec![Finding::Behind(behind)],
        }
    }

    #[test]
    fn a_difference_has_its_code_and_one_that_nothing_explains_another() {
        assert_eq!(code(&behind(Reason::Damaged)), ExitCode::OwnersDiffer);
        assert_eq!(code(&behind(Reason::Unexplained)), ExitCode::Damaged);
        let verdict = |verdict| {
            code(&Explanation { verdict, siblings: Siblings::default(), findings: Vec::new() })
        };
        assert_eq!(verdict(Verdict::Agree), ExitCode::Success);
        assert_eq!(verdict(Verdict::Nothing), ExitCode::NotFound);
        assert_eq!(verdict(Verdict::AgreeAsFarAsKnown), ExitCode::SomeSilent);
    }
}
