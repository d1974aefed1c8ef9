//! The coordinator's side: the machines that carry a client's request through.
//!
//! A put or delete is [`put`], a get is [`get`]; their second thoughts have files of their own ([`recall`] finds out
//! whether a retried write was applied before, [`search`] whether the other owners hold what a delete could delete, [`repair`]
//! brings stale owners up to date, [`clocked`] compares clocks where the last write wins). What a read is shown, and whether an operation is known,
//! depends on the bucket's merge rule ([`shown`], [`known`]). [`copies`] counts what a write has. [`mending`] repairs by order. [`list`] and [`batch`] spread over many keys.

pub(crate) mod batch;
pub(crate) mod clocked;
mod copies;
mod expiry;
pub(crate) mod get;
mod known;
pub(crate) mod list;
pub(crate) mod mending;
mod outcome;
mod pages;
pub(crate) mod put;
mod recall;
mod repair;
mod search;
mod shown;

use crate::engine::causes::cause_of;

/// Answers are counted in single bytes on the wire; a partition never has more than a handful of owners.
pub(crate) fn small(count: usize) -> u8 {
    u8::try_from(count).expect("a partition has at most 255 owners")
}
