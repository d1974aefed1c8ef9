//! From settings to facts, and from facts to what the engine needs.

use std::sync::Arc;

use bytes::Bytes;
use kvorum_gossip::{Fact, FactKey, FactKind, FactSet, FactVersion, Facts, MemberFact};
use kvorum_protocol::{BucketName, BucketSettings, ContextKeys};
use kvorum_ring::{Layout, LayoutError, LayoutInput, LayoutName, ReplicationClass};

use crate::config::{Config, MemberConfig};
use crate::engine::{ClusterView, MemberView};

/// The bucket that every cluster begins with.
const DEFAULT_BUCKET: &str = "default";

/// The settings do not fit this node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeriveError {
    /// The members do not make a layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The data lies by another layout than follows from the settings.
    #[error("layout {derived} follows from the settings, and the data lies by {held}")]
    LayoutChanged { held: LayoutName, derived: LayoutName },
}

/// What of the saved facts still holds: what was written by somebody, and the layout, by which the data lies where it
/// lies. Everything else was derived, and is derived again from the settings of today.
pub(crate) fn lasting(saved: &FactSet) -> FactSet {
    let lasts = |fact: &&Fact| {
        fact.version != FactVersion::DERIVED
            || matches!(fact.key.kind, FactKind::LAYOUT | FactKind::CURRENT_LAYOUT)
    };
    let mut lasting = FactSet::default();
    for fact in saved.iter().filter(lasts) {
        lasting.merge(fact.clone());
    }
    lasting
}

/// Writes this node's own member fact when another one is held than follows from its settings.
pub(crate) fn correct_own_member(config: &Config, facts: &mut Facts) {
    let key = FactKey::member(config.node.id);
    let held = facts.set().body(&key).and_then(|body| MemberFact::decode(body).ok());
    let mut right = member_fact(config.me());
    if let Some(held) = held {
        right = right.with_surplus_of(&held);
        if held == right {
            return;
        }
    }
    if facts.write(key, right.encode()).is_none() {
        tracing::error!("no room for this node's own member fact");
    }
}

/// Adds what every node derives from the same settings: members, layout 1, the first bucket. Gives the layout.
pub(crate) fn derive(config: &Config, facts: &mut Facts) -> Result<Arc<Layout>, DeriveError> {
    for member in &config.cluster.members {
        facts.derive(FactKey::member(member.id), member_fact(member).encode());
    }
    facts.derive(FactKey::bucket(DEFAULT_BUCKET), BucketSettings::default().to_bytes());
    let input = LayoutInput {
        lineage: 0,
        version: 1,
        partitions: config.cluster.partitions,
        classes: vec![ReplicationClass::default()],
        members: config
            .cluster
            .members
            .iter()
            .map(|member| member_fact(member).placement())
            .collect(),
    };
    let layout = Layout::plan(input, None)?;
    if let Some(held) = derived_layout(facts.set()).filter(|held| *held != layout.name()) {
        return Err(DeriveError::LayoutChanged { held, derived: layout.name() });
    }
    let name = rmp_serde::to_vec(&layout.name()).expect("a layout's name always encodes");
    let body = rmp_serde::to_vec(&layout).expect("a layout always encodes");
    facts.derive(layout_key(name.clone().into()), body);
    facts.derive(current_layout_key(), name);
    Ok(Arc::new(layout))
}

/// The layout that was derived at an earlier start and is current still.
fn derived_layout(facts: &FactSet) -> Option<LayoutName> {
    let fact =
        facts.get(&current_layout_key()).filter(|fact| fact.version == FactVersion::DERIVED)?;
    rmp_serde::from_slice(&fact.body).ok()
}

/// What the facts say. Facts that this version cannot read are passed over; `held` is the layout to go on with while the
/// body of the current one has not arrived.
pub(crate) fn build(
    cluster_name: &str,
    facts: &FactSet,
    context_keys: &ContextKeys,
    held: Arc<Layout>,
) -> ClusterView {
    let members =
        facts.of_kind(FactKind::MEMBER).filter_map(|fact| readable(MemberFact::decode(&fact.body)));
    let buckets = facts.of_kind(FactKind::BUCKET).filter_map(|fact| {
        let name = readable(BucketName::from_bytes(fact.key.name.clone()))?;
        Some((name, readable(BucketSettings::from_bytes(fact.body.clone()))?))
    });
    ClusterView {
        cluster_name: cluster_name.to_owned(),
        // The facts' names are the node ids, so they are in ascending order already.
        members: members.map(member_view).collect(),
        layout: current_layout(facts, held),
        buckets: buckets.collect(),
        context_keys: context_keys.clone(),
    }
}

fn current_layout(facts: &FactSet, held: Arc<Layout>) -> Arc<Layout> {
    let named = facts.body(&current_layout_key()).and_then(|body| {
        let name: LayoutName = readable(rmp_serde::from_slice(body))?;
        Some((name, body.clone()))
    });
    let Some((name, key)) = named.filter(|(name, _)| *name != held.name()) else { return held };
    let body = facts.body(&layout_key(key));
    let layout: Option<Layout> = body.and_then(|body| readable(rmp_serde::from_slice(body)));
    match layout {
        Some(layout) if readable(layout.check_name(name)).is_some() => {
            tracing::warn!(held = %held.name(), current = %name, "another layout is current");
            Arc::new(layout)
        }
        _ => held,
    }
}

/// Logs what cannot be read, and goes on without it.
fn readable<T, E: std::fmt::Display>(decoded: Result<T, E>) -> Option<T> {
    decoded.inspect_err(|error| tracing::warn!(%error, "a cluster fact cannot be read")).ok()
}

fn layout_key(name: Bytes) -> FactKey {
    FactKey { kind: FactKind::LAYOUT, name }
}

fn current_layout_key() -> FactKey {
    FactKey { kind: FactKind::CURRENT_LAYOUT, name: Bytes::new() }
}

fn member_fact(member: &MemberConfig) -> MemberFact {
    let MemberConfig { id, name, addresses, zone, weight } = member.clone();
    MemberFact::new(id, name, addresses, zone, weight)
}

fn member_view(member: MemberFact) -> MemberView {
    MemberView {
        id: member.id,
        name: member.name,
        zone: member.zone,
        weight: member.weight,
        peer_addr: member.addresses.peers,
        client_addr: member.addresses.clients,
        admin_addr: member.addresses.admin,
    }
}
