//! Whether a request fits its bucket's merge rule, and what a write is under that rule.
//!
//! Where values merge themselves, a put would replace what operations that it never saw have made of a value, so there are
//! operations only. Where the last write wins, a put is stamped when it is minted.

use kvorum_protocol::message::{
    ArgumentKind, MergeRule, Put as PutRequest, Replacing, RequestError, Update,
};
use kvorum_protocol::{Change, Stamping};

use super::{Desk, invalid};
use crate::engine::coordinator::put::Write;

impl Desk<'_> {
    /// What a put does in its bucket.
    pub(super) fn change_of(&self, put: &PutRequest) -> Result<Change, RequestError> {
        let (bytes, expires_at_ms) = (put.value.clone(), put.expires_at_ms);
        match self.view.bucket(&put.bucket)?.rule {
            MergeRule::Siblings => Ok(Change::Value { bytes, expires_at_ms }),
            MergeRule::LossyLww => {
                let wall_ms = self.now.wall_ms;
                Ok(Change::Stamped(Box::new(Stamping { bytes, wall_ms, expires_at_ms })))
            }
            MergeRule::Counter | MergeRule::Set | MergeRule::Map | MergeRule::Register => {
                Err(invalid(ArgumentKind::Rule))
            }
        }
    }

    /// The write of an operation.
    pub(super) fn check_update(&self, update: &Update) -> Result<Write, RequestError> {
        let place = self.view.place(&update.bucket, &update.key)?;
        if !self.view.bucket(&update.bucket)?.rule.takes(&update.change) {
            return Err(invalid(ArgumentKind::Rule));
        }
        let change = Change::Operation(Box::new(update.change.clone()));
        self.check_write(place, &Replacing::Latest, change, &update.options)
    }
}
