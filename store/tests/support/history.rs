//! A random workload, what was acknowledged when, and what may be found after a crash at any moment of it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kvorum_protocol::{Actor, Change, Dot, EncodedSet, OperationId, Replaces, VersionSet};
use kvorum_store::memory_index::MemoryDisk;
use kvorum_store::sim_files::{Recording, SimFiles};
use kvorum_store::{Apply, ShardOptions, StoreRequest, Token};

use super::{Store, key, texts, update};

/// A seeded stream for tests (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// One state that a key was brought into.
#[derive(Clone, Debug)]
struct State {
    token: Token,
    /// `None` for a removal.
    set: Option<EncodedSet>,
    is_removal: bool,
    /// Recorded operations of the disk when it was submitted, seen applied, seen durable.
    submitted: usize,
    applied: Option<usize>,
    durable: Option<usize>,
}

/// How a workload is composed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    pub(crate) keys: u64,
    pub(crate) steps: usize,
    /// One operation in this many is a removal; 0 for none.
    pub(crate) removals: u64,
    /// One value in this many is large enough for a bulk segment; 0 for none.
    pub(crate) bulk: u64,
}

/// A workload and all that it observed.
pub(crate) struct History {
    keys: BTreeMap<String, Vec<State>>,
    /// The index as it was after each job, with the recorded operations of the disk by then.
    indexes: Vec<(usize, MemoryDisk)>,
    dots: BTreeSet<(String, Dot)>,
    pub(crate) actors: BTreeSet<Actor>,
    next_operation: u128,
}

impl History {
    pub(crate) fn new() -> History {
        History {
            keys: BTreeMap::new(),
            indexes: Vec::new(),
            dots: BTreeSet::new(),
            actors: BTreeSet::new(),
            next_operation: 1 << 64,
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.keys.keys().cloned().collect()
    }

    /// A version set that a peer minted on top of what it once got from here.
    fn foreign(&mut self, rng: &mut Rng, name: &str) -> EncodedSet {
        let known: Vec<&EncodedSet> = self
            .keys
            .get(name)
            .into_iter()
            .flatten()
            .filter_map(|state| state.set.as_ref())
            .collect();
        let empty = VersionSet::empty();
        let base = match known.len() as u64 {
            0 => &empty,
            count => known[rng.below(count) as usize].set(),
        };
        let operation = OperationId(u128::from(rng.next()));
        let minted = base.mint(
            Actor(rng.next()),
            Replaces::Latest,
            text(format!("peer {}", rng.below(1_000))),
            operation,
        );
        EncodedSet::new(&minted.unwrap().set)
    }

    fn change(&mut self, rng: &mut Rng, name: &str, mix: Mix) -> Apply {
        self.next_operation += 1;
        let operation = self.next_operation;
        match rng.below(10) {
            0 => update(Replaces::Latest, Change::Delete, operation),
            1 => update(Replaces::Nothing, text(format!("sibling {operation}")), operation),
            2 | 3 => Apply::Merge { set: self.foreign(rng, name) },
            _ if mix.bulk > 0 && rng.below(mix.bulk) == 0 => update(
                Replaces::Latest,
                text(format!("{operation} {}", "b".repeat(66_000))),
                operation,
            ),
            _ => {
                let length = rng.below(300) as usize;
                update(
                    Replaces::Latest,
                    text(format!("{operation} {}", "v".repeat(length))),
                    operation,
                )
            }
        }
    }

    /// Runs a workload, noting what is seen when.
    pub(crate) fn run(
        &mut self,
        store: &mut Store,
        recording: Option<&Recording>,
        disk: &MemoryDisk,
        rng: &mut Rng,
        mix: Mix,
    ) {
        let length = || recording.map_or(0, Recording::len);
        self.indexes.push((length(), disk.snapshot()));
        for _ in 0..mix.steps {
            let name = format!("k{}", rng.below(mix.keys));
            let is_removal = mix.removals > 0 && rng.below(mix.removals) == 0;
            let token = if is_removal {
                store.remove(&name)
            } else {
                let change = self.change(rng, &name, mix);
                store.apply(&name, change)
            };
            let state = State {
                token,
                set: None,
                is_removal,
                submitted: length(),
                applied: None,
                durable: None,
            };
            self.keys.entry(name).or_default().push(state);
            self.note(store, length());
            let jobs = if rng.below(4) == 0 { 60 } else { rng.below(4) };
            for _ in 0..jobs {
                let Some(job) = store.poll_job() else { break };
                self.note(store, length());
                store.run(job);
                self.note(store, length());
                self.indexes.push((length(), disk.snapshot()));
            }
            if rng.below(12) == 0 {
                store.now.mono_ns += 20_000_000;
                store.opened.shard.tick(store.now);
                store.collect();
            }
        }
    }

    fn note(&mut self, store: &Store, length: usize) {
        for (name, states) in &mut self.keys {
            for state in states.iter_mut().filter(|state| state.durable.is_none()) {
                let Some(outcome) = store.outcomes.get(&state.token) else { continue };
                if let (None, Some(set)) = (&state.set, &outcome.applied) {
                    state.set = Some(set.clone());
                    state.applied = Some(length);
                    if let Some(minted) = &outcome.minted {
                        assert!(
                            self.dots.insert((name.clone(), minted.dot)),
                            "{name}: dot {} twice",
                            minted.dot
                        );
                        self.actors.insert(minted.dot.actor);
                    }
                }
                if outcome.durable {
                    state.durable = Some(length);
                }
            }
        }
    }

    /// The index as it was when the disk had seen `n` recorded operations.
    pub(crate) fn index_at(&self, n: usize) -> MemoryDisk {
        let at = self.indexes.partition_point(|(length, _)| *length < n);
        let (_, disk) =
            self.indexes.get(at).or(self.indexes.last()).expect("the workload has begun");
        disk.snapshot()
    }

    /// Checks what a store holds that was opened on what a crash after `n` recorded operations left: for each key one of
    /// its states, none older than the last that was acknowledged.
    pub(crate) fn check(&self, store: &mut Store, n: usize) -> Result<(), String> {
        for (name, states) in &self.keys {
            let found = store.get_set(name);
            let last = states.iter().rposition(|state| state.durable.is_some_and(|at| at <= n));
            let is_state = |state: &State| match &state.set {
                Some(set) => found.as_ref() == Some(set) && state.applied.is_some_and(|at| at <= n),
                None => state.is_removal && found.is_none() && state.submitted <= n,
            };
            let allowed = match last {
                Some(last) => states[last..].iter().any(is_state),
                None => found.is_none() || states.iter().any(is_state),
            };
            if !allowed {
                let found = found.map(|set| texts(&set));
                let last = last.map(|last| &states[last]);
                return Err(format!("{name}: found {found:.120?}, last acknowledged {last:.400?}"));
            }
        }
        Ok(())
    }

    /// After a checked crash: what is there now is what counts from here on.
    pub(crate) fn forget_lost(&mut self, store: &mut Store) {
        for name in self.names() {
            let set = store.get_set(&name);
            let is_removal = set.is_none();
            let (applied, durable) = (Some(0), Some(0));
            let state = State { token: Token(0), set, is_removal, submitted: 0, applied, durable };
            self.keys.insert(name, vec![state]);
        }
    }

    /// Writes to every key: nothing may be minted under an actor of an earlier run.
    pub(crate) fn mint_afresh(&self, store: &mut Store) -> Result<(), String> {
        for name in self.names() {
            let put = store.put(&name, "after");
            store.settle();
            let outcome = store.outcome(put);
            let minted = outcome
                .minted
                .ok_or_else(|| format!("{name}: not minted: {:?}", outcome.refused))?;
            if self.actors.contains(&minted.dot.actor) {
                return Err(format!("{name}: minted under {} of an earlier run", minted.dot.actor));
            }
            if !outcome.durable {
                return Err(format!("{name}: not durable after it settled"));
            }
        }
        Ok(())
    }
}

pub(crate) fn text(text: String) -> Change {
    Change::Value { bytes: Bytes::from(text.into_bytes()), expires_at_ms: None }
}

/// Opens what a crash left and checks everything: what is there, what is minted next, and that it opens once more.
pub(crate) fn check_reopened(
    history: &History,
    files: &SimFiles,
    disk: &MemoryDisk,
    options: &ShardOptions,
    n: usize,
    seed: u64,
) -> Result<kvorum_store::RecoveryReport, String> {
    let opened = Store::open(files, disk, options.clone(), seed);
    let mut store = opened.map_err(|error| format!("does not open: {error}"))?;
    let report = store.opened.report;
    if report.refilling
        || report.damaged_batches + report.damaged_bytes + report.missing_segments > 0
    {
        return Err(format!("a crash was taken for damage: {report:?}"));
    }
    history.check(&mut store, n)?;
    history.mint_afresh(&mut store)?;
    store.close();
    if !store.closed {
        return Err(format!("does not close: {:?}", store.opened.shard.stats()));
    }
    drop(store);
    let mut store = Store::open(files, disk, options.clone(), seed + 1)
        .map_err(|error| format!("not again: {error}"))?;
    for name in history.names() {
        let found = store.get(&name);
        if !found.contains(&"after".to_string()) {
            return Err(format!("{name}: lost after a clean close: {found:?}"));
        }
    }
    if !store.opened.report.clean {
        return Err("a closed store does not open clean".into());
    }
    Ok(report)
}

/// A read of every key, so that what the table holds is compared with what the disk holds.
pub(crate) fn read_all(store: &mut Store, names: &[String]) {
    for name in names {
        let key = key(name);
        store.submit(|token| StoreRequest::Read { token, key });
    }
    store.settle();
}
