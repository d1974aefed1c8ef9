//! What each node holds, and what happened to the key there.

use std::time::Duration;

use kvorum_protocol::message::{Happened, KeptCopy, KeptRecord, Testimony, Way, WriteMode};
use kvorum_ring::NodeId;

use super::Told;
use crate::cluster::explain::key_text;
use crate::failure::Outcome;
use crate::output::table::{Align, Table};
use crate::output::{Output, units};

/// Prints the detail behind the verdict.
pub(super) fn print(told: &Told<'_>, output: Output) -> Outcome<()> {
    let style = output.style();
    output.line("")?;
    output.line(&format!(
        "key {} in bucket {}, partition {}",
        style.name(&key_text(&told.key.key)),
        style.name(&told.key.bucket.to_string()),
        told.done.partition.0,
    ))?;
    output.table(&holdings(told, output))?;
    let events = events(told);
    if !events.is_empty() {
        output.line("")?;
        let mut table = Table::new(&[
            ("time", Align::Left),
            ("node", Align::Left),
            ("what happened", Align::Left),
        ]);
        for (at_ms, node, what) in events {
            let name = style.name(&told.name(node));
            table.row(vec![style.dim(&units::time_of_day(at_ms)), name, what]);
        }
        output.table(&table)?;
    }
    Ok(())
}

fn holdings(told: &Told<'_>, output: Output) -> Table {
    let style = output.style();
    let mut table = Table::new(&[
        ("node", Align::Left),
        ("role", Align::Left),
        ("holds", Align::Left),
        ("bytes", Align::Right),
        ("sequence", Align::Right),
        ("where", Align::Left),
        ("remembers", Align::Right),
    ]);
    let owners = told.done.owners.iter().map(|node| ("owner", node));
    for (role, node) in owners.chain(told.done.fallbacks.iter().map(|node| ("fallback", node))) {
        let name = style.name(&told.name(*node));
        let Some(testimony) = told.done.testimonies.iter().find(|told| told.node == *node) else {
            table.row(vec![name, role.to_owned(), style.bad("does not answer")]);
            continue;
        };
        let copy = if role == "owner" { &testimony.owned } else { &testimony.hinted };
        let remembers = units::duration(Duration::from_millis(testimony.remembers_ms));
        let [holds, bytes, sequence, place] = cells(copy);
        table.row(vec![name, role.to_owned(), holds, bytes, sequence, place, remembers]);
    }
    table
}

fn cells(copy: &KeptCopy) -> [String; 4] {
    let none = || String::from("-");
    match copy {
        KeptCopy::Absent => ["nothing".to_owned(), none(), none(), none()],
        KeptCopy::Removed { sequence } => {
            ["a removal".to_owned(), none(), sequence.to_string(), none()]
        }
        KeptCopy::Damaged { sequence, place } => {
            let place = place.map(|place| format!("log {:08x} +{}", place.segment, place.offset));
            ["damaged".to_owned(), none(), sequence.to_string(), place.unwrap_or_else(none)]
        }
        KeptCopy::Unread { cause } => [format!("not read: {cause}"), none(), none(), none()],
        KeptCopy::Other(_) => ["?".to_owned(), none(), none(), none()],
        KeptCopy::Record(record) => {
            let bytes: u64 = record.versions.iter().map(|version| version.bytes).sum();
            let holds = match record.live {
                0 => "a tombstone".to_owned(),
                live => units::plural(live.into(), "version"),
            };
            [holds, units::count(bytes), record.sequence.to_string(), place(record)]
        }
    }
}

fn place(record: &KeptRecord) -> String {
    let log = record.place.map(|place| format!("log {:08x} +{}", place.segment, place.offset));
    let memory = record.in_memory.then(|| match record.synced {
        true => "memory".to_owned(),
        false => "memory, not synced yet".to_owned(),
    });
    let parts: Vec<String> = memory.into_iter().chain(log).collect();
    parts.join(", ")
}

/// What happened, by the wall clock of each node, in that order.
fn events(told: &Told<'_>) -> Vec<(u64, NodeId, String)> {
    let of_node = |testimony: &Testimony| -> Vec<(u64, NodeId, String)> {
        let events = testimony.events.iter();
        let event = events.map(|event| {
            let at_ms = testimony.now_ms.saturating_sub(event.ago_ms);
            (at_ms, testimony.node, happened(told, &event.what))
        });
        event.collect()
    };
    let mut events: Vec<_> = told.done.testimonies.iter().flat_map(of_node).collect();
    events.sort_by_key(|(at_ms, ..)| *at_ms);
    events
}

pub(super) fn way(way: Way) -> &'static str {
    match way {
        Way::Write => "write",
        Way::ReadRepair => "read repair",
        Way::Exchange => "exchange",
        Way::Hint => "hint",
        Way::Hold => "hold",
        Way::Retry => "retry",
        Way::Other(_) => "unknown",
    }
}

fn happened(told: &Told<'_>, what: &Happened) -> String {
    let siblings = |live: u32| match live {
        0 => ", nothing is live".to_owned(),
        1 => String::new(),
        more => format!(", {more} siblings"),
    };
    match what {
        Happened::Minted { dot, mode, replaced, live, stands_in, .. } => {
            let mode = match mode {
                WriteMode::Beside => " beside what was there",
                WriteMode::Context => " with a context",
                _ => "",
            };
            let place = if *stands_in { " in the owners' place" } else { "" };
            let replaced = units::plural((*replaced).into(), "version");
            format!("wrote {dot}{mode}{place}, replacing {replaced}{}", siblings(*live))
        }
        Happened::Merged { from, way: on, live } => {
            format!("merged what {} sent by {}{}", told.name(*from), way(*on), siblings(*live))
        }
        Happened::LeftBehind { node, cause, dot } => {
            format!("ended the write of {dot} without {}: {cause}", told.name(*node))
        }
        Happened::Refused { from, way: on, cause } => {
            format!("refused what {} sent by {}: {cause}", told.name(*from), way(*on))
        }
        Happened::HintDelivered { to } => format!("gave {} what it held for it", told.name(*to)),
        Happened::HintUndelivered { to, cause } => {
            format!("could not give {} what it holds for it: {cause}", told.name(*to))
        }
        Happened::HintDropped => "dropped what it held; enough owners have it".to_owned(),
        Happened::FoundDamaged => "found its record damaged".to_owned(),
        Happened::Reclaimed => "reclaimed its record".to_owned(),
        Happened::Unanswered { operation } => {
            format!("ended operation {operation} before its own store had answered")
        }
        Happened::Other(_) => "something that this version does not know".to_owned(),
    }
}
