//! An explanation in sentences.

use std::time::Duration;

use kvorum_protocol::explain::{
    Behind, Finding, Forgotten, Hint, Lack, Mending, Outage, Reason, Suspect, Verdict, WaitsFor,
};
use kvorum_protocol::message::WriteMode;

use super::Told;
use crate::output::units;

/// What holds, in one line.
pub(super) fn verdict(told: &Told<'_>) -> String {
    let owners = told.done.owners.len();
    let siblings = told.explanation.siblings.0.len();
    let what = match siblings {
        0 => "nothing is live".to_owned(),
        1 => "1 version".to_owned(),
        more => format!("{more} siblings, of which none replaced another"),
    };
    match told.explanation.verdict {
        Verdict::Nothing => "nobody holds anything of it".to_owned(),
        Verdict::Agree => format!("all {owners} owners agree: {what}"),
        Verdict::AgreeOnLive => format!(
            "all {owners} owners agree on what is live: {what}; some do not know of everything that was replaced"
        ),
        Verdict::AgreeAsFarAsKnown => {
            let told = told.done.testimonies.iter();
            format!("the owners that answered agree: {what} ({} nodes answered)", told.count())
        }
        Verdict::Behind { owners: 1 } => {
            format!("{}: {what}", first_behind(told).unwrap_or_default())
        }
        Verdict::Behind { owners: behind } => {
            format!("{behind} of {owners} owners are behind: {what}")
        }
        Verdict::Contradiction => "the owners' records contradict each other".to_owned(),
    }
}

fn first_behind(told: &Told<'_>) -> Option<String> {
    let behind = told.explanation.findings.iter().find_map(|finding| match finding {
        Finding::Behind(behind) if behind.shows => Some(behind),
        _ => None,
    })?;
    Some(format!("{} is behind by {}", told.name(behind.node), by(behind)))
}

fn by(behind: &Behind) -> String {
    let live = behind.lacks.iter().filter(|lack| lack.live).count();
    match live {
        0 => "a delete or a replacement".to_owned(),
        live => units::plural(live as u64, "version"),
    }
}

/// Everything worth knowing, a line each.
pub(super) fn findings(told: &Told<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in &told.explanation.findings {
        match finding {
            Finding::Behind(behind) => lines.extend(behind_lines(told, behind)),
            finding => lines.push(sentence(told, finding)),
        }
    }
    if told.explanation.siblings.are_several() {
        lines.extend(sibling_lines(told));
    }
    lines
}

fn sentence(told: &Told<'_>, finding: &Finding) -> String {
    match finding {
        Finding::Silent { node, cause, seen } => {
            let seen = seen.map(|seen| format!(" ({})", outage(told, &seen))).unwrap_or_default();
            format!("{} did not answer: {cause}{seen}", told.name(*node))
        }
        Finding::Unread { node, cause } => {
            format!("{} could not look: {cause}", told.name(*node))
        }
        Finding::Damaged { node } => {
            format!("{} cannot read its record; the next merge heals it", told.name(*node))
        }
        Finding::Refilling { node } => {
            format!("{} lost records and is being refilled", told.name(*node))
        }
        Finding::Contradiction { holder, other, dot } => format!(
            "{} holds {dot}, which {} has seen and neither holds nor replaced: please report this",
            told.name(*holder),
            told.name(*other),
        ),
        Finding::OtherLayout { node } => {
            format!("{} goes by another layout", told.name(*node))
        }
        Finding::Hint(hint) => hint_line(told, hint),
        Finding::TreesDiffer { left, right } => format!(
            "the hash trees of {} and {} differ near this key: the next exchange looks",
            told.name(*left),
            told.name(*right),
        ),
        Finding::Tombstone { waits_for } => {
            let waits: Vec<String> = waits_for.iter().map(|one| waits(told, *one)).collect();
            format!("it is deleted; the record of that stays until {}", waits.join(", "))
        }
        Finding::Behind(behind) => {
            format!("{} is behind by {}", told.name(behind.node), by(behind))
        }
    }
}

fn waits(told: &Told<'_>, waits: WaitsFor) -> String {
    match waits {
        WaitsFor::Silent(node) => format!("{} answers", told.name(node)),
        WaitsFor::Hint(node) => format!("{} has handed over what it holds", told.name(node)),
        WaitsFor::Behind(node) => format!("{} knows of it", told.name(node)),
        WaitsFor::Refilling(node) => format!("{} is refilled", told.name(node)),
        WaitsFor::Round => "the next round of reclaiming".to_owned(),
    }
}

fn behind_lines(told: &Told<'_>, behind: &Behind) -> Vec<String> {
    let name = told.name(behind.node);
    let mut lines: Vec<String> = behind
        .lacks
        .iter()
        .map(|lack| format!("{name} lacks {}: {}", event(told, lack), reason(told, lack, &name)))
        .collect();
    let mending: Vec<String> = behind.mending.iter().map(|one| mends(told, *one)).collect();
    lines.push(match mending.is_empty() {
        true => format!("{name} learns of it by the next read or exchange"),
        false => format!("{name} learns of it by {}", mending.join(", or by ")),
    });
    lines
}

fn event(told: &Told<'_>, lack: &Lack) -> String {
    let what = if lack.live { "version" } else { "event" };
    format!("{what} {} (known to {})", lack.dot, told.names(&lack.holders))
}

fn reason(told: &Told<'_>, lack: &Lack, name: &str) -> String {
    match &lack.reason {
        Reason::LeftBehind { by, cause, ago_ms, outage: seen } => {
            let at = told.wall_ms(*by, *ago_ms).map(units::time_of_day).unwrap_or_default();
            let seen = seen.map(|seen| format!("; {}", outage(told, &seen))).unwrap_or_default();
            format!("{} wrote it, and at {at} ended without {name}: {cause}{seen}", told.name(*by))
        }
        Reason::UnderWay { by, left_ms } => format!(
            "{} is still writing it, for {} at most",
            told.name(*by),
            units::duration(Duration::from_millis(*left_ms))
        ),
        Reason::Damaged => format!("{name} cannot read its record"),
        Reason::Refilling => format!("{name} lost records and is being refilled"),
        Reason::Reclaimed { ago_ms } => {
            let ago = units::duration(Duration::from_millis(*ago_ms));
            format!("{name} reclaimed its record {ago} ago")
        }
        Reason::WriterUnknown { suspects } => {
            let suspects: Vec<String> = suspects.iter().map(|one| suspect(told, *one)).collect();
            format!("nobody who answered remembers its writing; {}", suspects.join("; "))
        }
        Reason::Unexplained => "nothing explains this: please report it with kv diag".to_owned(),
    }
}

fn suspect(told: &Told<'_>, Suspect { node, why }: Suspect) -> String {
    let name = told.name(node);
    let is = |is_writer: bool| if is_writer { "wrote it" } else { "may have" };
    let since = |ago_ms| {
        told.wall_ms(node, ago_ms).map(units::time_of_day).unwrap_or_else(|| "lately".to_owned())
    };
    match why {
        Forgotten::Silent => format!("{name} may have, and does not answer"),
        Forgotten::Unanswered { ago_ms } => {
            format!("{name} may have, whose store was late with a write at {}", since(ago_ms))
        }
        Forgotten::Restarted { ago_ms, is_writer, lacks } => {
            let now = just_now(lacks);
            format!("{name} {}{now} before it started at {}", is(is_writer), since(ago_ms))
        }
        Forgotten::Overwritten { ago_ms, is_writer, lacks } => {
            let (now, at) = (just_now(lacks), since(ago_ms));
            format!("{name} {}{now} before {at}, where its memory ends", is(is_writer))
        }
    }
}

fn just_now(lacks: bool) -> &'static str {
    if lacks { " just now, or" } else { "" }
}

fn outage(told: &Told<'_>, outage: &Outage) -> String {
    let at = |ago_ms: u64| units::time_of_day(outage.now_ms.saturating_sub(ago_ms));
    let by = told.name(outage.by);
    match (outage.fell_ms, outage.rose_ms) {
        (Some(fell), Some(rose)) if rose < fell => {
            format!("{by} saw it down from {} to {}", at(fell), at(rose))
        }
        (Some(fell), _) => format!("{by} sees it down since {}", at(fell)),
        (None, _) => format!("{by} has not seen it since it started"),
    }
}

fn mends(told: &Told<'_>, mending: Mending) -> String {
    match mending {
        Mending::Hint { node } => format!("what {} holds for it", told.name(node)),
        Mending::Write { by } => format!("the write of {}", told.name(by)),
        Mending::Exchange { with, compared_ms: None } => {
            format!("an exchange with {} (none yet)", told.name(with))
        }
        Mending::Exchange { with, compared_ms: Some(ago_ms) } => format!(
            "an exchange with {} (the last one {} ago)",
            told.name(with),
            units::duration(Duration::from_millis(ago_ms))
        ),
    }
}

fn hint_line(told: &Told<'_>, hint: &Hint) -> String {
    let kind = if hint.spare { "spare" } else { "bearing" };
    let held = hint.held_ms.map(|held_ms| units::duration(Duration::from_millis(held_ms)));
    let held = held.map(|held| format!(" for {held}")).unwrap_or_default();
    let failed = hint.failed.map(|(count, cause)| {
        format!("; handing it over failed {}: {cause}", units::plural(count as u64, "time"))
    });
    format!(
        "{} has held it{held} in the place of {} ({kind}{})",
        told.name(hint.node),
        told.names(&hint.targets),
        failed.unwrap_or_default(),
    )
}

fn sibling_lines(told: &Told<'_>) -> Vec<String> {
    let siblings = told.explanation.siblings.0.iter();
    let line = siblings.map(|sibling| {
        let wrote = match (sibling.writer, sibling.written_at_ms) {
            (Some(writer), Some(at_ms)) => {
                format!("written by {} at {}", told.name(writer), units::time_of_day(at_ms))
            }
            _ => "nobody remembers who wrote it".to_owned(),
        };
        let how = match sibling.mode {
            Some(WriteMode::Beside) => ", meant to stand beside the others",
            Some(WriteMode::Context) => ", with a context that did not cover the others",
            Some(WriteMode::Latest) => ", at a node that did not hold the others then",
            _ => "",
        };
        format!("sibling {}: {wrote}{how}", sibling.version.dot)
    });
    line.collect()
}
