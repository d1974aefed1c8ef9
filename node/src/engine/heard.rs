//! Which forwarded requests were heard already.
//!
//! A message may arrive twice. Most do no harm when they do; a forwarded write would be coordinated twice, and if its
//! first copy was refused, the client would be told that nothing was applied while the second copy applies it. So an
//! engine remembers the last ones that it heard, by sender and token, and lets a second copy pass without an effect.

use std::collections::{BTreeSet, VecDeque};

use kvorum_ring::NodeId;

use crate::limits;

/// The forwarded requests that were heard last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    known: BTreeSet<(NodeId, u64)>,
    oldest_first: VecDeque<(NodeId, u64)>,
}

impl Heard {
    /// Notes a request. False if it was heard before.
    pub(crate) fn first_time(&mut self, from: NodeId, token: u64) -> bool {
        if !self.known.insert((from, token)) {
            return false;
        }
        self.oldest_first.push_back((from, token));
        if self.oldest_first.len() > limits::HEARD_FORWARDS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use kvorum_ring::NodeId;

    use super::Heard;
    use crate::limits::HEARD_FORWARDS;

    #[test]
    fn a_second_copy_is_known_as_one_and_memory_is_bounded() {
        let mut heard = Heard::default();
        assert!(heard.first_time(NodeId(1), 7));
        assert!(!heard.first_time(NodeId(1), 7));
        assert!(heard.first_time(NodeId(2), 7), "tokens are the sender's own");
        for token in 0..HEARD_FORWARDS as u64 {
            heard.first_time(NodeId(3), token);
        }
        assert_eq!(heard.known.len(), HEARD_FORWARDS);
        assert!(heard.first_time(NodeId(1), 7), "the oldest are forgotten");
    }
}
