//! Every short history of one key, checked against causal histories.
//!
//! Three replicas, a client that may hold an old context, and these operations: put with `latest`, `none` or the old
//! context; delete with `latest` or the old context; read (which is where the old context comes from); merge one replica's
//! set into another's; restart (the record stays, its mark is no longer trusted); crash (the replica's last mint, which others
//! may have heard of, was not synced and is gone); wipe (the record is lost). All sequences up to a fixed length are run,
//! states that were seen before once only.
//!
//! The judge is a second model that knows no clocks: it keeps the set of events that each replica has heard of, and for each
//! event the set of events that it replaced. What must be live is what no other known event replaced.
//!
//! A judge that accepts everything proves nothing, so the same search runs over six wrong rules and must refuse each.

use std::collections::BTreeSet;

use bytes::Bytes;
use kvorum_protocol::actor_rule::{choose_actor, mark_after_merge};
use kvorum_protocol::codec::{Surplus, encode};
use kvorum_protocol::version::{
    Actor, Change, Clock, Dot, Minted, OperationId, Replaces, VersionSet,
};
use kvorum_protocol::{Mark, Run};

const REPLICAS: usize = 3;
/// Events are numbered by replica, run and counter, so that the same event has the same number in every interleaving.
const RUNS: u64 = 6;
const COUNTERS: u64 = 6;

/// A set of events, one bit each.
type Events = u128;

/// The rules under test.
#[derive(Clone, Copy)]
struct Rules {
    merge: fn(&VersionSet, &VersionSet) -> VersionSet,
    mint: fn(&VersionSet, Actor, Replaces, Change, OperationId) -> Option<Minted>,
    actor: fn(Option<Mark>, Run, Actor, Actor) -> Actor,
}

const RIGHT: Rules = Rules {
    merge: VersionSet::merge,
    mint: |set, actor, replaces, change, operation| {
        set.mint(actor, replaces, change, operation).ok()
    },
    actor: |mark, run, fresh, _| choose_actor(mark, run, || fresh),
};

#[derive(Clone, Copy, Debug)]
enum Step {
    PutLatest(usize),
    PutNothing(usize),
    PutContext(usize),
    DeleteLatest(usize),
    DeleteContext(usize),
    Read(usize),
    Merge { from: usize, into: usize },
    Restart(usize),
    Crash(usize),
    Wipe(usize),
}

#[derive(Clone, Default)]
struct Replica {
    set: VersionSet,
    mark: Option<Mark>,
    run: u64,
    heard: Events,
    /// What the disk holds when the last mint was not synced.
    synced: Option<Box<Replica>>,
}

/// What the judge knows of one event.
#[derive(Clone)]
struct Event {
    number: u32,
    dot: Dot,
    replaced: Events,
    deletes: bool,
}

#[derive(Clone, Default)]
struct World {
    replicas: [Replica; REPLICAS],
    context: Option<(Clock, Events)>,
    events: Vec<Event>,
}

impl World {
    /// The world after a step; `None` when the step changes nothing or is not possible.
    fn after(&self, step: Step, rules: &Rules) -> Result<Option<World>, String> {
        let mut world = self.clone();
        let done = match step {
            Step::PutLatest(at) => world.write(at, Some(Replaces::Latest), false, rules)?,
            Step::PutNothing(at) => world.write(at, Some(Replaces::Nothing), false, rules)?,
            Step::PutContext(at) => world.write(at, None, false, rules)?,
            Step::DeleteLatest(at) => world.write(at, Some(Replaces::Latest), true, rules)?,
            Step::DeleteContext(at) => world.write(at, None, true, rules)?,
            Step::Read(at) => {
                let replica = &world.replicas[at];
                world.context = Some((replica.set.clock().clone(), replica.heard));
                true
            }
            Step::Merge { from, into } => {
                let source = world.replicas[from].clone();
                let target = &mut world.replicas[into];
                target.synced = None;
                target.mark = mark_after_merge(target.mark, target.set.clock(), source.set.clock());
                target.set = (rules.merge)(&target.set, &source.set);
                target.heard |= source.heard;
                world.check(into)?;
                !source.set.is_empty()
            }
            Step::Restart(at) => {
                world.replicas[at].run += 1;
                world.replicas[at].mark.is_some()
            }
            Step::Crash(at) => match world.replicas[at].synced.take() {
                Some(synced) => {
                    let run = world.replicas[at].run + 1;
                    world.replicas[at] = Replica { run, ..*synced };
                    true
                }
                None => false,
            },
            Step::Wipe(at) => {
                let run = world.replicas[at].run + 1;
                let before = std::mem::replace(
                    &mut world.replicas[at],
                    Replica { run, ..Replica::default() },
                );
                !before.set.is_empty()
            }
        };
        Ok(done.then_some(world))
    }

    /// Mints at a replica; without `replaces` with the client's old context.
    fn write(
        &mut self,
        at: usize,
        replaces: Option<Replaces>,
        deletes: bool,
        rules: &Rules,
    ) -> Result<bool, String> {
        let replica = &self.replicas[at];
        let (replaces, replaced) = match (replaces, &self.context) {
            (Some(Replaces::Latest), _) => (Replaces::Latest, replica.heard),
            (Some(other), _) => (other, 0),
            (None, Some((clock, heard))) => (Replaces::Context(clock.clone()), *heard),
            (None, None) => return Ok(false),
        };
        let (fresh, reused) = (Actor(at as u64 * RUNS + replica.run), Actor(at as u64 * RUNS));
        let actor = (rules.actor)(replica.mark, Run(replica.run), fresh, reused);
        let operation = OperationId(self.events.len() as u128);
        let change = match deletes {
            true => Change::Delete,
            false => Change::Value { bytes: Bytes::new(), expires_at_ms: None },
        };
        let Some(minted) = (rules.mint)(&replica.set, actor, replaces, change, operation) else {
            return Ok(false);
        };
        if self.events.iter().any(|event| event.dot == minted.dot) {
            return Err(format!("dot {} twice", minted.dot));
        }
        let number = (minted.dot.actor.0 * COUNTERS + minted.dot.counter - 1) as u32;
        self.events.push(Event { number, dot: minted.dot, replaced, deletes });
        let replica = &mut self.replicas[at];
        replica.synced = None;
        replica.synced = Some(Box::new(replica.clone()));
        replica.set = minted.set;
        replica.mark = Some(Mark { actor, run: Run(replica.run) });
        replica.heard |= replaced | 1 << number;
        self.check(at)?;
        Ok(true)
    }

    /// A replica's set against the events that it has heard of.
    fn check(&self, at: usize) -> Result<(), String> {
        let Replica { set, heard, .. } = &self.replicas[at];
        let known = || self.events.iter().filter(|event| heard >> event.number & 1 == 1);
        let replaced = known().fold(0, |replaced, event| replaced | event.replaced);
        for event in &self.events {
            let (is_known, is_replaced) =
                (heard >> event.number & 1 == 1, replaced >> event.number & 1 == 1);
            if set.clock().covers(event.dot) != is_known {
                return Err(format!(
                    "replica {at}: clock and history disagree about {}",
                    event.dot
                ));
            }
            let must_stand = is_known && !is_replaced;
            let is_live = set.version(event.dot).is_some();
            let is_deletion = set.deletions().iter().any(|(dot, _)| *dot == event.dot);
            if is_live != (must_stand && !event.deletes) {
                let what = if is_live { "false concurrency" } else { "false domination" };
                return Err(format!("replica {at}: {what} of {}", event.dot));
            }
            if is_deletion != (must_stand && event.deletes) {
                return Err(format!(
                    "replica {at}: the delete {} is remembered wrongly",
                    event.dot
                ));
            }
        }
        let events = known().count();
        if set.versions().len() + set.deletions().len() > events {
            return Err(format!("replica {at}: holds what was never written"));
        }
        Ok(())
    }

    /// Steps that are possible. A replica is first touched only after the one before it, which loses nothing: replicas
    /// differ only in their numbers.
    fn steps(&self) -> Vec<Step> {
        let touched = |at: usize| !self.replicas[at].set.is_empty() || self.replicas[at].run > 0;
        let reachable = (0..REPLICAS).filter(|at| *at == 0 || touched(at - 1));
        let mut steps = Vec::new();
        for at in reachable {
            steps.extend([Step::PutLatest(at), Step::PutNothing(at), Step::PutContext(at)]);
            steps.extend([Step::DeleteLatest(at), Step::DeleteContext(at), Step::Read(at)]);
            steps.extend([Step::Restart(at), Step::Crash(at), Step::Wipe(at)]);
            let sources = (0..REPLICAS).filter(|from| *from != at && touched(*from));
            steps.extend(sources.map(|from| Step::Merge { from, into: at }));
        }
        steps
    }

    /// Whether the numbers of events suffice for the step, of which a long history could need more.
    fn has_numbers_for(&self, step: Step) -> bool {
        match step {
            Step::Restart(at) | Step::Crash(at) | Step::Wipe(at) => {
                self.replicas[at].run + 1 < RUNS
            }
            Step::Read(_) | Step::Merge { .. } => true,
            Step::PutLatest(at) | Step::PutNothing(at) | Step::PutContext(at) => {
                self.has_counter(at)
            }
            Step::DeleteLatest(at) | Step::DeleteContext(at) => self.has_counter(at),
        }
    }

    fn has_counter(&self, at: usize) -> bool {
        let actor = Actor(at as u64 * RUNS + self.replicas[at].run);
        self.events.iter().filter(|event| event.dot.actor == actor).count() < COUNTERS as usize
    }

    /// Equal for worlds with the same future.
    fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for replica in &self.replicas {
            replica.feed(&mut hasher);
            if let Some(synced) = &replica.synced {
                synced.feed(&mut hasher);
            }
            hasher.update(b"/");
        }
        if let Some((clock, heard)) = &self.context {
            hasher.update(&encode(clock)).update(&heard.to_le_bytes());
        }
        let mut events: Vec<&Event> = self.events.iter().collect();
        events.sort_by_key(|event| event.number);
        for event in events {
            hasher.update(&event.number.to_le_bytes()).update(&event.replaced.to_le_bytes());
            hasher.update(&[u8::from(event.deletes)]);
        }
        *hasher.finalize().as_bytes()
    }
}

impl Replica {
    /// Everything that its future depends on. Operation ids differ between interleavings and change nothing here, so of
    /// the versions only the dots are taken.
    fn feed(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&encode(self.set.clock()));
        for (dot, _) in self.set.versions() {
            hasher.update(&encode(dot));
        }
        let mark = self.mark.map_or((u64::MAX, 0), |mark| (mark.actor.0, mark.run.0));
        for number in [mark.0, mark.1, self.run] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(&self.heard.to_le_bytes());
    }
}

/// Runs every sequence of `depth` steps; gives the number of worlds, or the first violation with the steps to it.
fn search(depth: usize, rules: &Rules) -> Result<usize, String> {
    let mut seen = BTreeSet::new();
    let mut level = vec![(World::default(), Vec::new())];
    for _ in 0..depth {
        let mut next = Vec::new();
        for (world, path) in &level {
            for step in world.steps() {
                let path = || path.iter().copied().chain([step]).collect::<Vec<Step>>();
                let after = world
                    .after(step, rules)
                    .map_err(|violation| format!("{violation}, after {:?}", path()))?;
                if let Some(after) = after
                    && seen.insert(after.fingerprint())
                {
                    next.push((after, path()));
                }
            }
        }
        level = next;
    }
    Ok(seen.len())
}

#[test]
fn every_history_of_six_steps_agrees_with_causality() {
    let worlds = search(6, &RIGHT).unwrap_or_else(|violation| panic!("{violation}"));
    println!("{worlds} worlds");
    assert!(worlds > 50_000, "the search must reach more than {worlds} worlds to mean anything");
}

/// A random history of at most 24 steps, from a seed alone.
fn walk(seed: u64) -> Result<(), String> {
    let mut world = World::default();
    let mut path = Vec::new();
    for number in 0..24u64 {
        let steps: Vec<Step> =
            world.steps().into_iter().filter(|step| world.has_numbers_for(*step)).collect();
        let hash = blake3::hash(&[seed.to_le_bytes(), number.to_le_bytes()].concat());
        let step = steps[hash.as_bytes()[0] as usize % steps.len()];
        path.push(step);
        if let Some(after) =
            world.after(step, &RIGHT).map_err(|violation| format!("{violation}, after {path:?}"))?
        {
            world = after;
        }
    }
    Ok(())
}

#[test]
fn longer_random_histories_agree_with_causality() {
    for seed in 0..2_000 {
        walk(seed).unwrap_or_else(|violation| panic!("walk({seed}): {violation}"));
    }
}

/// Runs the search over wrong rules, which must not survive it.
fn assert_refused(rules: Rules, expected: &str) {
    let violation = search(5, &rules).expect_err("the wrong rule was not noticed");
    println!("{violation}");
    assert!(violation.contains(expected), "noticed for another reason: {violation}");
}

#[test]
fn a_merge_that_keeps_what_was_replaced_is_noticed() {
    fn keep_all(left: &VersionSet, right: &VersionSet) -> VersionSet {
        let merged = left.merge(right);
        let mut versions = [left.versions(), right.versions()].concat();
        versions.sort();
        versions.dedup();
        VersionSet::from_parts(
            merged.clock().clone(),
            versions,
            merged.deletions().to_vec(),
            Surplus::NONE,
        )
        .expect("valid, only wrong")
    }
    assert_refused(Rules { merge: keep_all, ..RIGHT }, "false concurrency");
}

#[test]
fn a_merge_that_lets_the_longer_clock_win_is_noticed() {
    fn longer_clock_wins(left: &VersionSet, right: &VersionSet) -> VersionSet {
        let merged = left.merge(right);
        let winner = if left.clock().len() >= right.clock().len() { left } else { right };
        let versions = winner.versions().to_vec();
        VersionSet::from_parts(
            merged.clock().clone(),
            versions,
            merged.deletions().to_vec(),
            Surplus::NONE,
        )
        .expect("valid, only wrong")
    }
    assert_refused(Rules { merge: longer_clock_wins, ..RIGHT }, "false domination");
}

#[test]
fn an_actor_that_goes_on_after_its_record_was_lost_is_noticed() {
    // The classic loss: an actor per node instead of one per node, key and run.
    assert_refused(Rules { actor: |_, _, _, reused| reused, ..RIGHT }, "twice");
}

#[test]
fn a_mark_that_is_trusted_in_a_later_run_is_noticed() {
    let rules = Rules { actor: |mark, _, fresh, _| mark.map_or(fresh, |mark| mark.actor), ..RIGHT };
    assert_refused(rules, "twice");
}

#[test]
fn a_put_that_covers_more_than_its_context_is_noticed() {
    let rules = Rules {
        mint: |set, actor, replaces, change, operation| {
            let replaces = match replaces {
                Replaces::Context(clock) => Replaces::Context(clock.merge(set.clock())),
                other => other,
            };
            set.mint(actor, replaces, change, operation).ok()
        },
        ..RIGHT
    };
    assert_refused(rules, "false domination");
}

#[test]
fn a_put_that_forgets_what_its_context_knew_is_noticed() {
    // The new version then stands beside the one it replaced as soon as the two meet again.
    let rules = Rules {
        mint: |set, actor, replaces, change, operation| {
            let mut minted = set.mint(actor, replaces, change, operation).ok()?;
            let known = set.clock().iter().chain([(minted.dot.actor, minted.dot.counter)]);
            let versions = minted.set.versions().to_vec();
            let deletions = minted.set.deletions().to_vec();
            minted.set =
                VersionSet::from_parts(Clock::of(known), versions, deletions, Surplus::NONE)
                    .ok()?;
            Some(minted)
        },
        ..RIGHT
    };
    assert_refused(rules, "clock and history disagree");
}
