//! Known bugs by name: the proof that the simulator finds what it is for.
//!
//! Each bug lives in the crate where it belongs and can be armed only in a build with the `planted` feature. A swarm that
//! does not find one of them within its budget is a defect of the simulator.

/// The names of the bugs that this build can arm: none, because it has none.
#[cfg(not(feature = "planted"))]
pub const fn names() -> Vec<&'static str> {
    Vec::new()
}

/// The names of the bugs that this build can arm.
#[cfg(feature = "planted")]
pub fn names() -> Vec<&'static str> {
    let in_engine = kvorum_node::engine::planted::Planted::ALL.map(|planted| planted.name());
    // No disk here loses its log and keeps the rest: that one is found by `store/tests/planted.rs` alone.
    let is_found =
        |planted: &kvorum_store::Planted| *planted != kvorum_store::Planted::TreeHidesLoss;
    let in_store = kvorum_store::Planted::ALL.into_iter().filter(is_found);
    let in_store = in_store.map(|planted| planted.name());
    let in_gossip = kvorum_gossip::Planted::ALL.map(|planted| planted.name());
    let mut names: Vec<&str> = in_engine.into_iter().chain(in_store).chain(in_gossip).collect();
    names.sort_by_key(|name| name.split('-').next().and_then(|number| number.parse::<u32>().ok()));
    names
}

/// The bug of the engine that `name` arms.
#[cfg(feature = "planted")]
pub(crate) fn in_engine(name: &str) -> Option<kvorum_node::engine::planted::Planted> {
    kvorum_node::engine::planted::Planted::named(name)
}

/// The bug of the store that `name` arms.
#[cfg(feature = "planted")]
pub(crate) fn in_store(name: &str) -> Option<kvorum_store::Planted> {
    kvorum_store::Planted::named(name)
}

/// The bug of membership that `name` arms.
#[cfg(feature = "planted")]
pub(crate) fn in_gossip(name: &str) -> Option<kvorum_gossip::Planted> {
    kvorum_gossip::Planted::named(name)
}
