//! foca's settings for a local network.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use crate::limits;

const PROBE_PERIOD: Duration = Duration::from_secs(1);

/// The settings for a cluster of about `members` nodes.
pub(crate) fn local_network(members: usize) -> foca::Config {
    let digits = decimal_digits(members);
    foca::Config {
        probe_period: PROBE_PERIOD,
        // Far beyond a round trip in a local network, and short enough to leave the indirect probe two thirds.
        probe_rtt: Duration::from_millis(300),
        num_indirect_probes: nonzero(3),
        // News reaches everybody with a probability that grows with the logarithm of the cluster (SWIM, section 4.1).
        max_transmissions: NonZeroU8::MIN.saturating_add(4 * digits + 1),
        // A suspect has this long to hear of it and to refute: a few probe periods, more where the news travels further.
        suspect_to_down_after: PROBE_PERIOD * u32::from(2 + digits),
        // Lives of one node replace each other, so remembering a dead one costs one entry for each node.
        remove_down_after: Some(Duration::from_secs(24 * 3_600)),
        max_packet_size: nonzero(limits::MAX_DATAGRAM_BYTES),
        // Without it a node that was declared down by mistake would never learn of it.
        notify_down_members: true,
        periodic_announce: every(Duration::from_secs(30), 1),
        periodic_announce_to_down_members: every(Duration::from_secs(15), 2),
        periodic_gossip: every(Duration::from_millis(200), 3),
    }
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
