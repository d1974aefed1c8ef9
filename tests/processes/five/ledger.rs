//! What the clients know: which writes were begun, acknowledged, refused, or never heard of again; and what a read may show.
//!
//! A key has one write on its way at a time, numbered from 1, and its value names key and number. Keys are of two kinds: fresh
//! ones, written once, and hot ones, overwritten again and again. A write that replaces the latest may become a sibling of one
//! that its coordinator did not know; that is no loss, so only the highest number counts: a read has to show the last
//! acknowledged write, or one that was begun after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;

use rand::RngExt;
use rand::rngs::SmallRng;

/// Bytes of a value.
const VALUE_BYTES: usize = 256;

/// Keys that are overwritten.
const HOT: u64 = 500;

/// The part of the writes that goes to them, in percent.
const HOT_PERCENT: u8 = 50;

/// A key by number: below [`HOT`] it is overwritten.
pub(super) type KeyNumber = u64;

/// What broke a promise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Broken {
    /// A read said for certain that a key is not there whose write had been acknowledged.
    NotFound { key: KeyNumber, acknowledged: u64 },
    /// A value that nobody wrote to this key.
    NeverWritten { key: KeyNumber },
    /// A write is visible that was answered as not applied.
    RefusedIsVisible { key: KeyNumber, write: u64 },
    /// A write did not succeed within its deadline, retries included.
    PutFailed { key: KeyNumber, why: String },
    /// A read did not show the last acknowledged write within its deadline, retries included.
    GetFailed { key: KeyNumber, why: String },
    /// Nothing was heard long after the deadline.
    Hung { key: KeyNumber },
    /// An owner, read alone, lacks an acknowledged write.
    OwnerLacks { key: KeyNumber, owner: String, acknowledged: u64, holds: BTreeSet<u64> },
    /// Owners, read alone, hold different things.
    OwnersDiffer { key: KeyNumber, holdings: BTreeMap<String, BTreeSet<u64>> },
    /// Something did not come to rest.
    NotAtRest { what: String },
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::NotFound { key, acknowledged } => {
                write!(
                    formatter,
                    "{}: said to be not there, write {acknowledged} was acknowledged",
                    name(*key)
                )
            }
            Broken::NeverWritten { key } => {
                write!(formatter, "{}: nobody wrote what it shows", name(*key))
            }
            Broken::RefusedIsVisible { key, write } => {
                write!(formatter, "{}: write {write} was refused and is visible", name(*key))
            }
            Broken::PutFailed { key, why } => {
                write!(formatter, "{}: put failed: {why}", name(*key))
            }
            Broken::GetFailed { key, why } => {
                write!(formatter, "{}: get failed: {why}", name(*key))
            }
            Broken::Hung { key } => write!(formatter, "{}: hung", name(*key)),
            Broken::OwnerLacks { key, owner, acknowledged, holds } => write!(
                formatter,
                "{}: {owner} alone holds {holds:?}, write {acknowledged} was acknowledged",
                name(*key)
            ),
            Broken::OwnersDiffer { key, holdings } => {
                write!(formatter, "{}: owners hold {holdings:?}", name(*key))
            }
            Broken::NotAtRest { what } => formatter.write_str(what),
        }
    }
}

/// A write that is to be sent.
pub(super) struct Write {
    pub(super) key: KeyNumber,
    pub(super) number: u64,
}

/// How a write ended.
pub(super) enum End {
    Acknowledged,
    /// Certainly not applied.
    Refused,
    Unknown,
}

/// What a read shows of a key.
pub(super) enum Shown {
    /// The last acknowledged write, or a later one.
    Current,
    /// Only writes before the last acknowledged one, or nothing without being certain.
    Behind,
}

#[derive(Default)]
struct Entry {
    begun: u64,
    acknowledged: u64,
    refused: BTreeSet<u64>,
    busy: bool,
    /// How many nodes had gone or come back when it was acknowledged last.
    era: u64,
}

#[derive(Default)]
struct State {
    keys: BTreeMap<KeyNumber, Entry>,
    next: KeyNumber,
    era: u64,
    /// Keys whose owners are all away.
    dark: BTreeSet<KeyNumber>,
    /// Fresh keys that were acknowledged, in that order.
    written: Vec<KeyNumber>,
    broken: BTreeSet<Broken>,
}

/// See the page.
#[derive(Default)]
pub(super) struct Ledger(Mutex<State>);

/// What a key is called.
pub(super) fn name(key: KeyNumber) -> String {
    match key < HOT {
        true => format!("hot-{key}"),
        false => format!("fresh-{key}"),
    }
}

/// The value of a write.
pub(super) fn value(write: &Write) -> Vec<u8> {
    let mut value = format!("{} {} ", name(write.key), write.number).into_bytes();
    value.resize(VALUE_BYTES, b'.');
    value
}

impl Ledger {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no client panicked")
    }

    /// Draws the next write.
    pub(super) fn begin(&self, random: &mut SmallRng) -> Write {
        let mut state = self.state();
        let hot = (random.random_range(0..100) < HOT_PERCENT)
            .then(|| random.random_range(0..HOT))
            .filter(|key| !state.keys.get(key).is_some_and(|entry| entry.busy));
        let key = hot.unwrap_or_else(|| {
            state.next += 1;
            HOT + state.next
        });
        let entry = state.keys.entry(key).or_default();
        entry.busy = true;
        entry.begun += 1;
        Write { key, number: entry.begun }
    }

    /// A write ended.
    pub(super) fn end(&self, write: &Write, end: &End) {
        let mut state = self.state();
        let era = state.era;
        let entry = state.keys.get_mut(&write.key).expect("it was begun");
        entry.busy = false;
        match end {
            End::Acknowledged => {
                entry.acknowledged = write.number;
                entry.era = era;
                if write.key >= HOT {
                    state.written.push(write.key);
                }
            }
            End::Refused => {
                entry.refused.insert(write.number);
            }
            End::Unknown => {}
        }
    }

    /// From here on all owners of these keys are away: nobody can read what was written to them before.
    pub(super) fn darken(&self, is_dark: impl Fn(KeyNumber) -> bool) {
        let mut state = self.state();
        state.era += 1;
        state.dark = state.keys.keys().copied().filter(|key| is_dark(*key)).collect();
    }

    /// A key to read that was acknowledged, and the write that a read has to show at least; none as long as there is none.
    pub(super) fn draw(&self, random: &mut SmallRng) -> Option<Write> {
        let state = self.state();
        let fresh = state.written.len();
        let hot = random.random_range(0..HOT);
        let key = match random.random_range(0..100) < HOT_PERCENT {
            true if state.keys.get(&hot).is_some_and(|entry| entry.acknowledged > 0) => hot,
            _ if fresh == 0 => return None,
            _ => state.written[random.random_range(0..fresh)],
        };
        let entry = &state.keys[&key];
        let is_readable = entry.era == state.era || !state.dark.contains(&key);
        is_readable.then_some(Write { key, number: entry.acknowledged })
    }

    /// Judges what a read showed; `floor` is what [`Ledger::draw`] said.
    pub(super) fn judge(
        &self,
        floor: &Write,
        values: &[&[u8]],
        complete: bool,
    ) -> Result<Shown, Broken> {
        let key = floor.key;
        let numbers = self.numbers(key, values)?;
        match numbers.last() {
            None if complete => Err(Broken::NotFound { key, acknowledged: floor.number }),
            Some(number) if *number >= floor.number => Ok(Shown::Current),
            _ => Ok(Shown::Behind),
        }
    }

    /// The numbers of the writes that a read showed. All of them were begun, and none was refused.
    pub(super) fn numbers(
        &self,
        key: KeyNumber,
        values: &[&[u8]],
    ) -> Result<BTreeSet<u64>, Broken> {
        let state = self.state();
        let entry = state.keys.get(&key).ok_or(Broken::NeverWritten { key })?;
        let mut numbers = BTreeSet::new();
        for shown in values {
            let number = number_of(key, shown).filter(|number| *number <= entry.begun);
            let number = number.ok_or(Broken::NeverWritten { key })?;
            if entry.refused.contains(&number) {
                return Err(Broken::RefusedIsVisible { key, write: number });
            }
            numbers.insert(number);
        }
        Ok(numbers)
    }

    /// Every key that was acknowledged, with the last number.
    pub(super) fn acknowledged(&self) -> Vec<Write> {
        let state = self.state();
        let all = state.keys.iter().filter(|(_, entry)| entry.acknowledged > 0);
        all.map(|(key, entry)| Write { key: *key, number: entry.acknowledged }).collect()
    }

    /// Notes a broken promise.
    pub(super) fn broken(&self, broken: Broken) {
        self.state().broken.insert(broken);
    }

    /// All that was broken.
    pub(super) fn all_broken(&self) -> Vec<Broken> {
        self.state().broken.iter().cloned().collect()
    }
}

/// The number that a value names, if it is one of this key, byte for byte.
fn number_of(key: KeyNumber, shown: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(shown).ok()?;
    let number = text.split(' ').nth(1)?.parse().ok()?;
    (value(&Write { key, number }) == shown).then_some(number)
}

#[test]
fn a_ledger_tells_lost_stale_foreign_and_refused_values_apart() {
    use rand::SeedableRng;
    let (ledger, mut random) = (Ledger::default(), SmallRng::seed_from_u64(1));
    let first = ledger.begin(&mut random);
    ledger.end(&first, &End::Acknowledged);
    let shown = |write: &Write, values: &[&[u8]], complete| {
        let values: Vec<&[u8]> = values.to_vec();
        match ledger.judge(write, &values, complete) {
            Ok(Shown::Current) => "current".to_owned(),
            Ok(Shown::Behind) => "behind".to_owned(),
            Err(broken) => broken.to_string(),
        }
    };
    assert_eq!(shown(&first, &[&value(&first)], true), "current");
    assert_eq!(shown(&first, &[], false), "behind");
    assert!(shown(&first, &[], true).contains("not there"));
    let later = Write { key: first.key, number: 2 };
    assert!(shown(&first, &[&value(&later)], true).contains("nobody wrote"));
    let again = ledger.begin(&mut random);
    ledger.end(&again, &End::Refused);
    assert!(shown(&again, &[&value(&again)], true).contains("refused"));
}
