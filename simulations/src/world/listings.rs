//! Listings: which keys one owes, noted when it is asked for, and what came.

use kvorum_protocol::message::ListDone;

use super::{Attempt, World};
use crate::bits::Bits;
use crate::checkers::p1_listings::{self, Page};
use crate::plan::OperationKind;
use crate::reached::Rare;
use crate::violation::{Property, Violation};

impl World {
    /// For each key the versions that all its owners hold durably.
    pub(super) fn held_everywhere(&self) -> Vec<Bits> {
        let owners = self.owners.iter().zip(0..);
        owners.map(|(owners, key)| self.holders.held_by_all(owners, key)).collect()
    }

    /// Whether one of these versions is live wherever it is held: nothing deletes or expires what came of it.
    fn is_certain(&self, key: usize, held: &Bits) -> bool {
        let oracle = &self.oracle[key];
        let expires = oracle.versions().iter().any(|version| {
            self.history.row(version.write).is_some_and(|row| row.expires_at_ms.is_some())
        });
        !expires && held.iter().any(|version| oracle.is_undeleted(version))
    }

    /// A listing names keys in order, no more than asked, none that was never written, and all that are certain.
    pub(super) fn hear_list(&mut self, attempt: Attempt, done: &ListDone) {
        let running = &self.running[attempt.slot as usize];
        let OperationKind::List { limit, after, .. } = running.operation.kind else { return };
        let after = after.map(|key| &self.keys[usize::from(key)]);
        let keys: Vec<&[u8]> = done.items.iter().map(|item| item.key.as_bytes()).collect();
        let page = Page {
            after: after.map(|key| key.as_bytes()),
            limit: limit.into(),
            keys: &keys,
            next: done.next.as_ref().map(|key| key.as_bytes()),
        };
        let is_covered = |key: usize| {
            let partition = self.record_of(self.keys[key].clone()).partition;
            !done.uncovered.contains(&partition)
        };
        let held = running.held.iter().enumerate();
        let certain: Vec<&[u8]> = held
            .filter(|(key, held)| is_covered(*key) && self.is_certain(*key, held))
            .map(|(key, _)| self.keys[key].as_bytes())
            .collect();
        let mut judgement = p1_listings::check_page(&page)
            .and_then(|()| p1_listings::check_complete(&page, &certain));
        let was_written = |key| {
            Self::number_of_key(key)
                .is_ok_and(|key| !self.oracle[usize::from(key)].versions().is_empty())
        };
        if let Some(item) = done.items.iter().find(|item| !was_written(&item.key)) {
            let what = format!("a listing names {}, never written", item.key);
            judgement = Err(Violation::new(Property::P13, what));
        }
        let (owed, partial) = (!certain.is_empty(), !done.uncovered.is_empty());
        if owed {
            self.reached.mark(Rare::ListingOwed);
        }
        if partial {
            self.reached.mark(Rare::ListingPartial);
        }
        self.accuse(judgement, None, None);
    }
}
