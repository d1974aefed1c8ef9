//! What one client makes its node hold: requests at work, and answers that it has not read.
//!
//! Small requests are bounded by their number and small answers by not reading on, and both counted no further. Large ones are
//! counted by their bytes, against quotas of all clients together: a request's from the moment its length is known until it is
//! answered, an answer's until it has been written.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::runtime::limits;
use crate::runtime::quota::{Quota, Taken};
use crate::runtime::source::Source;

/// One client's share of the quotas. Everything comes back when it is dropped.
pub(crate) struct Account {
    source: Source,
    requests: Rc<Quota>,
    unread: Rc<Quota>,
    at_work: Cell<usize>,
    /// Large requests at work, by request id.
    large: RefCell<BTreeMap<u64, Taken>>,
    /// For the answers that wait to be written.
    owed: RefCell<Option<Taken>>,
}

/// The client has used the id of a request for another one before the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IdInUse;

impl Account {
    pub(crate) fn new(source: Source, requests: Rc<Quota>, unread: Rc<Quota>) -> Account {
        let (at_work, large, owed) = Default::default();
        Account { source, requests, unread, at_work, large, owed }
    }

    /// Room for a large request; `None` when there is none now.
    pub(super) fn room_for(&self, bytes: usize) -> Option<Taken> {
        self.requests.take(self.source, bytes)
    }

    /// Whether one more request may be at work.
    pub(super) fn has_place(&self) -> bool {
        self.at_work.get() < limits::REQUESTS_PER_CLIENT
    }

    /// A request is at work now, and holds this room if it is large.
    pub(super) fn began(&self, request_id: u64, room: Option<Taken>) -> Result<(), IdInUse> {
        self.at_work.set(self.at_work.get() + 1);
        let Some(room) = room else { return Ok(()) };
        let earlier = self.large.borrow_mut().insert(request_id, room);
        earlier.map_or(Ok(()), |_| Err(IdInUse))
    }

    /// A request that had begun has been answered.
    pub(crate) fn answered(&self, request_id: u64) {
        self.at_work.set(self.at_work.get().saturating_sub(1));
        let mut large = self.large.borrow_mut();
        if !large.is_empty() {
            large.remove(&request_id);
        }
    }

    /// Whether so many bytes of answers may wait for the client; from now on they are counted.
    pub(crate) fn may_owe(&self, bytes: usize) -> bool {
        if bytes <= limits::UNREAD_FREE_BYTES {
            return true;
        }
        let mut owed = self.owed.borrow_mut();
        let counted = owed.as_ref().map_or(0, Taken::amount);
        let Some(more) = self.unread.take(self.source, bytes.saturating_sub(counted)) else {
            return false;
        };
        match owed.as_mut() {
            Some(owed) => owed.join(more),
            None => *owed = Some(more),
        }
        true
    }

    /// What has been counted for the answers that waited: they are about to be written, and drop it when they are.
    pub(super) fn take_owed(&self) -> Option<Taken> {
        self.owed.borrow_mut().take()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Account, IdInUse};
    use crate::runtime::limits::UNREAD_FREE_BYTES;
    use crate::runtime::quota::Quota;
    use crate::runtime::source::Source;

    #[test]
    fn what_a_client_holds_is_counted_once_and_comes_back() {
        let (requests, unread) = (Quota::new(200), Quota::new(4 * UNREAD_FREE_BYTES));
        let source = Source::of(IpAddr::from([127, 0, 0, 1]));
        let account = Account::new(source, requests.clone(), unread.clone());

        let large = |bytes| Some(account.room_for(bytes).unwrap());
        account.began(1, large(60)).unwrap();
        account.began(2, large(40)).unwrap();
        assert!(account.room_for(1).is_none());
        account.answered(1);
        assert_eq!(account.began(2, large(1)), Err(IdInUse));

        assert!(account.may_owe(UNREAD_FREE_BYTES) && unread.taken() == 0);
        assert!(account.may_owe(UNREAD_FREE_BYTES + 1));
        assert!(account.may_owe(2 * UNREAD_FREE_BYTES));
        assert!(!account.may_owe(2 * UNREAD_FREE_BYTES + 1));
        let being_written = account.take_owed();
        assert!(!account.may_owe(UNREAD_FREE_BYTES + 1), "still in memory");
        drop(being_written);
        assert!(account.may_owe(UNREAD_FREE_BYTES + 1));
        drop(account);
        assert_eq!((requests.taken(), unread.taken()), (0, 0));
    }
}
