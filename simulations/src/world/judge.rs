//! Every store event before the oracle.
//!
//! This is where damage shows first. A mint is registered with its shadow past and judged for a used dot; every record
//! that a node then holds is judged for false domination, false concurrency and failed writes; and what a store calls
//! durable is noted with its holder.

use kvorum_protocol::{Dot, OperationId, VersionSet};
use kvorum_store::{Apply, DamageNotice, MintedDot, StoreEvent, StoreRefusal, StoreRequest};

use super::World;
use super::node::Pending;
use crate::bits::Bits;
use crate::checkers::{p3_siblings, p4_domination, p5_dots, p6_contexts, p14_honest_results};
use crate::oracle::{Seen, ShadowDot, WriteId};
use crate::plan::Rule;
use crate::reached::Rare;
use crate::violation::{Property, Violation};

/// The operation id of a write: its number in front, so that it shows in what is printed.
pub(super) const fn operation_of(write: WriteId) -> OperationId {
    OperationId((write as u128) << 96 | 0x6b76)
}

/// The write of an operation id.
const fn write_of(operation: OperationId) -> WriteId {
    (operation.0 >> 96) as WriteId
}

/// A dot as the oracle names it.
pub(super) const fn shadow(dot: Dot) -> ShadowDot {
    ShadowDot { actor: dot.actor.0, counter: dot.counter }
}

/// A version set as the oracle sees it.
pub(super) fn seen(set: &VersionSet) -> Seen {
    Seen {
        clock: set.clock().iter().map(|(actor, counter)| (actor.0, counter)).collect(),
        live: set.versions().iter().map(|(dot, _)| shadow(*dot)).collect(),
    }
}

impl World {
    /// Notes what a store is asked for, to know what its answer is about.
    pub(super) fn note_request(&mut self, number: u16, request: &StoreRequest) {
        self.digest_request(number, request);
        let (token, key, change) = match request {
            StoreRequest::Apply { token, key, change } => (token, key, Some(change)),
            StoreRequest::Hold { token, key, change, .. } => {
                self.reached.mark(Rare::HintHeld);
                (token, key, Some(change))
            }
            StoreRequest::Release { token, key, .. } => (token, key, None),
            _ => return,
        };
        let record = key;
        let key = match Self::number_of_key(&record.key) {
            Ok(key) => key,
            Err(violation) => return self.accuse(Err(violation), Some(number), None),
        };
        if let StoreRequest::Release { target, set, .. } = request {
            self.judge_release(number, key, *target, &seen(set));
        }
        let write = match change {
            Some(Apply::Update { operation, .. }) => Some(write_of(*operation)),
            Some(Apply::Merge { .. }) | None => None,
        };
        self.say(Some(number), Some(key), || match write {
            Some(write) => format!("asks its store to mint write {write}"),
            None if change.is_none() => "asks its store to let go of it".to_owned(),
            None => "asks its store to merge".to_owned(),
        });
        let covered = change.is_none().then(Bits::new);
        let released = change.is_none().then(|| record.clone());
        let pending = Pending { token: *token, key, write, covered, minted: None, released };
        if let Some(life) = &mut self.nodes[usize::from(number)].life {
            life.pending.push(pending);
        }
    }

    /// Judges one event of a node's store.
    pub(super) fn judge_event(&mut self, number: u16, event: &StoreEvent) {
        self.digest_event(number, event);
        match event {
            StoreEvent::Applied { token, set, minted, changed } => {
                let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
                let waiting = life
                    .pending
                    .iter()
                    .position(|one| one.token == *token && one.covered.is_none());
                let Some(index) = waiting else { return };
                let (key, write) = (life.pending[index].key, life.pending[index].write);
                life.served = true;
                let judgement =
                    self.judge_applied(number, key, write, set, minted.as_ref(), *changed);
                match judgement {
                    Ok(covered) => {
                        if let (Some(minted), Some(write)) = (minted, write) {
                            self.note_mint(number, key, minted.dot, (token.0, write));
                        }
                        if let Some(life) = &mut self.nodes[usize::from(number)].life {
                            let pending = &mut life.pending[index];
                            pending.covered = Some(covered);
                            pending.minted = minted.as_ref().map(|minted| minted.dot);
                        }
                    }
                    Err(violation) => self.accuse(Err(violation), Some(number), Some(key)),
                }
            }
            StoreEvent::Durable { token } => {
                let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
                let waiting = life
                    .pending
                    .iter()
                    .position(|one| one.token == *token && one.covered.is_some());
                let Some(index) = waiting else { return };
                let Pending { key, covered, released, .. } = life.pending.remove(index);
                if let Some(record) = released {
                    return self.let_go(number, key, &record);
                }
                self.judge_hoard(number);
                self.holders.hold(number, key, &covered.unwrap_or_default());
                self.say(Some(number), Some(key), || "what it applied is durable".to_owned());
            }
            StoreEvent::HintDropped { key } => self.judge_drop(number, key),
            StoreEvent::HintReadable { .. } => self.reached.mark(Rare::HintReadable),
            StoreEvent::Refused { token, reason } => {
                if *reason == StoreRefusal::HintsFull {
                    self.reached.mark(Rare::HintRefused);
                }
                let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
                let waiting = life.pending.iter().position(|one| {
                    one.token == *token && (one.covered.is_none() || one.released.is_some())
                });
                let key = waiting.map(|index| life.pending.remove(index).key);
                self.say(Some(number), key, || format!("its store refuses: {reason}"));
            }
            StoreEvent::Damage(notice) => {
                self.note_damage(number, *notice);
            }
            StoreEvent::Poisoned { reason } => {
                self.say(Some(number), None, || format!("its store is poisoned: {reason}"));
            }
            _ => {}
        }
    }

    /// A store noticed damage.
    fn note_damage(&mut self, number: u16, notice: DamageNotice) {
        match notice {
            DamageNotice::Record { .. } => self.explanations.note_damage(number),
            DamageNotice::Unreadable { .. } => {
                self.reached.mark(Rare::Unreadable);
                self.explanations.note_damage(number);
            }
            DamageNotice::IndexRebuilt { .. } => self.reached.mark(Rare::IndexRebuilt),
            _ => {}
        }
        self.say(Some(number), None, || format!("its store notices damage: {notice:?}"));
    }

    /// Judges a change that is visible now and says which versions the record covers.
    fn judge_applied(
        &mut self,
        number: u16,
        key: u16,
        write: Option<WriteId>,
        set: &VersionSet,
        minted: Option<&MintedDot>,
        changed: bool,
    ) -> Result<Bits, Violation> {
        let seen = seen(set);
        if let (Some(minted), Some(write)) = (minted, write) {
            self.judge_mint(number, key, write, minted, &seen)?;
        } else if minted.is_some() {
            return Err(Violation::new(Property::P5, "a merge minted a dot".to_owned()));
        }
        if self.plan.rule != Rule::Siblings && seen.live.len() > 1 {
            self.reached.mark(Rare::BranchesMet);
        }
        let oracle = &self.oracle[usize::from(key)];
        if changed || minted.is_some() {
            p4_domination::check(oracle, &seen)?;
            p3_siblings::check(oracle, &seen)?;
            p14_honest_results::check_seen(oracle, &seen)?;
        }
        let covered = oracle.covered(&seen.clock);
        if minted.is_none() {
            self.spread[usize::from(key)].union_with(&covered);
            self.say(Some(number), Some(key), || {
                format!("merged ({changed}) to {}", describe(&seen))
            });
        }
        Ok(covered)
    }

    /// Judges a mint and registers it with its shadow past.
    fn judge_mint(
        &mut self,
        number: u16,
        key: u16,
        write: WriteId,
        minted: &MintedDot,
        seen: &Seen,
    ) -> Result<(), Violation> {
        let dot = shadow(minted.dot);
        self.say(Some(number), Some(key), || {
            format!(
                "mints {dot:?} for write {write}, replacing {:?}: {}",
                minted.replaced,
                describe(seen)
            )
        });
        self.judge_stamp(number, key, write)?;
        let oracle = &mut self.oracle[usize::from(key)];
        let Some(row) = self.history.row(write) else {
            return Err(Violation::new(
                Property::P5,
                format!("write {write} was minted, and nobody asked for it"),
            ));
        };
        p14_honest_results::check_mint(oracle, write)?;
        p5_dots::check_mint(oracle, write, dot)?;
        if row.bad_context {
            return p6_contexts::check_bad_context(false, true);
        }
        let past = match &row.shown {
            Some(shown) => {
                p6_contexts::check_mint(&row.context_clock, &seen.clock)?;
                shown.clone()
            }
            // What the coordinator says that it replaced, with all that this accounts for.
            None => {
                let replaced = minted.replaced.iter().copied().map(shadow).collect();
                oracle.recorded(&Seen { clock: seen.clock.clone(), live: replaced })
            }
        };
        if row.shown.is_some() && seen.live.len() > 1 {
            self.reached.mark(Rare::StaleContext);
        }
        if !oracle.versions_of(write).is_empty() {
            self.reached.mark(Rare::TwinMint);
        }
        let last = &mut self.nodes[usize::from(number)].actors[usize::from(key)];
        if last.is_some_and(|actor| actor != dot.actor) {
            self.reached.mark(Rare::FreshActorForOldKey);
        }
        *last = Some(dot.actor);
        oracle.register(write, dot, !seen.live.contains(&dot), past);
        if !self.owners[usize::from(key)].contains(&number) {
            self.reached.mark(Rare::FallbackMinted);
        }
        self.approach_doom(number);
        Ok(())
    }
}

/// A set in a few words, for the trace.
pub(super) fn describe(seen: &Seen) -> String {
    let clock: Vec<String> = seen
        .clock
        .iter()
        .map(|(actor, counter)| format!("{:04x}:{counter}", actor >> 48))
        .collect();
    let live: Vec<String> =
        seen.live.iter().map(|dot| format!("{:04x}:{}", dot.actor >> 48, dot.counter)).collect();
    format!("clock [{}] live [{}]", clock.join(" "), live.join(" "))
}
