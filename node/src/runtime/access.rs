//! Who may do what: callers, the access tokens that this node knows, and what each request needs.
//!
//! A caller is settled once, by the greeting; what it may do is looked up at every request in the tokens of that moment. So
//! a revocation counts for open connections from the moment in which its fact arrives, and an expiry from the moment in
//! which it passes.
//!
//! **Invariants.** A token that is not known, expired or revoked allows nothing. What a request needs is decided by an
//! exhaustive match: a new kind of request does not compile until somebody has said who may make it. A revocation holds
//! also where its body, or its token, cannot be read.
//!
//! Pure: the time is an argument. **Not here:** how tokens are made and spread, which is the cluster's.

use std::collections::BTreeMap;

use kvorum_gossip::{FactKey, FactKind, FactSet};
use kvorum_protocol::access::rights_in;
use kvorum_protocol::codec;
use kvorum_protocol::message::{
    AccessRefusal, ListedToken, Needed, Repair, RepairTarget, Revocation, TokenTerms,
};
use kvorum_protocol::{BucketName, Request, RequestError, Rights, ShownToken, TokenId};

use crate::runtime::tenant::TenantLimits;

/// What the transport knows of a client before its first frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    /// A certificate of our authority, a client's or a member's.
    Certificate,
    /// No certificate.
    Nothing,
    /// Nothing, on a port that a development cluster opens without TLS on 127.0.0.1.
    Development,
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Caller {
    /// The operator, who may do everything.
    Operator,
    /// The bearer of a token.
    Token(TokenId),
}

/// A token as a node knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct KnownToken {
    terms: TokenTerms,
    revoked: Option<Revocation>,
}

/// All access tokens that a node knows.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct AccessTokens {
    tokens: BTreeMap<TokenId, KnownToken>,
}

/// What a request needs of a token.
enum Need<'a> {
    /// Any valid token will do.
    Validity,
    /// Some right or other in a bucket.
    Any(&'a BucketName),
    /// These rights in a bucket.
    Rights(&'a BucketName, Rights),
    /// No token will do.
    Operator,
}

impl AccessTokens {
    /// What the facts say. A token whose terms cannot be read is unknown; a revocation counts in any case.
    pub(crate) fn of(facts: &FactSet) -> AccessTokens {
        let token = |name: &[u8]| name.try_into().ok().map(u64::from_be_bytes);
        let known = facts.of_kind(FactKind::TOKEN).filter_map(|fact| {
            let id = token(&fact.key.name)?;
            let terms = codec::decode::<TokenTerms>(fact.body.clone());
            let terms = terms
                .inspect_err(|error| tracing::warn!(%error, "an access token cannot be read"))
                .ok()?;
            let revoked = facts
                .body(&FactKey::revocation(id))
                .map(|body| codec::decode(body.clone()).unwrap_or(Revocation { revoked_at_ms: 0 }));
            Some((TokenId(id), KnownToken { terms, revoked }))
        });
        AccessTokens { tokens: known.collect() }
    }

    /// Who a client is, by what it shows in its greeting and what the transport knows of it. A token decides alone: whoever
    /// shows one wants no more than its rights.
    ///
    /// # Errors
    /// Why it is not let in.
    pub(crate) fn admit(
        &self,
        shown: Shown,
        token: &ShownToken,
        now_ms: u64,
    ) -> Result<Caller, AccessRefusal> {
        if token.is_nothing() {
            return match shown {
                Shown::Certificate | Shown::Development => Ok(Caller::Operator),
                Shown::Nothing => Err(AccessRefusal::Nothing),
            };
        }
        let token = token.token().map_err(|_| AccessRefusal::Wrong)?;
        // The secret is proven before anything is said about the token.
        let digest = token.digest();
        match self.tokens.get(&token.id()) {
            Some(known) if known.terms.digest == digest => {
                known.check(now_ms)?;
                Ok(Caller::Token(token.id()))
            }
            _ => Err(AccessRefusal::Wrong),
        }
    }

    /// Whether a caller may make a request now.
    ///
    /// # Errors
    /// [`RequestError::Unauthenticated`] when its token is not valid any more, [`RequestError::Forbidden`] when it does not
    /// allow this.
    pub(crate) fn check(
        &self,
        caller: Caller,
        request: &Request,
        now_ms: u64,
    ) -> Result<(), RequestError> {
        let Caller::Token(id) = caller else { return Ok(()) };
        let unauthenticated = |reason| RequestError::Unauthenticated { reason };
        let known = self.tokens.get(&id).ok_or(unauthenticated(AccessRefusal::Wrong))?;
        known.check(now_ms).map_err(unauthenticated)?;
        let rights = |bucket| rights_in(&known.terms.grants, bucket);
        let (allowed, bucket, needed) = match need(request) {
            Need::Validity => return Ok(()),
            Need::Operator => return Err(RequestError::Forbidden { needed: Needed::Operator }),
            Need::Any(bucket) => (rights(bucket) != Rights::NONE, bucket, Rights::READ),
            Need::Rights(bucket, needed) => (rights(bucket).contains(needed), bucket, needed),
        };
        if allowed {
            return Ok(());
        }
        let needed = Needed::Rights { bucket: bucket.detached(), rights: needed };
        Err(RequestError::Forbidden { needed })
    }

    /// Whether a caller may know of a bucket: one in which it has any right.
    pub(crate) fn sees(&self, caller: Caller, bucket: &BucketName) -> bool {
        match caller {
            Caller::Operator => true,
            Caller::Token(id) => self
                .tokens
                .get(&id)
                .is_some_and(|known| rights_in(&known.terms.grants, bucket) != Rights::NONE),
        }
    }

    /// What a caller may take of one node.
    pub(crate) fn limits(&self, caller: Caller) -> TenantLimits {
        match caller {
            Caller::Operator => TenantLimits::default(),
            Caller::Token(id) => self.terms(id).map_or_else(TenantLimits::default, |terms| {
                TenantLimits { in_flight: terms.in_flight, rate: terms.rate }
            }),
        }
    }

    /// How many there are, revoked and expired ones included.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The terms of a token, revoked or not.
    pub(crate) fn terms(&self, id: TokenId) -> Option<&TokenTerms> {
        self.tokens.get(&id).map(|known| &known.terms)
    }

    /// A token as it is listed.
    pub(crate) fn listed(&self, id: TokenId) -> Option<ListedToken> {
        self.tokens.get(&id).map(|known| known.listed(id))
    }

    /// All tokens as they are listed, ascending by id.
    pub(crate) fn list(&self) -> Vec<ListedToken> {
        self.tokens.iter().map(|(id, known)| known.listed(*id)).collect()
    }
}

impl KnownToken {
    fn check(&self, now_ms: u64) -> Result<(), AccessRefusal> {
        if self.revoked.is_some() {
            return Err(AccessRefusal::Revoked);
        }
        match self.terms.expires_at_ms {
            Some(expires_at_ms) if expires_at_ms <= now_ms => Err(AccessRefusal::Expired),
            _ => Ok(()),
        }
    }

    fn listed(&self, id: TokenId) -> ListedToken {
        let TokenTerms { name, grants, created_at_ms, expires_at_ms, in_flight, rate, .. } =
            self.terms.clone();
        let revoked_at_ms = self.revoked.map(|revoked| revoked.revoked_at_ms);
        ListedToken {
            id,
            name,
            grants,
            created_at_ms,
            expires_at_ms,
            revoked_at_ms,
            in_flight,
            rate,
        }
    }
}

/// What a request needs. A batch names one bucket for all of its items.
fn need(request: &Request) -> Need<'_> {
    match request {
        Request::Put(put) => Need::Rights(&put.bucket, Rights::WRITE),
        Request::Delete(delete) => Need::Rights(&delete.bucket, Rights::WRITE),
        Request::BatchPut(batch) => Need::Rights(&batch.bucket, Rights::WRITE),
        Request::Update(update) => Need::Rights(&update.bucket, Rights::WRITE),
        Request::Get(get) => Need::Rights(&get.bucket, Rights::READ),
        Request::List(list) => Need::Rights(&list.bucket, Rights::READ),
        Request::BatchGet(batch) => Need::Rights(&batch.bucket, Rights::READ),
        // Both tell of one bucket's keys and nothing of any other's.
        Request::Why(why) => Need::Rights(&why.bucket, Rights::READ),
        Request::Conflicts(list) => Need::Rights(&list.bucket, Rights::READ),
        Request::BucketCreate(set) | Request::BucketSet(set) => {
            Need::Rights(&set.bucket.name, Rights::ADMIN)
        }
        Request::BucketShow(show) => Need::Any(&show.name),
        // A listing holds only the buckets that the caller may know of.
        Request::BucketList(_) | Request::Topology(_) | Request::Status(_) => Need::Validity,
        Request::Repair(Repair { target: RepairTarget::Key { bucket, .. }, .. }) => {
            Need::Rights(bucket, Rights::WRITE)
        }
        Request::Repair(_) => Need::Operator,
        Request::Diag(_) | Request::Hints(_) => Need::Operator,
        Request::TokenCreate(_) | Request::TokenList(_) | Request::TokenRevoke(_) => Need::Operator,
    }
}

#[cfg(test)]
mod tests;
