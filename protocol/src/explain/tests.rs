//! What follows from testimonies that are made up: one for each thing that can be said.

use kvorum_ring::{NodeId, PartitionId};

use super::{
    Behind, Explanation, Finding, Forgotten, Mending, Outage, Reason, Suspect, Verdict, WaitsFor,
    explain,
};
use crate::message::error::{OwnerCause, OwnerFailure};
use crate::message::topology::{LayoutHash, LayoutLabel};
use crate::message::why::{
    Happened, KeptCopy, KeptDeletion, KeptRecord, KeptVersion, KeyEvent, LeafSum, PeerSight,
    Testimony, WhyDone, WriteMode,
};
use crate::version::{Actor, Clock, Dot, OperationId};

const NOW_MS: u64 = 1_800_000_000_000;

fn node(number: u128) -> NodeId {
    NodeId(number)
}

fn dot(actor: u64, counter: u64) -> Dot {
    Dot::new(Actor(actor), counter)
}

/// A record with these clock entries and live dots.
fn record(clock: &[(u64, u64)], live: &[Dot]) -> KeptRecord {
    let version = |dot: &Dot| KeptVersion {
        dot: *dot,
        operation: OperationId(dot.counter.into()),
        bytes: 5,
        expires_at_ms: None,
    };
    KeptRecord {
        clock: Clock::of(clock.iter().map(|(actor, counter)| (Actor(*actor), *counter))),
        versions: live.iter().map(version).collect(),
        live: live.len() as u32,
        deletions: Vec::new(),
        digest: LeafSum(live.iter().map(|dot| u128::from(dot.actor.0 * 7 + dot.counter)).sum()),
        sequence: 9,
        synced: true,
        in_memory: true,
        place: None,
        indexed: true,
        actor: None,
        held_for: Vec::new(),
        spare: false,
        held_ms: None,
    }
}

/// A node that has been up for a minute, sees everybody, and holds this.
fn told(number: u128, owned: KeptCopy) -> Testimony {
    let others = (1..=4).filter(|other| *other != number);
    let sight = |other| PeerSight {
        node: node(other),
        up: true,
        fell_ms: None,
        rose_ms: Some(59_000),
        compared_ms: None,
    };
    Testimony {
        node: node(number),
        now_ms: NOW_MS,
        up_ms: 60_000,
        remembers_ms: 60_000,
        layout: LayoutLabel { lineage: 1, version: 1, hash: LayoutHash([1; 32]) },
        refilling: false,
        owned,
        hinted: KeptCopy::Absent,
        leaf: Some(LeafSum(1)),
        peers: others.map(sight).collect(),
        events: Vec::new(),
    }
}

/// Three owners and a fallback that holds nothing.
fn done(owners: [KeptRecord; 3]) -> WhyDone {
    let owned = (1..).zip(owners);
    let mut testimonies: Vec<Testimony> =
        owned.map(|(number, record)| told(number, KeptCopy::Record(record))).collect();
    testimonies.push(Testimony { leaf: None, ..told(4, KeptCopy::Absent) });
    WhyDone {
        partition: PartitionId(5),
        owners: vec![node(1), node(2), node(3)],
        fallbacks: vec![node(4)],
        testimonies,
        silent: Vec::new(),
    }
}

fn minted(dot: Dot, ago_ms: u64, mode: WriteMode) -> KeyEvent {
    let what = Happened::Minted {
        dot,
        operation: OperationId(7),
        mode,
        replaced: 1,
        live: 1,
        within_ms: 10_000,
        stands_in: false,
    };
    KeyEvent { ago_ms, what }
}

fn left_behind(number: u128, dot: Dot, ago_ms: u64) -> KeyEvent {
    let cause = OwnerCause::Unreachable;
    KeyEvent { ago_ms, what: Happened::LeftBehind { node: node(number), cause, dot } }
}

fn behind(explanation: &Explanation) -> Vec<&Behind> {
    let behind = explanation.findings.iter().filter_map(|finding| match finding {
        Finding::Behind(behind) => Some(behind),
        _ => None,
    });
    behind.collect()
}

/// One owner of three has the first of two writes only.
fn one_behind() -> WhyDone {
    let new = record(&[(10, 2)], &[dot(10, 2)]);
    let old = record(&[(10, 1)], &[dot(10, 1)]);
    done([new.clone(), old, new])
}

#[test]
fn owners_that_hold_the_same_agree_and_there_is_nothing_to_say() {
    let same = record(&[(10, 1)], &[dot(10, 1)]);
    let explanation = explain(&done([same.clone(), same.clone(), same]));
    assert_eq!((explanation.verdict, explanation.findings.len()), (Verdict::Agree, 0));
    assert_eq!(explanation.siblings.0[0].owners, [node(1), node(2), node(3)]);
}

#[test]
fn a_key_that_nobody_has_is_nothing_unless_somebody_cannot_tell() {
    let mut done = one_behind();
    done.testimonies.iter_mut().for_each(|told| told.owned = KeptCopy::Absent);
    assert_eq!(explain(&done).verdict, Verdict::Nothing);
    done.testimonies[1].refilling = true;
    assert_eq!(explain(&done).verdict, Verdict::AgreeAsFarAsKnown);
}

#[test]
fn an_owner_that_was_down_is_behind_by_what_its_writer_left_it_without() {
    let mut done = one_behind();
    let sight = &mut done.testimonies[0].peers[0];
    (sight.fell_ms, sight.rose_ms) = (Some(9_000), Some(2_000));
    done.testimonies[0].events =
        vec![minted(dot(10, 2), 5_000, WriteMode::Latest), left_behind(2, dot(10, 2), 4_990)];
    let held = KeptRecord { held_for: vec![node(2)], ..record(&[(10, 2)], &[dot(10, 2)]) };
    done.testimonies[3].hinted = KeptCopy::Record(held);

    let explanation = explain(&done);
    assert_eq!(explanation.verdict, Verdict::Behind { owners: 1 });
    let [behind] = behind(&explanation)[..] else { panic!("{explanation:?}") };
    assert_eq!((behind.node, behind.shows, behind.lacks.len()), (node(2), true, 1));
    let lack = &behind.lacks[0];
    assert_eq!((lack.dot, lack.live, lack.ago_ms), (dot(10, 2), true, Some(5_000)));
    assert_eq!(lack.holders, [node(1), node(3), node(4)]);
    let outage = Outage { by: node(1), fell_ms: Some(9_000), rose_ms: Some(2_000), now_ms: NOW_MS };
    let reason = Reason::LeftBehind {
        by: node(1),
        cause: OwnerCause::Unreachable,
        ago_ms: 4_990,
        outage: Some(outage),
    };
    assert_eq!(lack.reason, reason);
    assert_eq!(behind.mending[0], Mending::Hint { node: node(4) });
    assert!(behind.mending.contains(&Mending::Exchange { with: node(3), compared_ms: None }));
}

#[test]
fn a_write_within_its_time_is_under_way_and_beyond_it_nothing_explains_what_lacks_it() {
    let mut done = one_behind();
    done.testimonies[2].events = vec![minted(dot(10, 2), 4_000, WriteMode::Latest)];
    let explanation = explain(&done);
    let reason = Reason::UnderWay { by: node(3), left_ms: 7_000 };
    assert_eq!(behind(&explanation)[0].lacks[0].reason, reason);
    assert!(behind(&explanation)[0].mending.contains(&Mending::Write { by: node(3) }));

    done.testimonies[2].events = vec![minted(dot(10, 2), 30_000, WriteMode::Latest)];
    assert_eq!(behind(&explain(&done))[0].lacks[0].reason, Reason::Unexplained);

    let unanswered = Happened::Unanswered { operation: OperationId(2) };
    done.testimonies[2].events = vec![KeyEvent { ago_ms: 700, what: unanswered }];
    let unknown = explain(&done);
    let Reason::WriterUnknown { suspects } = &behind(&unknown)[0].lacks[0].reason else {
        panic!("{unknown:?}")
    };
    let third = Suspect { node: node(3), why: Forgotten::Unanswered { ago_ms: 700 } };
    assert!(suspects.contains(&third), "it may have minted what it never heard of");
    done.testimonies[1].refilling = true;
    assert_eq!(behind(&explain(&done))[0].lacks[0].reason, Reason::Refilling);
}

#[test]
fn a_writer_that_forgot_is_named_if_its_record_tells_and_else_all_who_cannot_tell_are() {
    let mut done = one_behind();
    done.testimonies.remove(2);
    done.silent.push(OwnerFailure { node: node(3), cause: OwnerCause::TimedOut });
    done.testimonies[0].remembers_ms = 8_000;
    let unknown = explain(&done);
    let Reason::WriterUnknown { suspects } = &behind(&unknown)[0].lacks[0].reason else {
        panic!("{unknown:?}")
    };
    let whys: Vec<(NodeId, Forgotten)> = suspects.iter().map(|one| (one.node, one.why)).collect();
    let restarted = Forgotten::Restarted { ago_ms: 60_000, is_writer: false, lacks: true };
    assert_eq!(
        whys,
        [
            (node(1), Forgotten::Overwritten { ago_ms: 8_000, is_writer: false, lacks: false }),
            (node(2), restarted),
            (node(3), Forgotten::Silent),
            (node(4), restarted),
        ]
    );
    let KeptCopy::Record(record) = &mut done.testimonies[0].owned else { unreachable!() };
    record.actor = Some(Actor(10));
    let named = explain(&done);
    let why = Forgotten::Overwritten { ago_ms: 8_000, is_writer: true, lacks: false };
    let reason = Reason::WriterUnknown { suspects: vec![Suspect { node: node(1), why }] };
    assert_eq!(behind(&named)[0].lacks[0].reason, reason);
}

#[test]
fn a_damaged_record_is_behind_by_everything_because_it_is_damaged() {
    let mut done = one_behind();
    done.testimonies[1].owned = KeptCopy::Damaged { sequence: 4, place: None };
    let explanation = explain(&done);
    assert!(explanation.findings.contains(&Finding::Damaged { node: node(2) }));
    assert_eq!(behind(&explanation)[0].lacks[0].reason, Reason::Damaged);
    assert_eq!(explanation.verdict, Verdict::Behind { owners: 1 });
}

#[test]
fn siblings_are_told_with_who_wrote_them_and_the_newest_only_if_all_are_known() {
    let both = record(&[(10, 2), (20, 1)], &[dot(10, 2), dot(20, 1)]);
    let mut done = done([both.clone(), both.clone(), both]);
    done.testimonies[0].events = vec![minted(dot(10, 2), 5_000, WriteMode::Context)];
    let explanation = explain(&done);
    assert!(explanation.verdict == Verdict::Agree && explanation.siblings.are_several());
    assert_eq!(explanation.siblings.newest(), None, "nobody knows when the other was written");

    done.testimonies[2].events = vec![minted(dot(20, 1), 4_000, WriteMode::Beside)];
    let explanation = explain(&done);
    let newest = explanation.siblings.newest().expect("both are known");
    assert_eq!((newest.version.dot, newest.writer), (dot(20, 1), Some(node(3))));
    assert_eq!(newest.written_at_ms, Some(NOW_MS - 4_000));
    assert_eq!(newest.mode, Some(WriteMode::Beside));
}

#[test]
fn owners_that_know_the_same_and_hold_different_versions_contradict_each_other() {
    let held = record(&[(10, 2)], &[dot(10, 2)]);
    let lost = record(&[(10, 2)], &[]);
    let explanation = explain(&done([held.clone(), lost, held]));
    assert_eq!(explanation.verdict, Verdict::Contradiction);
    let of = Finding::Contradiction { holder: node(1), other: node(2), dot: dot(10, 2) };
    assert!(explanation.findings.contains(&of));
}

#[test]
fn a_tombstone_waits_for_whoever_does_not_know_of_it_or_does_not_answer() {
    let mut tombstone = record(&[(10, 1), (20, 2)], &[]);
    tombstone.deletions = vec![KeptDeletion { dot: dot(20, 2), operation: OperationId(3) }];
    let live = record(&[(10, 1)], &[dot(10, 1)]);
    let mut done = done([tombstone.clone(), tombstone.clone(), tombstone]);
    let waits = |done: &WhyDone| {
        explain(done).findings.into_iter().find_map(|finding| match finding {
            Finding::Tombstone { waits_for } => Some(waits_for),
            _ => None,
        })
    };
    assert_eq!(waits(&done), Some(vec![WaitsFor::Round]));
    done.testimonies[1].owned = KeptCopy::Record(live);
    done.testimonies.pop();
    done.silent.push(OwnerFailure { node: node(4), cause: OwnerCause::Unreachable });
    assert_eq!(waits(&done), Some(vec![WaitsFor::Silent(node(4)), WaitsFor::Behind(node(2))]));
}

#[test]
fn an_owner_without_a_record_of_a_tombstone_agrees_on_what_is_live() {
    let tombstone = record(&[(20, 2)], &[]);
    let mut done = done([tombstone.clone(), tombstone.clone(), tombstone]);
    done.testimonies[2].owned = KeptCopy::Absent;
    let explanation = explain(&done);
    assert_eq!(explanation.verdict, Verdict::AgreeOnLive);
    assert!(!behind(&explanation)[0].shows);
}
