//! News of facts, riding on membership datagrams.
//!
//! foca owns its handler and gives no way back to it, so what the handler hears leaves through a bounded queue.

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;

use kvorum_ring::NodeId;

use crate::facts::{FactKey, FactSummary, FactVersion};
use crate::limits;
use crate::membership::identity::PeerIdentity;
use crate::wire::{DecodeError, Reader};

/// News and who told it.
pub(crate) struct Heard {
    pub(crate) from: NodeId,
    pub(crate) summary: FactSummary,
}

/// Decides which news to pass on: only what is newer than all heard before.
pub(crate) struct NewsHandler {
    newest: BTreeMap<FactKey, FactVersion>,
    heard: SyncSender<Heard>,
}

impl NewsHandler {
    pub(crate) fn new(heard: SyncSender<Heard>) -> NewsHandler {
        NewsHandler { newest: BTreeMap::new(), heard }
    }
}

/// Of two announcements of one fact the newer makes the older pointless.
pub(crate) struct NewsKey {
    key: FactKey,
    version: FactVersion,
}

impl foca::Invalidates for NewsKey {
    fn invalidates(&self, other: &NewsKey) -> bool {
        self.key == other.key && self.version >= other.version
    }
}

impl foca::BroadcastHandler<PeerIdentity> for NewsHandler {
    type Key = NewsKey;
    type Error = DecodeError;

    fn receive_item(
        &mut self,
        data: &[u8],
        sender: Option<&PeerIdentity>,
    ) -> Result<Option<NewsKey>, DecodeError> {
        let mut reader = Reader::new(data);
        let summary = FactSummary::decode(&mut reader)?;
        reader.finish()?;
        let known = self.newest.get(&summary.key);
        if known.is_some_and(|version| *version >= summary.version) {
            return Ok(None);
        }
        // A full table or queue drops the news and keeps no trace of it: the exchange of digests will find it.
        if known.is_none() && self.newest.len() >= limits::MAX_FACTS {
            return Ok(None);
        }
        let news = NewsKey { key: summary.key.clone(), version: summary.version };
        if let Some(sender) = sender
            && self.heard.try_send(Heard { from: sender.node, summary }).is_err()
        {
            return Ok(None);
        }
        self.newest.insert(news.key.clone(), news.version);
        Ok(Some(news))
    }
}
