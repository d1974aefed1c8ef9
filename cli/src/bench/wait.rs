//! Waiting for the measured time of a workload to go by, with a bar that says how fast it is going.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bench::worker::Work;
use crate::output::{Output, units};
use crate::progress::Step;

/// How often the progress bar moves.
const INTERVAL: Duration = Duration::from_millis(100);

/// Movements over which the rate is taken: those of a second.
const SPAN: usize = 10;

/// Operations a second over the last movements of the bar.
#[derive(Debug, Default)]
struct Speed {
    seen: VecDeque<(Instant, u64)>,
}

impl Speed {
    /// `done` operations have been done by `now`.
    fn at(&mut self, now: Instant, done: u64) -> u64 {
        if self.seen.len() > SPAN {
            self.seen.pop_front();
        }
        self.seen.push_back((now, done));
        let (since, before) = self.seen.front().copied().unwrap_or((now, done));
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        if seconds > 0.0 {
            (done.saturating_sub(before) as f64 / seconds).round() as u64
        } else {
            0
        }
    }
}

/// Waits until the measured time is over or, when operations are counted, until all have ended.
pub(crate) async fn wait(
    workers: &mut JoinSet<()>,
    work: &Work,
    until: Option<Instant>,
    name: &str,
    output: Output,
) {
    let begun = Instant::now();
    let time = until.map(|until| until.saturating_duration_since(begun));
    let whole = time.map_or_else(|| work.pace.count(), |time| time.as_millis() as u64);
    let step = Step::measured(output, name, whole);
    let mut speed = Speed::default();
    let mut drawn = begun;
    loop {
        let left = until.map_or(INTERVAL, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return;
        }
        if let Ok(None) = timeout(left.min(INTERVAL), workers.join_next()).await {
            return;
        }
        let now = Instant::now();
        if now - drawn < INTERVAL {
            continue;
        }
        drawn = now;
        let rate = units::count(speed.at(now, work.recorder.done()));
        let elapsed = now - begun;
        let (reached, said) = match time {
            Some(time) => {
                let so_far = format!("{} of {}", units::duration(elapsed), units::duration(time));
                (elapsed.as_millis() as u64, so_far)
            }
            None => {
                let counted = work.pace.counted();
                (counted, format!("{} of {}", units::count(counted), units::count(whole)))
            }
        };
        step.reach_saying(reached, format!("{said}  {rate}/s"));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Speed;

    #[test]
    fn the_rate_is_of_the_last_second() {
        let begun = Instant::now();
        let mut speed = Speed::default();
        let at = |tenths: u32| begun + Duration::from_millis(100) * tenths;
        assert_eq!(speed.at(at(0), 5_000), 0);
        assert_eq!(speed.at(at(1), 5_100), 1_000);
        for tenths in 2..=20 {
            speed.at(at(tenths), 5_100);
        }
        assert_eq!(speed.at(at(21), 5_300), 200);
    }
}
