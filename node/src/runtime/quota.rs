//! A bounded amount of something, of which one source may have a share.
//!
//! Whatever clients can make a node hold is counted here: their number, the bytes of their requests, the bytes of answers
//! that they have not read. What is taken comes back when the [`Taken`] is dropped, so that no way out of a task can forget
//! it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::runtime::source::Source;

/// How much there is, and who has it.
pub(crate) struct Quota {
    limit: usize,
    limit_per_source: usize,
    taken: Cell<usize>,
    by_source: RefCell<BTreeMap<Source, usize>>,
}

/// A part of a quota.
pub(crate) struct Taken {
    quota: Rc<Quota>,
    source: Source,
    amount: usize,
}

impl Quota {
    /// `limit` of something, half of it for one source.
    pub(crate) fn new(limit: usize) -> Rc<Quota> {
        let (taken, by_source) = Default::default();
        Rc::new(Quota { limit, limit_per_source: limit.div_ceil(2), taken, by_source })
    }

    /// Takes `amount`; `None` when there is not so much left, or not for this source.
    pub(crate) fn take(self: &Rc<Quota>, source: Source, amount: usize) -> Option<Taken> {
        let taken = self.taken.get() + amount;
        let mut by_source = self.by_source.borrow_mut();
        let of_source = by_source.get(&source).unwrap_or(&0) + amount;
        if taken > self.limit || of_source > self.limit_per_source {
            return None;
        }
        self.taken.set(taken);
        by_source.insert(source, of_source);
        Some(Taken { quota: self.clone(), source, amount })
    }

    /// How much is taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken.get()
    }
}

impl Taken {
    /// How much it is.
    pub(crate) fn amount(&self) -> usize {
        self.amount
    }

    /// Makes it the larger by what `more` is.
    pub(crate) fn join(&mut self, mut more: Taken) {
        assert!(Rc::ptr_eq(&self.quota, &more.quota) && self.source == more.source);
        self.amount += std::mem::take(&mut more.amount);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Quota { taken, by_source, .. } = &*self.quota;
        taken.set(taken.get() - self.amount);
        let mut by_source = by_source.borrow_mut();
        let left = by_source.get(&self.source).unwrap_or(&0).saturating_sub(self.amount);
        match left {
            0 => by_source.remove(&self.source),
            left => by_source.insert(self.source, left),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::Quota;
    use crate::runtime::source::Source;

    fn source(last: u8) -> Source {
        Source::of(IpAddr::from([127, 0, 0, last]))
    }

    #[test]
    fn one_source_gets_half_and_what_is_dropped_comes_back() {
        let quota = Quota::new(10);
        let first = quota.take(source(1), 5).unwrap();
        assert!(quota.take(source(1), 1).is_none(), "its share is taken");
        let mut second = quota.take(source(2), 3).unwrap();
        assert!(quota.take(source(3), 3).is_none(), "more than is left");
        second.join(quota.take(source(2), 2).unwrap());
        assert_eq!((second.amount(), quota.taken()), (5, 10));
        drop(first);
        assert_eq!(quota.take(source(3), 5).unwrap().amount(), 5);
        drop(second);
        assert_eq!(quota.taken(), 0);
        assert!(quota.by_source.borrow().is_empty());
    }
}
