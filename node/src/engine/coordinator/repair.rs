//! What each owner answered to a get, and what it lacks.
//!
//! A get hears several owners anyway, so it sees who is behind: whoever's set differs from the merge of all. Those are sent
//! the merge. Between two writes of a key that is all the repair that a healthy cluster needs; keys that nobody reads are
//! the business of the exchanges between owners.

use kvorum_protocol::message::{OwnerCause, Way};
use kvorum_protocol::{EncodedSet, RecordKey, VersionSet};
use kvorum_ring::NodeId;
use kvorum_store::{Apply, StoreRequest};

use crate::engine::turn::{Turn, remaining_ms};
use crate::limits;
use crate::peer_message::PeerMessage;

/// What one owner holds, as far as it said.
#[derive(Clone)]
enum Holding {
    Nothing,
    Damaged,
    Set(EncodedSet),
}

/// The holdings of the owners that answered, and their merge.
#[derive(Clone, Default)]
pub(super) struct Holdings {
    answers: Vec<(NodeId, Holding)>,
    merged: Option<EncodedSet>,
}

impl Holdings {
    /// An owner holds this. An error when it does not fit into one record with what the others hold; then it is not counted
    /// among them.
    pub(super) fn holds(&mut self, node: NodeId, set: EncodedSet) -> Result<(), OwnerCause> {
        self.adds(&set)?;
        self.answers.push((node, Holding::Set(set)));
        Ok(())
    }

    /// Somebody who is no owner holds this. An error as above.
    pub(super) fn adds(&mut self, set: &EncodedSet) -> Result<(), OwnerCause> {
        self.merged = Some(match &self.merged {
            None => set.clone(),
            Some(merged) if merged == set => set.clone(),
            Some(merged) => {
                EncodedSet::bounded(&merged.merge(set)).map_err(|_| OwnerCause::Oversized)?
            }
        });
        Ok(())
    }

    /// An owner has no record.
    pub(super) fn holds_nothing(&mut self, node: NodeId) {
        self.answers.push((node, Holding::Nothing));
    }

    /// An owner cannot read its record.
    pub(super) fn is_damaged(&mut self, node: NodeId) {
        self.answers.push((node, Holding::Damaged));
    }

    /// An owner now holds what it was sent. Said once of each owner: what [`Holdings::heal`] gave it after that is noted
    /// already, and going back to this would have it given again without end.
    pub(super) fn was_given(&mut self, node: NodeId, given: &EncodedSet) {
        self.answers.retain(|(owner, _)| *owner != node);
        self.answers.push((node, Holding::Set(given.clone())));
    }

    /// The merge of what was heard; `None` when nobody has a record.
    pub(super) fn merged(&self) -> Option<&EncodedSet> {
        self.merged.as_ref()
    }

    /// Whether the merge has a live version.
    pub(super) fn is_found(&self, is_live: impl Fn(&VersionSet) -> bool) -> bool {
        self.merged.as_ref().is_some_and(|merged| is_live(merged))
    }

    /// Sends the merge to whoever answered and is behind; nobody waits for their answers, and nobody is sent the same
    /// merge twice. The deadline is the repair's own: a get whose last answer comes at its deadline has no time left, and what
    /// it found out then is worth as much.
    ///
    /// A bare tombstone goes only to owners that hold a record. One that has none may have reclaimed the very same
    /// tombstone a moment ago, and would get it back from every read for ever.
    pub(super) fn heal(&mut self, turn: &mut Turn<'_>, key: &RecordKey) {
        let Some(merged) = &self.merged else { return };
        let deadline_ns = turn.now.after_ms(limits::REPAIR_DEADLINE_MS.into());
        for (node, holding) in &mut self.answers {
            let is_behind = match holding {
                Holding::Nothing => !merged.is_tombstone(),
                Holding::Damaged => true,
                Holding::Set(set) => set != merged,
            };
            if is_behind && turn.reaches(*node) {
                turn.stats.repairs += 1;
                give(turn, *node, key, merged, deadline_ns);
                *holding = Holding::Set(merged.clone());
            }
        }
    }
}

/// Has one owner, which may be this node, merge a set.
pub(super) fn give(
    turn: &mut Turn<'_>,
    node: NodeId,
    key: &RecordKey,
    set: &EncodedSet,
    deadline_ns: u64,
) {
    let (key, set) = (key.clone(), set.clone());
    if node == turn.me {
        turn.store(StoreRequest::Apply { token: turn.token, key, change: Apply::Merge { set } });
    } else {
        let deadline_ms = remaining_ms(turn.now, deadline_ns);
        let (token, way) = (turn.token.0, Way::ReadRepair);
        turn.send(node, PeerMessage::Replicate { token, key, set, deadline_ms, way });
    }
}
