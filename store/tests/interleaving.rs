//! The workers run beside the core and beside each other: whatever order their jobs are run and come back in, every read
//! sees the last change before it, nothing is taken for damage, and damage to the index is mended.
//!
//! Every run is a function of its seed, which a failure prints; to run one again, name it in the loop.

mod support;

use std::collections::BTreeMap;

use kvorum_store::memory_index::{IndexDamage, MemoryDisk};
use kvorum_store::sim_files::SimFiles;
use kvorum_store::{DamageNotice, Done, Job, ShardOptions, StoreRequest, Token};
use support::history::Rng;
use support::{Store, key, texts};

/// A store whose jobs wait, and whose finished jobs wait, for as long as chance says.
struct Scattered {
    store: Store,
    jobs: Vec<Job>,
    done: Vec<Done>,
    rng: Rng,
    /// Where the index fails one read job in so many.
    failing: Option<(MemoryDisk, u64)>,
    /// What was asked for each key, in order: a change with its value, or a read.
    asked: BTreeMap<String, Vec<(Token, Asked)>>,
}

#[derive(Clone, Debug)]
enum Asked {
    Put(String),
    Remove,
    Read,
}

impl Scattered {
    fn new(store: Store, seed: u64) -> Scattered {
        let (jobs, done, asked) = (Vec::new(), Vec::new(), BTreeMap::new());
        Scattered { store, jobs, done, rng: Rng(seed), failing: None, asked }
    }

    /// Something happens: a request, a job handed out, run or brought back, or time passes.
    fn step(&mut self, round: usize) {
        match self.rng.below(12) {
            0 | 1 => self.ask(round),
            2..5 => self.jobs.extend(self.store.poll_job()),
            5..8 if !self.jobs.is_empty() => {
                let chosen = self.rng.below(self.jobs.len() as u64) as usize;
                let job = self.jobs.swap_remove(chosen);
                if let (Some((disk, share)), Job::Read(_)) = (&self.failing, &job)
                    && self.rng.below(*share) == 0
                {
                    disk.fail_nth(0);
                }
                self.done.push(self.store.work(job));
                if let Some((disk, _)) = &self.failing {
                    // A key that the index cannot hold is not looked up there.
                    disk.fail_none();
                }
            }
            8..11 if !self.done.is_empty() => {
                let chosen = self.rng.below(self.done.len() as u64) as usize;
                let done = self.done.swap_remove(chosen);
                self.store.opened.shard.complete(self.store.now, done);
                self.store.collect();
            }
            11 => {
                self.store.now.mono_ns += 2_000_000;
                self.store.opened.shard.tick(self.store.now);
                self.store.collect();
            }
            _ => {}
        }
    }

    fn ask(&mut self, round: usize) {
        let name = format!("k{}", self.rng.below(24));
        let (token, asked) = match self.rng.below(10) {
            0..5 => {
                let text = format!("{round}{}", "v".repeat(150));
                (self.store.put(&name, &text), Asked::Put(text))
            }
            5 => (self.store.remove(&name), Asked::Remove),
            _ => (self.read(&name), Asked::Read),
        };
        self.asked.entry(name).or_default().push((token, asked));
    }

    fn read(&mut self, name: &str) -> Token {
        let key = key(name);
        self.store.submit(|token| StoreRequest::Read { token, key })
    }

    /// Brings everything to an end and reads every key once more.
    fn end(&mut self) {
        for job in std::mem::take(&mut self.jobs) {
            self.done.push(self.store.work(job));
        }
        for done in std::mem::take(&mut self.done) {
            self.store.opened.shard.complete(self.store.now, done);
            self.store.collect();
        }
        self.store.settle();
        let names: Vec<String> = self.asked.keys().cloned().collect();
        for name in names {
            let token = self.read(&name);
            self.store.settle();
            self.asked.entry(name).or_default().push((token, Asked::Read));
        }
    }

    /// What was read of each key at the end.
    fn last_read(&self) -> BTreeMap<String, Vec<String>> {
        let read = |token: Token| self.store.outcome(token).read.and_then(Result::ok).flatten();
        let last = |asked: &[(Token, Asked)]| asked.last().and_then(|(token, _)| read(*token));
        let named = self.asked.iter().map(|(name, asked)| (name.clone(), last(asked)));
        named.map(|(name, set)| (name, set.map(|set| texts(&set)).unwrap_or_default())).collect()
    }

    fn check(&self, seed: u64) {
        assert!(self.store.poisoned.is_none(), "seed {seed}: {:?}", self.store.poisoned);
        for (name, asked) in &self.asked {
            let mut last = Vec::new();
            for (token, asked) in asked {
                let outcome = self.store.outcome(*token);
                match asked {
                    _ if outcome.refused.is_some() => {}
                    Asked::Put(text) => last = vec![text.clone()],
                    Asked::Remove => last.clear(),
                    Asked::Read => {
                        let read = outcome.read.expect("every read is answered").unwrap();
                        let found = read.map(|set| texts(&set)).unwrap_or_default();
                        assert_eq!(found, last, "seed {seed}: {name} was read as it had been");
                    }
                }
            }
        }
    }
}

#[test]
fn no_interleaving_of_the_workers_brings_an_overwritten_record_back() {
    let mut moved = 0;
    for seed in 1..=25 {
        let (files, disk) = (SimFiles::new(), MemoryDisk::new());
        let options = ShardOptions { table_bytes: 1, ..ShardOptions::small() };
        let store = Store::open(&files, &disk, options.clone(), seed).unwrap();
        let mut scattered = Scattered::new(store, seed);
        for round in 0..3_000 {
            scattered.step(round);
        }
        scattered.end();
        scattered.check(seed);
        let damage = &scattered.store.damage;
        assert!(damage.is_empty(), "seed {seed}: {damage:?}");
        moved += scattered.store.opened.shard.stats().moved;
        // And what was read is what a crash leaves.
        let last = scattered.last_read();
        drop(scattered);
        disk.crash(IndexDamage::ALL[seed as usize % IndexDamage::ALL.len()], seed);
        let mut store = Store::open(&files.crash(seed), &disk, options, 1_000 + seed).unwrap();
        assert!(!store.opened.report.refilling, "seed {seed}: {:?}", store.opened.report);
        for (name, read) in last {
            assert_eq!(store.get(&name), read, "seed {seed}: {name} after the crash");
        }
    }
    assert!(moved > 200, "compaction has moved {moved}");
}

#[test]
fn an_index_that_fails_while_everybody_works_is_rebuilt_and_nothing_is_lost() {
    let mut rebuilds = 0;
    for seed in 1..=25 {
        let (files, disk) = (SimFiles::new(), MemoryDisk::new());
        let options = ShardOptions { table_bytes: 1, ..ShardOptions::small() };
        let store = Store::open(&files, &disk, options, seed).unwrap();
        let mut scattered = Scattered::new(store, seed);
        scattered.failing = Some((disk, 20));
        for round in 0..3_000 {
            scattered.step(round);
        }
        scattered.end();
        scattered.check(seed);
        let rebuilt = |notice: &&DamageNotice| matches!(notice, DamageNotice::IndexRebuilt { .. });
        rebuilds += scattered.store.damage.iter().filter(rebuilt).count();
    }
    assert!(rebuilds > 25, "{rebuilds} rebuilds");
}
