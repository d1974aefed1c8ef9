//! Awaiting a condition with a deadline, which is all the waiting that these tests do.

use std::time::{Duration, Instant};

/// Asks again and again until `condition` gives something; fails, saying `what` never came, after `patience`.
///
/// Between two questions other threads get the processor; most conditions run a process and take milliseconds anyway.
#[track_caller]
pub(crate) fn until<T>(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
