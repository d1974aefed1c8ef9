//! The cluster's facts on this node: kept on disk, kept alike with other nodes, and turned into what the engine needs.
//!
//! [`Facts`] merges and exchanges; this module gives the facts their meaning. Members and buckets become a
//! [`ClusterView`], requests about buckets become facts, and a client is told that its bucket exists once the fact is on
//! disk here. Layout 1 is derived by every node from the members in its settings, and so are the members and the bucket
//! `default`: addresses anew at each start, so that corrected settings take effect, the layout once, because data lies
//! by it. Access tokens and their revocations are facts, too. About its own addresses a node's settings are right in any case, and it tells the others.
//!
//! Pure: files are written and messages sent by whoever takes the [`ClusterOutput`]s.

mod admin;
mod figures;
mod tokens;
mod view;

use std::collections::VecDeque;
use std::sync::Arc;

use kvorum_gossip::facts::{FactSummary, encode_file};
use kvorum_gossip::{FactSet, Facts, FactsMessage, FactsOutput};
use kvorum_protocol::{ContextKeys, Response};
use kvorum_ring::NodeId;

use crate::config::Config;
use crate::engine::ClusterView;
use crate::runtime::access::AccessTokens;
use crate::runtime::listener::ClientNumber;

pub(crate) use figures::{Detection, Figures, PeerFigures, Traffic};
pub(crate) use view::DeriveError;

/// What is asked of the surroundings.
pub(crate) enum ClusterOutput {
    /// Send to a peer on its facts stream.
    Send { to: NodeId, message: FactsMessage },
    /// Spread the news through membership.
    Announce(FactSummary),
    /// The cluster looks different now.
    View(Arc<ClusterView>),
    /// Replace the facts file with this, durably, then call [`Cluster::saved`].
    Save(Vec<u8>),
    /// Answer a client.
    Reply { client: ClientNumber, request_id: u64, response: Response },
}

/// An answer that waits until what it says is on disk.
struct Waiting {
    generation: u64,
    client: ClientNumber,
    request_id: u64,
    response: Response,
}

/// See the module's page.
pub(crate) struct Cluster {
    me: NodeId,
    name: String,
    /// The settings as text, for a diagnosis. There is no secret in them.
    settings: String,
    context_keys: ContextKeys,
    facts: Facts,
    view: Arc<ClusterView>,
    access: Arc<AccessTokens>,
    /// Counts the changes of facts.
    generation: u64,
    /// The generation that is on disk.
    saved: u64,
    /// The generation that is being written.
    saving: Option<u64>,
    waiting: Vec<Waiting>,
    outputs: VecDeque<ClusterOutput>,
}

impl Cluster {
    /// Begins with what was saved and what follows from the settings.
    ///
    /// # Errors
    /// [`DeriveError`] when no layout follows from the settings, or another one than the data lies by.
    pub(crate) fn new(
        config: &Config,
        saved: FactSet,
        context_keys: ContextKeys,
    ) -> Result<Cluster, DeriveError> {
        let me = config.node.id;
        let mut facts = Facts::new(me, view::lasting(&saved));
        let layout = view::derive(config, &mut facts)?;
        view::correct_own_member(config, &mut facts);
        let name = config.cluster.name.clone();
        let view = Arc::new(view::build(&name, facts.set(), &context_keys, layout));
        let access = Arc::new(AccessTokens::of(facts.set()));
        let mut cluster = Cluster {
            me,
            name,
            settings: config.render(),
            context_keys,
            facts,
            view,
            access,
            generation: 0,
            saved: 0,
            saving: None,
            waiting: Vec::new(),
            outputs: VecDeque::new(),
        };
        cluster.settle();
        Ok(cluster)
    }

    /// The cluster as it looks now.
    pub(crate) fn view(&self) -> &Arc<ClusterView> {
        &self.view
    }

    /// The access tokens that are known now.
    pub(crate) fn access(&self) -> &Arc<AccessTokens> {
        &self.access
    }

    /// A peer's facts stream is open.
    pub(crate) fn peer_up(&mut self, peer: NodeId) {
        self.facts.peer_up(peer);
        self.settle();
    }

    /// A peer's facts stream is lost.
    pub(crate) fn peer_down(&mut self, peer: NodeId) {
        self.facts.peer_down(peer);
    }

    /// A peer said something on its facts stream.
    pub(crate) fn message(&mut self, from: NodeId, message: FactsMessage) {
        self.facts.handle(from, message);
        self.settle();
    }

    /// A peer mentioned a fact on a membership datagram.
    pub(crate) fn heard(&mut self, from: NodeId, news: &FactSummary) {
        self.facts.heard(from, news);
        self.settle();
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now_ns: u64) {
        self.facts.tick(now_ns);
        self.settle();
    }

    /// When [`Cluster::tick`] wants to be called next.
    pub(crate) fn next_deadline(&self) -> u64 {
        self.facts.next_deadline()
    }

    /// The last [`ClusterOutput::Save`] is on disk.
    pub(crate) fn saved(&mut self) {
        self.saved = self.saving.take().unwrap_or(self.saved);
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| waiting.generation <= self.saved);
        self.waiting = waiting;
        for Waiting { client, request_id, response, .. } in ready {
            self.outputs.push_back(ClusterOutput::Reply { client, request_id, response });
        }
        self.settle();
    }

    /// The next thing to do, oldest first.
    pub(crate) fn poll_output(&mut self) -> Option<ClusterOutput> {
        self.outputs.pop_front()
    }

    fn reply(&mut self, client: ClientNumber, request_id: u64, response: Response) {
        self.outputs.push_back(ClusterOutput::Reply { client, request_id, response });
    }

    /// Replies once the facts of now are on disk, which they may be already.
    fn reply_when_saved(&mut self, client: ClientNumber, request_id: u64, response: Response) {
        if self.generation <= self.saved {
            return self.reply(client, request_id, response);
        }
        self.waiting.push(Waiting { generation: self.generation, client, request_id, response });
    }

    /// Passes on what the facts want done, and begins to save them when they have changed.
    fn settle(&mut self) {
        let mut changed = false;
        while let Some(output) = self.facts.poll_output() {
            match output {
                FactsOutput::Send { to, message } => {
                    self.outputs.push_back(ClusterOutput::Send { to, message })
                }
                FactsOutput::Announce(summary) => {
                    self.outputs.push_back(ClusterOutput::Announce(summary))
                }
                FactsOutput::Changed { .. } => changed = true,
                FactsOutput::Full => {
                    tracing::error!("a fact of a peer was dropped: this node holds too many")
                }
            }
        }
        if changed {
            self.generation += 1;
            let layout = self.view.layout.clone();
            self.access = Arc::new(AccessTokens::of(self.facts.set()));
            self.view =
                Arc::new(view::build(&self.name, self.facts.set(), &self.context_keys, layout));
            self.outputs.push_back(ClusterOutput::View(self.view.clone()));
        }
        // One write at a time; what changes meanwhile is in the next one.
        if self.generation > self.saved && self.saving.is_none() {
            self.saving = Some(self.generation);
            self.outputs.push_back(ClusterOutput::Save(encode_file(self.facts.set())));
        }
    }
}

#[cfg(test)]
mod tests;
