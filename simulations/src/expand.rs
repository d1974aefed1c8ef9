//! From a seed to a plan.
//!
//! Swarm testing: a seed does not draw a little of everything, it first draws *which* faults, operations and settings it
//! may use at all, and then uses those often. A run with every fault at once mostly tests that nothing gets through; most
//! failures ever studied needed three nodes, one or two kinds of fault, and few operations on few keys.

use crate::plan::{
    Action, ClockPlan, ContextChoice, DetectorPlan, DiskErrorKind, DiskPlan, Fault, GossipPlan,
    IndexDamage, NetworkPlan, Operation, OperationKind, PLAN_FORMAT, Plan, PlanEvent, Rule,
    Topology,
};
use crate::streams::{Purpose, Stream};

/// A kind of fault that a seed may use or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    Cut,
    Isolate,
    Bipartition,
    Clog,
    Degrade,
    SlowNode,
    Reset,
    Crash,
    CrashLoop,
    CrashAfterMint,
    PowerCut,
    Pause,
    Wipe,
    DiskError,
    SlowDisk,
    ClockJump,
    Suspect,
    OwnersAway,
    Unreadable,
}

const SWITCHES: [Switch; 19] = [
    Switch::Cut,
    Switch::Isolate,
    Switch::Bipartition,
    Switch::Clog,
    Switch::Degrade,
    Switch::SlowNode,
    Switch::Reset,
    Switch::Crash,
    Switch::CrashLoop,
    Switch::CrashAfterMint,
    Switch::PowerCut,
    Switch::Pause,
    Switch::Wipe,
    Switch::DiskError,
    Switch::SlowDisk,
    Switch::ClockJump,
    Switch::Suspect,
    Switch::OwnersAway,
    Switch::Unreadable,
];

/// The plan of `seed`.
pub fn expand(seed: u64) -> Plan {
    let mut stream = Stream::new(seed, Purpose::Topology, 0);
    let topology = topology(&mut stream);
    let network = network(&mut stream);
    let disk = disk(&mut stream);
    let detector = DetectorPlan {
        minimum_us: stream.pick(&[100, 1_000, 20_000]),
        mean_us: stream.pick(&[1_000, 50_000, 500_000]),
    };
    let clocks = clocks(&mut stream, topology.nodes);
    let through_codec = stream.below(4) == 0;
    let buggify = stream.pick(&[0, 1, 2, 3]);
    let final_cut = (stream.below(2) == 0).then(|| damage(&mut stream));
    let mut own = Stream::new(seed, Purpose::Topology, 2);
    let over_budget = own.below(16) == 0;
    let reach = reach(&mut own, &topology);
    let gossip = (own.below(16) == 0).then(|| GossipPlan {
        node: own.below(topology.nodes.into()) as u16,
        dies: own.below(2) == 0,
    });
    let mut events = operations(seed, &topology, buggify);
    let last_us = events.last().map_or(0, |event| event.at_us);
    let heal_at_us = last_us + 200_000;
    events.extend(faults(seed, &topology, &disk, last_us));
    events.sort_by_key(|event| event.at_us);
    Plan {
        format: PLAN_FORMAT,
        seed,
        planted: None,
        note: None,
        expect: None,
        rule: rule(seed),
        topology,
        network,
        disk,
        detector,
        gossip,
        clocks,
        through_codec,
        buggify,
        heal_at_us,
        final_cut,
        index_loss: Stream::new(seed, Purpose::Topology, 1).below(12) == 0,
        exchange_every_ms: Stream::new(seed, Purpose::Topology, 4).pick(&[0, 0, 100, 1_000]),
        explain_at_us: explain_at_us(seed, heal_at_us),
        over_budget,
        reach,
        events,
    }
}

/// In half of the seeds it is asked why keys hold what they hold: twice while faults run, and at their end.
fn explain_at_us(seed: u64, heal_at_us: u64) -> Vec<u64> {
    let mut own = Stream::new(seed, Purpose::Topology, 5);
    match own.below(2) {
        0 => Vec::new(),
        _ => vec![own.below(heal_at_us), own.below(heal_at_us), heal_at_us.saturating_sub(1)],
    }
}

/// A quarter of the seeds have a bucket that merges by itself.
fn rule(seed: u64) -> Rule {
    let mut own = Stream::new(seed, Purpose::Topology, 3);
    match own.below(16) {
        0 | 1 => Rule::Counter,
        2 => Rule::Set,
        3 => Rule::LossyLww,
        _ => Rule::Siblings,
    }
}

/// In a quarter of the seeds each client reaches only some nodes.
fn reach(stream: &mut Stream, topology: &Topology) -> Vec<Vec<u16>> {
    if stream.below(4) > 0 {
        return Vec::new();
    }
    let mut some = |_| {
        let certain = stream.below(topology.nodes.into()) as u16;
        (0..topology.nodes).filter(|node| *node == certain || stream.below(2) == 0).collect()
    };
    (0..topology.clients).map(&mut some).collect()
}

fn topology(stream: &mut Stream) -> Topology {
    let nodes = stream.pick(&[3, 3, 3, 3, 4, 5, 5, 7]);
    Topology {
        nodes,
        replicas: 3,
        partitions: stream.pick(&[1, 4, 16]),
        keys: stream.pick(&[1, 1, 2, 3, 5, 8, 16]),
        clients: stream.pick(&[1, 2, 2, 3, 5]),
    }
}

fn network(stream: &mut Stream) -> NetworkPlan {
    // Half of the seeds have a network that only its drawn faults disturb.
    let noisy = stream.below(2) == 0;
    let (loss_ppm, duplicate_ppm, reorder_ppm) = (
        stream.pick(&[0, 1_000, 20_000, 100_000, 300_000]),
        stream.pick(&[0, 10_000, 100_000, 500_000]),
        stream.pick(&[0, 10_000, 100_000, 500_000]),
    );
    let rate = |ppm| if noisy { ppm } else { 0 };
    NetworkPlan {
        minimum_us: stream.pick(&[20, 100, 1_000]),
        mean_us: stream.pick(&[50, 500, 5_000, 30_000]),
        loss_ppm: rate(loss_ppm),
        duplicate_ppm: rate(duplicate_ppm),
        reorder_ppm: rate(reorder_ppm),
    }
}

fn disk(stream: &mut Stream) -> DiskPlan {
    DiskPlan {
        commit_us: stream.pick(&[100, 1_000, 10_000, 60_000]),
        load_us: stream.pick(&[50, 500, 5_000]),
        index_us: stream.pick(&[500, 20_000]),
        compact_us: stream.pick(&[1_000, 20_000]),
    }
}

fn clocks(stream: &mut Stream, nodes: u16) -> Vec<ClockPlan> {
    let widest_ms = stream.pick(&[0, 1_000, 3_600_000]);
    let offset = |stream: &mut Stream| stream.between(0, 2 * widest_ms) as i64 - widest_ms as i64;
    (0..nodes)
        .map(|_| ClockPlan {
            offset_ms: offset(stream),
            drift_ppm: stream.between(0, 400) as i32 - 200,
        })
        .collect()
}

/// How a seed's clients behave.
struct Workload {
    /// Weights of get, put, delete, list, batch put, batch get.
    kinds: [u64; 6],
    contexts: Vec<ContextChoice>,
    strict_ppm: u32,
    quorum: u8,
    any_quorum: bool,
    timeout_us: u64,
    gap_us: u64,
    retries: u8,
    /// How long a value lives, where it expires, and how many of a million do.
    ttl_ms: u64,
    expiring_ppm: u32,
}

fn workload(stream: &mut Stream, replicas: u8) -> Workload {
    let weight = |stream: &mut Stream, choices: &[u64]| stream.pick(choices);
    let kinds = [
        weight(stream, &[2, 5, 10]),
        weight(stream, &[5, 10]),
        weight(stream, &[0, 0, 1, 3]),
        weight(stream, &[0, 0, 1]),
        weight(stream, &[0, 0, 1]),
        weight(stream, &[0, 0, 1]),
    ];
    let all = [
        ContextChoice::Latest,
        ContextChoice::Nothing,
        ContextChoice::Held,
        ContextChoice::Held,
        ContextChoice::Stale,
    ];
    let mut contexts: Vec<_> = all.into_iter().filter(|_| stream.below(2) == 0).collect();
    if contexts.is_empty() {
        contexts.push(ContextChoice::Latest);
    }
    if stream.below(8) == 0 {
        contexts.extend([ContextChoice::Foreign, ContextChoice::Forged]);
    }
    Workload {
        kinds,
        contexts,
        strict_ppm: stream.pick(&[0, 200_000, 1_000_000]),
        quorum: replicas / 2 + 1,
        any_quorum: stream.below(4) == 0,
        timeout_us: stream.pick(&[50_000, 300_000, 1_000_000, 3_000_000]),
        gap_us: stream.pick(&[300, 3_000, 20_000, 100_000]),
        retries: stream.pick(&[0, 0, 1, 3]),
        ttl_ms: stream.pick(&[50, 1_000, 10_000, 3_600_000]),
        expiring_ppm: stream.pick(&[0, 0, 0, 0, 0, 100_000, 500_000]),
    }
}

fn operations(seed: u64, topology: &Topology, buggify: u8) -> Vec<PlanEvent> {
    let mut stream = Stream::new(seed, Purpose::Workload, 0);
    let workload = workload(&mut stream, topology.replicas);
    let count = stream.pick(&[30, 60, 100, 200]);
    let mut at_us = 1_000;
    let mut next_id = 1;
    let mut events = Vec::with_capacity(count);
    for number in 0..count as u64 {
        // Each operation draws from a stream of its own: taking one out leaves the others as they are.
        let mut own = Stream::new(seed, Purpose::Workload, number + 1);
        let mut operation = operation(&mut own, topology, &workload, next_id);
        if buggify > 0 && own.below(8) == 0 {
            operation.timeout_us = (operation.timeout_us / own.pick(&[10, 100])).max(1_000);
        }
        next_id += operation.keys().len().max(1) as u32;
        at_us += own.exponential(0, workload.gap_us);
        events.push(PlanEvent { at_us, action: Action::Operation(operation) });
    }
    events
}

fn operation(stream: &mut Stream, topology: &Topology, workload: &Workload, id: u32) -> Operation {
    let key = stream.below(topology.keys.into()) as u16;
    let size = stream.pick(&[4, 64, 300, 2_000]);
    let replaces = stream.pick(&workload.contexts);
    let mut several: Vec<u16> = (0..4).map(|_| stream.below(topology.keys.into()) as u16).collect();
    several.sort_unstable();
    several.dedup();
    let [get, put, delete, list, batch_put, batch_get] = workload.kinds;
    let mut left = stream.below(get + put + delete + list + batch_put + batch_get);
    let mut is = |weight: u64| {
        let hit = left < weight;
        left = left.wrapping_sub(weight);
        hit
    };
    let kind = if is(get) {
        OperationKind::Get { key }
    } else if is(put) {
        OperationKind::Put { key, replaces, size, ttl_ms: None }
    } else if is(delete) {
        OperationKind::Delete { key, replaces }
    } else if is(list) {
        let limit = stream.pick(&[1, 3, 10]);
        let after = (stream.below(3) == 0).then_some(key);
        OperationKind::List { limit, after, partial: stream.below(4) == 0 }
    } else if is(batch_put) {
        OperationKind::BatchPut { keys: several, size }
    } else {
        OperationKind::BatchGet { keys: several }
    };
    let any = stream.between(1, topology.replicas.into()) as u8;
    let expires = stream.chance(workload.expiring_ppm);
    let kind = match kind {
        OperationKind::Put { key, replaces, size, .. } if expires => {
            OperationKind::Put { key, replaces, size, ttl_ms: Some(workload.ttl_ms) }
        }
        kind => kind,
    };
    Operation {
        id,
        client: stream.below(topology.clients.into()) as u16,
        node: stream.below(topology.nodes.into()) as u16,
        kind,
        quorum: if workload.any_quorum { any } else { workload.quorum },
        strict: stream.chance(workload.strict_ppm),
        timeout_us: workload.timeout_us,
        retries: workload.retries,
    }
}

fn faults(seed: u64, topology: &Topology, disk: &DiskPlan, last_us: u64) -> Vec<PlanEvent> {
    let mut stream = Stream::new(seed, Purpose::Faults, 0);
    // A tenth of the seeds run without any fault, so that a plain mistake shows as one.
    let none = stream.below(10) == 0;
    let rate = stream.pick(&[100_000, 250_000, 400_000]);
    let mut events = Vec::new();
    for (number, switch) in SWITCHES.into_iter().enumerate() {
        let drawn = stream.chance(rate);
        let mut own = Stream::new(seed, Purpose::Faults, number as u64 + 1);
        if none || !drawn {
            continue;
        }
        for _ in 0..own.between(1, 4) {
            let at_us = own.below(last_us);
            add_fault(&mut own, switch, topology, disk, at_us, &mut events);
        }
    }
    events
}

/// Adds one fault of the kind, or a few where the kind is a series.
fn add_fault(
    stream: &mut Stream,
    switch: Switch,
    topology: &Topology,
    disk: &DiskPlan,
    at_us: u64,
    events: &mut Vec<PlanEvent>,
) {
    let node = stream.below(topology.nodes.into()) as u16;
    let down_us = stream.exponential(500, 100_000);
    let mut add = |at_us, fault| events.push(PlanEvent { at_us, action: Action::Fault(fault) });
    let fault = match switch {
        Switch::CrashLoop => {
            let index = damage(stream);
            for round in 0..stream.between(2, 4) {
                let within_io = stream.below(2) == 0;
                let fault = Fault::Crash { node, down_us: down_us / 20, within_io, index };
                add(at_us + round * (down_us / 10), fault);
            }
            return;
        }
        Switch::Crash => {
            Fault::Crash { node, down_us, within_io: stream.below(2) == 0, index: damage(stream) }
        }
        Switch::CrashAfterMint => Fault::CrashAfterMint {
            node,
            mints: stream.between(1, 6) as u32,
            delay_us: stream.below(disk.commit_us),
            down_us,
            within_io: stream.below(2) == 0,
        },
        Switch::PowerCut => {
            Fault::PowerCut { down_us, index: damage(stream), within_io: stream.below(2) == 0 }
        }
        Switch::OwnersAway => Fault::OwnersAway {
            key: stream.below(topology.keys.into()) as u16,
            owners: stream.pick(&[2, 3, 3]),
            down_us: stream.exponential(20_000, 400_000),
        },
        Switch::Pause => Fault::Pause { node, for_us: stream.exponential(10_000, 1_000_000) },
        Switch::Wipe => Fault::Wipe { node, down_us },
        Switch::DiskError => Fault::DiskError {
            node,
            after: stream.between(1, 20) as u32,
            error: stream.pick(&[
                DiskErrorKind::Io,
                DiskErrorKind::Io,
                DiskErrorKind::Full,
                DiskErrorKind::Short,
                DiskErrorKind::FlippedRead,
            ]),
            down_us,
        },
        Switch::SlowDisk => {
            Fault::SlowDisk { node, factor: stream.pick(&[10, 100]), for_us: length(stream) }
        }
        Switch::Unreadable => Fault::Unreadable { node, for_us: length(stream) },
        Switch::ClockJump => {
            Fault::ClockJump { node, by_ms: stream.pick(&[-3_600_000, -1_000, 1_000, 3_600_000]) }
        }
        _ => network_fault(stream, switch, topology.nodes, node),
    };
    add(at_us, fault);
}

/// A fault of links, or of what nodes believe of each other.
fn network_fault(stream: &mut Stream, switch: Switch, nodes: u16, node: u16) -> Fault {
    let other = (node + 1 + stream.below(u64::from(nodes) - 1) as u16) % nodes;
    let for_us = length(stream);
    match switch {
        Switch::Cut => Fault::Cut { from: node, to: other, both: stream.below(2) == 0, for_us },
        Switch::Isolate => {
            let (inbound, outbound) = stream.pick(&[(true, true), (true, false), (false, true)]);
            Fault::Isolate { node, inbound, outbound, for_us }
        }
        Switch::Bipartition => {
            let side = (0..nodes).filter(|_| stream.below(2) == 0).collect();
            Fault::Bipartition { side, for_us }
        }
        Switch::Clog => Fault::Clog { from: node, to: other, for_us },
        Switch::Degrade => Fault::Degrade {
            from: node,
            to: other,
            loss_ppm: stream.pick(&[0, 100_000, 300_000]),
            duplicate_ppm: stream.pick(&[0, 500_000]),
            reorder_ppm: stream.pick(&[0, 500_000]),
            for_us,
        },
        Switch::SlowNode => Fault::SlowNode { node, factor: stream.pick(&[10, 100]), for_us },
        Switch::Suspect => Fault::Suspect { observer: node, target: other, for_us },
        _ => Fault::Reset { left: node, right: other },
    }
}

/// How long a fault lasts, in microseconds.
fn length(stream: &mut Stream) -> u64 {
    stream.exponential(1_000, 300_000)
}

fn damage(stream: &mut Stream) -> IndexDamage {
    stream.pick(&[
        IndexDamage::Whole,
        IndexDamage::Unflushed,
        IndexDamage::Stale,
        IndexDamage::Empty,
        IndexDamage::Subset,
        IndexDamage::Refuses,
    ])
}

#[cfg(test)]
mod tests {
    use super::expand;
    use crate::plan::{Action, Plan};

    #[test]
    fn a_seed_gives_one_sound_plan_that_survives_being_printed() {
        for seed in 0..300 {
            let plan = expand(seed);
            plan.validate().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert!(plan.events.is_sorted_by_key(|event| event.at_us), "seed {seed}");
            assert_eq!(Plan::from_json(&plan.to_json()).unwrap(), plan, "seed {seed}");
        }
    }

    #[test]
    fn operation_numbers_are_unique() {
        for seed in 0..100 {
            let mut ids = Vec::new();
            for event in expand(seed).events {
                if let Action::Operation(operation) = event.action {
                    ids.extend(
                        (0..operation.keys().len().max(1) as u32).map(|item| operation.id + item),
                    );
                }
            }
            let count = ids.len();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), count, "seed {seed}");
        }
    }

    #[test]
    fn some_seeds_have_no_fault_and_some_have_many() {
        let faults = |seed| {
            expand(seed)
                .events
                .iter()
                .filter(|event| matches!(event.action, Action::Fault(_)))
                .count()
        };
        let counts: Vec<usize> = (0..200).map(faults).collect();
        assert!(counts.contains(&0) && counts.iter().any(|count| *count > 10));
    }
}
