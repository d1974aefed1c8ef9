//! What a retried put does with what was found out about its first attempt.

use kvorum_protocol::{EncodedSet, Found};
use kvorum_store::Apply;

use crate::engine::coordinator::outcome::Applied;
use crate::engine::coordinator::put::Put;
use crate::engine::coordinator::recall::Recalled;
use crate::engine::machine::Progress;
use crate::engine::turn::Turn;

impl Put {
    /// The write was applied by an earlier attempt: instead of a second dot, what is known of it goes out again.
    pub(super) fn resend(
        &mut self,
        turn: &mut Turn<'_>,
        set: EncodedSet,
        found: Found,
    ) -> Progress {
        self.applied = Some(Applied::before(found));
        self.change = None;
        self.change_own(turn, Apply::Merge { set });
        Progress::Waiting
    }

    /// Follows the finding of a recall.
    pub(super) fn follow(&mut self, turn: &mut Turn<'_>, recalled: Recalled) -> Progress {
        match recalled {
            Recalled::Searching => Progress::Waiting,
            Recalled::Found { set, found } => {
                self.recall = None;
                self.resend(turn, set, found)
            }
            Recalled::NotFound { certain } => {
                self.recall = None;
                self.retry_checked = certain;
                self.mint(turn)
            }
        }
    }
}
