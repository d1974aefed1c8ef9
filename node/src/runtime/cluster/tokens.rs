//! Making, listing and revoking access tokens: requests about facts of two kinds.
//!
//! A token's fact is written once and never changed. Its revocation is another fact, so that no write about the token,
//! however late it arrives from wherever, can undo it. Both answers wait until the fact is on this node's disk; peers that
//! are connected have been sent it by then.

use kvorum_gossip::FactKey;
use kvorum_protocol::codec;
use kvorum_protocol::limits;
use kvorum_protocol::message::{
    ArgumentKind, LimitKind, Revocation, TokenCreate, TokenRevoke, TokenTerms, Tokens,
};
use kvorum_protocol::{RequestError, Response, TokenId};

use crate::runtime::cluster::Cluster;
use crate::runtime::listener::ClientNumber;

impl Cluster {
    /// All tokens.
    pub(super) fn tokens(&self) -> Response {
        Response::Tokens(Tokens { tokens: self.access.list() })
    }

    /// Makes a token known.
    pub(super) fn create_token(
        &mut self,
        client: ClientNumber,
        request_id: u64,
        create: TokenCreate,
    ) {
        let TokenCreate { id, terms } = create;
        let written = match self.check_token(id, &terms) {
            Err(error) => Err(error),
            Ok(IsNew(false)) => Ok(()),
            Ok(IsNew(true)) => {
                let written = self.facts.write(FactKey::token(id.0), codec::encode(&terms));
                tracing::info!(token = %id, name = %terms.name, "access token made");
                written.map(|_| ()).ok_or_else(|| too_many_tokens(self.access.len()))
            }
        };
        self.answer_token(client, request_id, id, written);
    }

    /// Revokes a token.
    pub(super) fn revoke_token(
        &mut self,
        client: ClientNumber,
        request_id: u64,
        revoke: TokenRevoke,
    ) {
        let TokenRevoke { id, revoked_at_ms } = revoke;
        let revoked = match self.access.listed(id) {
            None => Err(RequestError::NoSuchToken),
            Some(listed) if listed.revoked_at_ms.is_some() => Ok(()),
            Some(listed) => {
                let body = codec::encode(&Revocation { revoked_at_ms });
                tracing::info!(token = %id, name = %listed.name, "access token revoked");
                let written = self.facts.write(FactKey::revocation(id.0), body);
                written.map(|_| ()).ok_or_else(|| too_many_tokens(self.access.len()))
            }
        };
        self.answer_token(client, request_id, id, revoked);
    }

    fn answer_token(
        &mut self,
        client: ClientNumber,
        request_id: u64,
        id: TokenId,
        done: Result<(), RequestError>,
    ) {
        if let Err(error) = done {
            return self.reply(client, request_id, Response::Error { error });
        }
        self.settle();
        let tokens = self.access.listed(id).into_iter().collect();
        self.reply_when_saved(client, request_id, Response::Tokens(Tokens { tokens }));
    }

    /// Whether a token can be made, and is not there already.
    fn check_token(&self, id: TokenId, terms: &TokenTerms) -> Result<IsNew, RequestError> {
        let invalid = |argument| RequestError::InvalidArgument { argument };
        let (size, limit) = (terms.grants.len() as u64, limits::TOKEN_GRANTS as u64);
        if size > limit {
            return Err(RequestError::TooLarge { what: LimitKind::Grants, size, limit });
        }
        let is_known = |rights: kvorum_protocol::Rights| rights.is_known();
        if terms.grants.is_empty() || !terms.grants.iter().all(|grant| is_known(grant.rights)) {
            return Err(invalid(ArgumentKind::Rights));
        }
        if terms.in_flight == Some(0) || terms.rate == Some(0) {
            return Err(invalid(ArgumentKind::TokenLimit));
        }
        match self.access.terms(id) {
            Some(held) if held == terms => Ok(IsNew(false)),
            Some(_) => Err(invalid(ArgumentKind::Token)),
            None if self.access.len() >= limits::TOKENS => Err(too_many_tokens(self.access.len())),
            None => Ok(IsNew(true)),
        }
    }
}

/// Whether a token has to be written.
struct IsNew(bool);

fn too_many_tokens(held: usize) -> RequestError {
    let limit = limits::TOKENS as u64;
    RequestError::TooLarge { what: LimitKind::Tokens, size: held as u64 + 1, limit }
}
