//! All of it as one JSON document. Ages are in milliseconds before each node's testimony, of which `now_ms` is the wall clock.

use kvorum_protocol::explain::{
    Behind, Finding, Forgotten, Lack, Mending, Outage, Reason, Sibling, Verdict, WaitsFor,
};
use kvorum_protocol::message::{
    Happened, KeptCopy, KeptRecord, KeyEvent, LogPlace, PeerSight, Testimony, WriteMode,
};
use kvorum_ring::NodeId;
use serde_json::{Value, json};

use super::{Told, sentences, tables};
use crate::cluster::explain::key_text;

/// The document.
pub(super) fn of(told: &Told<'_>) -> Value {
    let nodes =
        |nodes: &[NodeId]| -> Vec<Value> { nodes.iter().map(|node| named(told, *node)).collect() };
    let silent = told.done.silent.iter().map(
        |silent| json!({ "node": named(told, silent.node), "cause": silent.cause.to_string() }),
    );
    json!({
        "key": key_text(&told.key.key), "bucket": told.key.bucket.to_string(),
        "partition": told.done.partition.0,
        "owners": nodes(&told.done.owners), "fallbacks": nodes(&told.done.fallbacks),
        "verdict": verdict(told.explanation.verdict), "says": sentences::verdict(told),
        "siblings": told.explanation.siblings.0.iter().map(|one| sibling(told, one)).collect::<Vec<_>>(),
        "findings": told.explanation.findings.iter().map(|one| finding(told, one)).collect::<Vec<_>>(),
        "sentences": sentences::findings(told),
        "testimonies": told.done.testimonies.iter().map(|one| testimony(told, one)).collect::<Vec<_>>(),
        "silent": silent.collect::<Vec<_>>(),
    })
}

fn named(told: &Told<'_>, node: NodeId) -> Value {
    json!({ "name": told.name(node), "id": node.to_string() })
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Nothing => "nothing",
        Verdict::Agree => "agree",
        Verdict::AgreeAsFarAsKnown => "agree_as_far_as_known",
        Verdict::AgreeOnLive => "agree_on_live",
        Verdict::Behind { .. } => "behind",
        Verdict::Contradiction => "contradiction",
    }
}

fn mode(mode: WriteMode) -> &'static str {
    match mode {
        WriteMode::Latest => "latest",
        WriteMode::Beside => "beside",
        WriteMode::Context => "context",
        WriteMode::Other(_) => "unknown",
    }
}

fn sibling(told: &Told<'_>, sibling: &Sibling) -> Value {
    json!({
        "dot": sibling.version.dot.to_string(), "bytes": sibling.version.bytes,
        "operation": sibling.version.operation.to_string(),
        "expires_at_ms": sibling.version.expires_at_ms,
        "writer": sibling.writer.map(|node| named(told, node)),
        "written_at_ms": sibling.written_at_ms, "replaced": sibling.mode.map(mode),
        "owners": sibling.owners.iter().map(|node| named(told, *node)).collect::<Vec<_>>(),
    })
}

fn finding(told: &Told<'_>, finding: &Finding) -> Value {
    let node = |node: &NodeId| named(told, *node);
    match finding {
        Finding::Silent { node: silent, cause, seen } => json!({
            "kind": "silent", "node": node(silent), "cause": cause.to_string(),
            "seen": seen.as_ref().map(|seen| outage(told, seen)),
        }),
        Finding::Unread { node: unread, cause } => {
            json!({ "kind": "unread", "node": node(unread), "cause": cause.to_string() })
        }
        Finding::Damaged { node: damaged } => json!({ "kind": "damaged", "node": node(damaged) }),
        Finding::Refilling { node: refilling } => {
            json!({ "kind": "refilling", "node": node(refilling) })
        }
        Finding::Behind(one) => behind(told, one),
        Finding::Contradiction { holder, other, dot } => json!({
            "kind": "contradiction", "holder": node(holder), "other": node(other),
            "dot": dot.to_string(),
        }),
        Finding::OtherLayout { node: other } => {
            json!({ "kind": "other_layout", "node": node(other) })
        }
        Finding::Hint(hint) => json!({
            "kind": "hint", "node": node(&hint.node), "spare": hint.spare, "held_ms": hint.held_ms,
            "for": hint.targets.iter().map(node).collect::<Vec<_>>(),
            "failed_deliveries": hint.failed.map_or(0, |(count, _)| count),
            "last_failure": hint.failed.map(|(_, cause)| cause.to_string()),
        }),
        Finding::TreesDiffer { left, right } => {
            json!({ "kind": "trees_differ", "left": node(left), "right": node(right) })
        }
        Finding::Tombstone { waits_for } => json!({
            "kind": "tombstone",
            "waits_for": waits_for.iter().map(|one| waits(told, *one)).collect::<Vec<_>>(),
        }),
    }
}

fn waits(told: &Told<'_>, waits: WaitsFor) -> Value {
    let (what, node) = match waits {
        WaitsFor::Silent(node) => ("silent", Some(node)),
        WaitsFor::Hint(node) => ("hint", Some(node)),
        WaitsFor::Behind(node) => ("behind", Some(node)),
        WaitsFor::Refilling(node) => ("refilling", Some(node)),
        WaitsFor::Round => ("round", None),
    };
    json!({ "what": what, "node": node.map(|node| named(told, node)) })
}

fn outage(told: &Told<'_>, outage: &Outage) -> Value {
    json!({ "by": named(told, outage.by), "fell_ms": outage.fell_ms, "rose_ms": outage.rose_ms })
}

fn behind(told: &Told<'_>, behind: &Behind) -> Value {
    let mends = |mending: &Mending| match mending {
        Mending::Hint { node } => json!({ "by": "hint", "node": named(told, *node) }),
        Mending::Write { by } => json!({ "by": "write", "node": named(told, *by) }),
        Mending::Exchange { with, compared_ms } => {
            json!({ "by": "exchange", "node": named(told, *with), "compared_ms": compared_ms })
        }
    };
    json!({
        "kind": "behind", "node": named(told, behind.node), "shows": behind.shows,
        "lacks": behind.lacks.iter().map(|one| lack(told, one)).collect::<Vec<_>>(),
        "mending": behind.mending.iter().map(mends).collect::<Vec<_>>(),
    })
}

fn lack(told: &Told<'_>, lack: &Lack) -> Value {
    let reason = match &lack.reason {
        Reason::LeftBehind { by, cause, ago_ms, outage: seen } => json!({
            "kind": "left_behind", "by": named(told, *by), "cause": cause.to_string(),
            "ago_ms": ago_ms, "outage": seen.as_ref().map(|seen| outage(told, seen)),
        }),
        Reason::UnderWay { by, left_ms } => {
            json!({ "kind": "under_way", "by": named(told, *by), "left_ms": left_ms })
        }
        Reason::Damaged => json!({ "kind": "damaged" }),
        Reason::Refilling => json!({ "kind": "refilling" }),
        Reason::Reclaimed { ago_ms } => json!({ "kind": "reclaimed", "ago_ms": ago_ms }),
        Reason::WriterUnknown { suspects } => {
            let suspects = suspects.iter().map(|suspect| {
                let (why, ago_ms, is_writer, lacks) = match suspect.why {
                    Forgotten::Silent => ("silent", None, false, None),
                    Forgotten::Unanswered { ago_ms } => ("unanswered", Some(ago_ms), false, None),
                    Forgotten::Restarted { ago_ms, is_writer, lacks } => {
                        ("restarted", Some(ago_ms), is_writer, Some(lacks))
                    }
                    Forgotten::Overwritten { ago_ms, is_writer, lacks } => {
                        ("overwritten", Some(ago_ms), is_writer, Some(lacks))
                    }
                };
                json!({
                    "node": named(told, suspect.node), "why": why, "ago_ms": ago_ms,
                    "is_writer": is_writer, "lacks": lacks,
                })
            });
            json!({ "kind": "writer_unknown", "suspects": suspects.collect::<Vec<_>>() })
        }
        Reason::Unexplained => json!({ "kind": "unexplained" }),
    };
    json!({
        "dot": lack.dot.to_string(), "live": lack.live, "ago_ms": lack.ago_ms, "reason": reason,
        "holders": lack.holders.iter().map(|node| named(told, *node)).collect::<Vec<_>>(),
    })
}

fn testimony(told: &Told<'_>, testimony: &Testimony) -> Value {
    let peer = |sight: &PeerSight| {
        json!({
            "node": named(told, sight.node), "up": sight.up, "fell_ms": sight.fell_ms,
            "rose_ms": sight.rose_ms, "compared_ms": sight.compared_ms,
        })
    };
    json!({
        "node": named(told, testimony.node), "now_ms": testimony.now_ms, "up_ms": testimony.up_ms,
        "remembers_ms": testimony.remembers_ms, "refilling": testimony.refilling,
        "layout": { "lineage": testimony.layout.lineage, "version": testimony.layout.version },
        "owned": copy(told, &testimony.owned), "hinted": copy(told, &testimony.hinted),
        "leaf": testimony.leaf.map(|leaf| format!("{:032x}", leaf.0)),
        "peers": testimony.peers.iter().map(peer).collect::<Vec<_>>(),
        "events": testimony.events.iter().map(|one| event(told, one)).collect::<Vec<_>>(),
    })
}

fn copy(told: &Told<'_>, copy: &KeptCopy) -> Value {
    match copy {
        KeptCopy::Absent => json!({ "kind": "absent" }),
        KeptCopy::Removed { sequence } => json!({ "kind": "removed", "sequence": sequence }),
        KeptCopy::Damaged { sequence, place: at } => {
            json!({ "kind": "damaged", "sequence": sequence, "log": at.map(place) })
        }
        KeptCopy::Unread { cause } => json!({ "kind": "unread", "cause": cause.to_string() }),
        KeptCopy::Other(_) => json!({ "kind": "unknown" }),
        KeptCopy::Record(record) => record_json(told, record),
    }
}

fn place(place: LogPlace) -> Value {
    json!({ "segment": place.segment, "offset": place.offset, "length": place.length })
}

fn record_json(told: &Told<'_>, record: &KeptRecord) -> Value {
    let versions = record.versions.iter().map(|version| {
        json!({
            "dot": version.dot.to_string(), "operation": version.operation.to_string(),
            "bytes": version.bytes, "expires_at_ms": version.expires_at_ms,
        })
    });
    let deletions = record.deletions.iter().map(|deletion| {
        json!({ "dot": deletion.dot.to_string(), "operation": deletion.operation.to_string() })
    });
    let clock = record.clock.iter().map(|(actor, counter)| format!("{actor}:{counter}"));
    json!({
        "kind": if record.live == 0 { "tombstone" } else { "record" },
        "versions": versions.collect::<Vec<_>>(), "live": record.live,
        "deletions": deletions.collect::<Vec<_>>(), "clock": clock.collect::<Vec<_>>(),
        "digest": format!("{:032x}", record.digest.0), "sequence": record.sequence,
        "synced": record.synced, "in_memory": record.in_memory, "indexed": record.indexed,
        "log": record.place.map(place), "actor": record.actor.map(|actor| actor.to_string()),
        "held_for": record.held_for.iter().map(|node| named(told, *node)).collect::<Vec<_>>(),
        "spare": record.spare, "held_ms": record.held_ms,
    })
}

fn event(told: &Told<'_>, event: &KeyEvent) -> Value {
    let mut document = match event.what {
        Happened::Minted { dot, operation, mode: how, replaced, live, within_ms, stands_in } => {
            json!({
                "kind": "minted", "dot": dot.to_string(), "operation": operation.to_string(),
                "replaces": mode(how), "replaced": replaced, "live": live,
                "within_ms": within_ms, "stands_in": stands_in,
            })
        }
        Happened::Merged { from, way, live } => json!({
            "kind": "merged", "from": named(told, from), "way": tables::way(way), "live": live,
        }),
        Happened::LeftBehind { node, cause, dot } => json!({
            "kind": "left_behind", "node": named(told, node), "cause": cause.to_string(),
            "dot": dot.to_string(),
        }),
        Happened::Refused { from, way, cause } => json!({
            "kind": "refused", "from": named(told, from), "way": tables::way(way),
            "cause": cause.to_string(),
        }),
        Happened::HintDelivered { to } => {
            json!({ "kind": "hint_delivered", "to": named(told, to) })
        }
        Happened::HintUndelivered { to, cause } => json!({
            "kind": "hint_undelivered", "to": named(told, to), "cause": cause.to_string(),
        }),
        Happened::HintDropped => json!({ "kind": "hint_dropped" }),
        Happened::FoundDamaged => json!({ "kind": "found_damaged" }),
        Happened::Reclaimed => json!({ "kind": "reclaimed" }),
        Happened::Unanswered { operation } => {
            json!({ "kind": "unanswered", "operation": operation.to_string() })
        }
        Happened::Other(tag) => json!({ "kind": "unknown", "tag": tag }),
    };
    document["ago_ms"] = event.ago_ms.into();
    document
}
