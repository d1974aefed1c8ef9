//! Healing damaged records: the engine asks the other owners itself, and waits for no reader.
//!
//! The store says which record it could not read. Until *every* other owner has said what it holds, nothing that is here in its
//! place may count: an acknowledged write may have been on the damaged copy and on one other, and whatever came from the third
//! would hide it. So a healing asks all of them, and only the merge of all ends the doubt. What some say is merged at once
//! all the same: one copy more of it is better than none. An owner that cannot read its copy, or that lost its log, has said what
//! there is to say; one that cannot be reached is waited for, and asked again when it is back.
//!
//! A record that no owner holds stays damaged. It was acknowledged here, perhaps by this owner alone, and to call it absent would
//! be a lie; a write or a delete of the key ends that.

pub(crate) mod asking;
pub(crate) mod cases;
