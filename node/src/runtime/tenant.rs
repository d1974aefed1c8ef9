//! Who shares this node, and what each may take of it: the bearers of one token, or the operator at one source.
//!
//! What a tenant has at work and what it has begun lately is counted in all of its connections together, so that opening
//! more of them brings nothing. What it leaves behind counts until it is answered, and what it has spent until that is
//! earned again: coming back brings nothing either.
//!
//! A rate is a token bucket of one second's requests. Items of batches count singly. A batch begins as soon as one request
//! may, or one larger than the bucket never could; what it takes beyond is owed, and nothing begins until that is earned.
//!
//! Pure: the time is an argument. **Not here:** the node's own bound, which is the [`Gate`](crate::runtime::gate::Gate)'s.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use kvorum_protocol::{Request, TokenId};

use crate::runtime::access::Caller;
use crate::runtime::limits;
use crate::runtime::source::Source;

/// Parts of a request in which allowances are counted: at a rate of 1 a second one part is earned in a nanosecond.
const PARTS: i128 = 1_000_000_000;

/// Which tenant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum TenantId {
    /// The operator at a source. One with many machines is many tenants.
    Operator(Source),
    /// The bearers of a token, wherever they are.
    Token(TokenId),
}

impl TenantId {
    /// The tenant that a caller belongs to.
    pub(crate) fn of(caller: Caller, source: Source) -> TenantId {
        match caller {
            Caller::Operator => TenantId::Operator(source),
            Caller::Token(id) => TenantId::Token(id),
        }
    }
}

/// What a tenant may take of one node; all that there is where nothing is said.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct TenantLimits {
    /// Requests for data at work.
    pub(crate) in_flight: Option<u32>,
    /// Requests for data that begin in a second.
    pub(crate) rate: Option<u32>,
}

/// The limit that a request is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OverLimit {
    /// So many are at work already.
    InFlight,
    /// So many have begun lately.
    Rate {
        /// When the next one may begin, in milliseconds from now.
        retry_after_ms: u32,
    },
}

/// A token bucket: what may begin now.
#[derive(Debug)]
struct Allowance {
    rate: u32,
    /// What is there, in parts of a request; negative when a batch has taken more.
    parts: i128,
    /// When that was so.
    at_ns: u64,
}

impl Allowance {
    /// Full: one second's requests.
    fn new(rate: u32, now_ns: u64) -> Allowance {
        Allowance { rate, parts: i128::from(rate) * PARTS, at_ns: now_ns }
    }

    /// What is there at a moment.
    fn parts_at(&self, now_ns: u64) -> i128 {
        let earned = i128::from(now_ns.saturating_sub(self.at_ns)) * i128::from(self.rate);
        (self.parts + earned).min(i128::from(self.rate) * PARTS)
    }

    /// How many nanoseconds it is until a request may begin.
    fn wait_ns(&self, now_ns: u64) -> u64 {
        let lacking = (PARTS - self.parts_at(now_ns)).max(0).unsigned_abs();
        u64::try_from(lacking.div_ceil(u128::from(self.rate.max(1)))).unwrap_or(u64::MAX)
    }

    fn take(&mut self, requests: usize, now_ns: u64) {
        self.parts = self.parts_at(now_ns) - requests as i128 * PARTS;
        self.at_ns = now_ns.max(self.at_ns);
    }
}

/// One tenant: what it may take and what it has taken.
#[derive(Debug)]
pub(crate) struct Tenant {
    id: TenantId,
    in_flight: Option<u32>,
    /// Its requests inside the gate, a batch being one.
    inside: Cell<usize>,
    /// Its requests at work, items of batches counted singly.
    at_work: Cell<usize>,
    allowance: RefCell<Option<Allowance>>,
}

impl Tenant {
    fn new(id: TenantId, limits: TenantLimits, now_ns: u64) -> Tenant {
        let allowance = limits.rate.map(|rate| Allowance::new(rate, now_ns));
        let (inside, at_work) = Default::default();
        Tenant { id, in_flight: limits.in_flight, inside, at_work, allowance: allowance.into() }
    }

    pub(crate) fn id(&self) -> TenantId {
        self.id
    }

    /// Its requests inside the gate.
    pub(crate) fn inside(&self) -> usize {
        self.inside.get()
    }

    /// Whether it may begin a request.
    ///
    /// # Errors
    /// The limit that holds it back.
    pub(crate) fn check(&self, now_ns: u64) -> Result<(), OverLimit> {
        if self.in_flight.is_some_and(|limit| self.at_work.get() >= limit as usize) {
            return Err(OverLimit::InFlight);
        }
        let wait_ns = self.allowance.borrow().as_ref().map_or(0, |it| it.wait_ns(now_ns));
        if wait_ns == 0 {
            return Ok(());
        }
        let retry_after_ms = u32::try_from(wait_ns.div_ceil(1_000_000)).unwrap_or(u32::MAX);
        Err(OverLimit::Rate { retry_after_ms })
    }

    /// A request that counts as so many has been let in.
    pub(crate) fn began(&self, requests: usize, now_ns: u64) {
        self.inside.set(self.inside.get() + 1);
        self.at_work.set(self.at_work.get() + requests);
        if let Some(allowance) = self.allowance.borrow_mut().as_mut() {
            allowance.take(requests, now_ns);
        }
    }

    /// It has ended.
    pub(crate) fn ended(&self, requests: usize) {
        self.inside.set(self.inside.get() - 1);
        self.at_work.set(self.at_work.get() - requests);
    }

    /// Whether a new one would be the same.
    fn is_rested(&self, now_ns: u64) -> bool {
        let is_full = |it: &Allowance| it.parts_at(now_ns) == i128::from(it.rate) * PARTS;
        self.at_work.get() == 0 && self.allowance.borrow().as_ref().is_none_or(is_full)
    }

    /// One without limits, for tests about other things.
    #[cfg(test)]
    pub(crate) fn anybody() -> Rc<Tenant> {
        let id = TenantId::Operator(Source::of(std::net::Ipv4Addr::LOCALHOST.into()));
        Rc::new(Tenant::new(id, TenantLimits::default(), 0))
    }
}

/// The tenants that are connected, have something at work, or have spent what they have not earned again. As many as there
/// are connections and tokens.
#[derive(Debug, Default)]
pub(crate) struct Tenants(BTreeMap<TenantId, Rc<Tenant>>);

impl Tenants {
    /// The tenant of one more connection. Limits are those of its first one: a token's never change.
    pub(crate) fn join(&mut self, id: TenantId, limits: TenantLimits, now_ns: u64) -> Rc<Tenant> {
        self.0.retain(|_, tenant| Rc::strong_count(tenant) > 1 || !tenant.is_rested(now_ns));
        let tenant = self.0.entry(id).or_insert_with(|| Rc::new(Tenant::new(id, limits, now_ns)));
        Rc::clone(tenant)
    }
}

/// Who came last, and when another one did: enough to tell whether a tenant is alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Company {
    last: Option<(TenantId, u64)>,
    /// When one came last that was not `last`'s.
    another_ns: Option<u64>,
}

impl Company {
    /// A tenant asks. Whether another one has asked within [`limits::SHARED_FOR`].
    pub(crate) fn came(&mut self, id: TenantId, now_ns: u64) -> bool {
        if let Some((last, at_ns)) = self.last
            && last != id
        {
            self.another_ns = Some(at_ns);
        }
        self.last = Some((id, now_ns));
        let shared_for_ns = limits::SHARED_FOR.as_nanos() as u64;
        self.another_ns.is_some_and(|at_ns| now_ns.saturating_sub(at_ns) < shared_for_ns)
    }
}

/// As how many a request counts.
pub(crate) fn weight(request: &Request) -> usize {
    match request {
        Request::BatchPut(batch) => batch.items.len().max(1),
        Request::BatchGet(batch) => batch.keys.len().max(1),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use kvorum_protocol::TokenId;

    use super::{Allowance, Company, OverLimit, Tenant, TenantId, TenantLimits, Tenants};
    use crate::runtime::limits::SHARED_FOR;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;
    const ONE: TenantId = TenantId::Token(TokenId(1));
    const OTHER: TenantId = TenantId::Token(TokenId(2));

    fn rate(rate: u32) -> TenantLimits {
        TenantLimits { rate: Some(rate), in_flight: None }
    }

    /// How many single requests begin within a time when one is tried every millisecond, many times.
    fn begun(tenant: &Tenant, from_ns: u64, to_ns: u64) -> u64 {
        let mut begun = 0;
        for now_ns in (from_ns..to_ns).step_by(MS as usize) {
            while tenant.check(now_ns).is_ok() {
                tenant.began(1, now_ns);
                tenant.ended(1);
                begun += 1;
            }
        }
        begun
    }

    #[test]
    fn a_rate_holds_over_any_time_beyond_a_burst_of_one_second() {
        for per_second in [1, 3, 7, 1_000, 33_333] {
            let tenant = Tenant::new(ONE, rate(per_second), 5 * SECOND);
            let all = u64::from(per_second);
            assert_eq!(begun(&tenant, 5 * SECOND, 5 * SECOND + 1), all, "the burst");
            let later = begun(&tenant, 5 * SECOND + 1, 15 * SECOND);
            assert!((10 * all - 1 - all / 500..=10 * all).contains(&later), "{later}");
            // A long rest earns no more than a second's.
            assert_eq!(begun(&tenant, 999 * SECOND, 999 * SECOND + 1), all);
        }
    }

    #[test]
    fn a_refusal_says_when_the_next_one_may_begin_and_then_it_may() {
        let tenant = Tenant::new(ONE, rate(3), 0);
        assert_eq!(begun(&tenant, 0, 1), 3);
        assert_eq!(tenant.check(0), Err(OverLimit::Rate { retry_after_ms: 334 }));
        assert_eq!(tenant.check(333 * MS), Err(OverLimit::Rate { retry_after_ms: 1 }));
        assert_eq!(tenant.check(334 * MS), Ok(()));
        // A clock that stands still, or a time before, brings nothing and breaks nothing.
        assert!(tenant.check(0).is_err());
    }

    #[test]
    fn a_batch_begins_when_one_request_may_and_is_paid_for_afterwards() {
        let tenant = Tenant::new(ONE, rate(10), 0);
        tenant.began(1_024, 0);
        assert_eq!(tenant.check(0), Err(OverLimit::Rate { retry_after_ms: 101_500 }));
        assert!(tenant.check(101 * SECOND).is_err());
        assert!(tenant.check(102 * SECOND).is_ok());
    }

    #[test]
    fn the_highest_rate_and_the_longest_life_do_not_overflow() {
        let mut allowance = Allowance::new(u32::MAX, 0);
        allowance.take(usize::MAX, 0);
        assert!(allowance.wait_ns(0) > SECOND);
        assert_eq!(allowance.wait_ns(u64::MAX), 0);
    }

    #[test]
    fn what_is_at_work_is_limited_and_items_of_batches_count_singly() {
        let limits = TenantLimits { in_flight: Some(3), rate: None };
        let tenant = Tenant::new(ONE, limits, 0);
        tenant.began(1, 0);
        tenant.began(2, 0);
        assert_eq!(tenant.check(0), Err(OverLimit::InFlight));
        tenant.ended(1);
        assert_eq!(tenant.check(0), Ok(()));
        tenant.began(100, 0);
        assert_eq!(tenant.check(9 * SECOND), Err(OverLimit::InFlight));
        assert_eq!(tenant.inside(), 2);
    }

    #[test]
    fn connections_share_what_their_tenant_has_and_a_new_one_brings_nothing() {
        let mut tenants = Tenants::default();
        let first = tenants.join(ONE, rate(2), 0);
        let second = tenants.join(ONE, rate(2), 0);
        assert!(Rc::ptr_eq(&first, &second));
        assert!(!Rc::ptr_eq(&first, &tenants.join(OTHER, rate(2), 0)));
        assert_eq!(begun(&first, 0, 1), 2);
        assert!(second.check(0).is_err());
        drop((first, second));
        let again = tenants.join(ONE, rate(2), MS);
        assert!(again.check(MS).is_err(), "what was spent is not forgotten");
        drop(again);
        tenants.join(OTHER, rate(2), 2 * SECOND);
        assert_eq!(tenants.0.len(), 1, "who has gone and rested is");
    }

    #[test]
    fn a_tenant_has_company_while_another_one_asks() {
        let shared_for_ns = SHARED_FOR.as_nanos() as u64;
        let mut company = Company::default();
        assert!(!company.came(ONE, 0) && !company.came(ONE, 1));
        assert!(company.came(OTHER, 2) && company.came(ONE, 3));
        assert!(company.came(ONE, 1 + shared_for_ns));
        assert!(!company.came(ONE, 2 + shared_for_ns));
        assert!(company.came(OTHER, 3 + shared_for_ns));
    }
}
