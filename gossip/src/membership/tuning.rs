//! foca's settings for a local network.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use crate::limits;

const PROBE_PERIOD: Duration = Duration::from_secs(1);

const GOSSIP_PERIOD: Duration = Duration::from_millis(200);

/// Peers that are told in each of them.
const GOSSIP_TO: usize = 3;

/// The settings for a cluster of about `members` nodes.
pub(crate) fn local_network(members: usize) -> foca::Config {
    let digits = decimal_digits(members);
    // A suspect has this long to hear of it and to refute: a few probe periods, more where the news travels further.
    let suspect_to_down_after = PROBE_PERIOD * u32::from(2 + digits);
    foca::Config {
        probe_period: PROBE_PERIOD,
        // Far beyond a round trip in a local network, and short enough to leave the indirect probe two thirds.
        probe_rtt: Duration::from_millis(300),
        num_indirect_probes: nonzero(3),
        max_transmissions: transmissions(suspect_to_down_after),
        suspect_to_down_after,
        // Lives of one node replace each other, so remembering a dead one costs one entry for each node.
        remove_down_after: Some(Duration::from_secs(24 * 3_600)),
        max_packet_size: nonzero(limits::MAX_DATAGRAM_BYTES),
        // Without it a node that was declared down by mistake would never learn of it.
        notify_down_members: true,
        periodic_announce: every(Duration::from_secs(30), 1),
        periodic_announce_to_down_members: every(Duration::from_secs(15), 2),
        periodic_gossip: every(GOSSIP_PERIOD, GOSSIP_TO),
    }
}

/// How often a node tells a piece of news. The logarithm of the cluster's size (SWIM, section 4.1) is enough to reach everybody who can
/// be reached; but news of a suspicion is for the suspect, and whoever stops telling it while the suspect is cut off declares it
/// down although it could be heard again in time. So it is told for as long as the suspect has, and half as often again, because
/// probes carry news, too.
fn transmissions(suspect_to_down_after: Duration) -> NonZeroU8 {
    let rounds = suspect_to_down_after.as_millis() / GOSSIP_PERIOD.as_millis();
    let told = rounds * GOSSIP_TO as u128 * 3 / 2;
    u8::try_from(told).ok().and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MAX)
}

fn every(frequency: Duration, members: usize) -> Option<foca::PeriodicParams> {
    Some(foca::PeriodicParams { frequency, num_members: nonzero(members) })
}

fn nonzero(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN)
}

/// Digits of the number of members: 1 up to 9, 2 up to 99, at most 20.
fn decimal_digits(members: usize) -> u8 {
    members.max(1).ilog10() as u8 + 1
}

#[cfg(test)]
mod tests {
    use super::local_network;

    #[test]
    fn a_larger_cluster_repeats_its_news_more_often_and_waits_longer_for_a_suspect() {
        let (small, large) = (local_network(3), local_network(300));
        assert!(small.max_transmissions < large.max_transmissions);
        assert!(small.suspect_to_down_after < large.suspect_to_down_after);
        assert!(small.probe_rtt * 3 < small.probe_period + small.probe_rtt);
    }
}
