//! Many requests at once, a bounded number in flight.

use std::future::Future;

use tokio::task::JoinSet;

use crate::failure::{Failure, Outcome};

/// Requests in flight: enough to keep every node's group commit busy.
const IN_FLIGHT: usize = 64;

/// Runs `work` for every item and hands each result to `done`, in whatever order they come. The first failure ends it.
pub(super) async fn each<I, F, T>(
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> F,
    mut done: impl FnMut(T) -> Outcome<()>,
) -> Outcome<()>
where
    F: Future<Output = Outcome<T>> + Send + 'static,
    T: Send + 'static,
{
    let mut waiting = items.into_iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < IN_FLIGHT {
            let Some(item) = waiting.next() else { break };
            running.spawn(work(item));
        }
        match running.join_next().await {
            None => return Ok(()),
            Some(Ok(outcome)) => done(outcome?)?,
            Some(Err(error)) => {
                return Err(Failure::unavailable(format!("a request was cut short: {error}")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::each;
    use crate::failure::Failure;

    #[tokio::test]
    async fn every_item_is_worked_on_once_and_the_first_failure_ends_it() {
        let mut sum = 0;
        let add = |number: u32| {
            sum += number;
            Ok(())
        };
        each(0..1_000, |number| async move { Ok(number) }, add).await.expect("no failure");
        assert_eq!(sum, 499_500);
        let fails = |number: u32| async move {
            if number == 7 { Err(Failure::usage("seven")) } else { Ok(()) }
        };
        let failure = each(0..1_000, fails, |()| Ok(())).await.expect_err("one fails");
        assert_eq!(failure.message(), "seven");
    }
}
