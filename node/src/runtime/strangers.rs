//! Connections that have not yet said who they are: a bounded crowd in front of each port.
//!
//! A handshake costs memory and some hundred microseconds of a processor, and whoever begins one need not end it. So each
//! port lets a limited number be under way, of these a limited share from one address, each for a limited time. Nobody is
//! refused at the gate: when the crowd is full, the connection that has stood in it longest has to go, from the address
//! that has most there. A handshake takes milliseconds, so who has stood longest among hundreds is not about to end one,
//! and a flood pushes out itself.
//!
//! **Not here:** how many may stay once they are known; that is a [`Quota`](crate::runtime::quota::Quota).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;

use quinn::{Endpoint, Incoming};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use crate::runtime::limits;
use crate::runtime::source::Source;

/// The crowd in front of one port.
pub(crate) struct Strangers {
    limit: usize,
    limit_per_source: usize,
    crowd: RefCell<Crowd>,
}

#[derive(Default)]
struct Crowd {
    entered: u64,
    present: usize,
    /// In the order in which they came. Dropping a sender tells its owner to go.
    by_source: BTreeMap<Source, BTreeMap<u64, oneshot::Sender<()>>>,
}

/// One of the crowd; it leaves when this is dropped.
pub(crate) struct Stranger {
    strangers: Rc<Strangers>,
    source: Source,
    number: u64,
    deadline: Instant,
    pushed_out: oneshot::Receiver<()>,
}

/// A connection did not get ready in time, or had to make room for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not greeted within {0:?}, or pushed out by others", limits::GREETING_WITHIN)]
pub(crate) struct Late;

impl Strangers {
    /// An empty crowd of the usual size.
    pub(crate) fn new() -> Rc<Strangers> {
        Strangers::with_limits(limits::HANDSHAKES, limits::HANDSHAKES_PER_SOURCE)
    }

    fn with_limits(limit: usize, limit_per_source: usize) -> Rc<Strangers> {
        Rc::new(Strangers { limit, limit_per_source, crowd: RefCell::default() })
    }

    /// Lets a connection in, and another one out when there is no room.
    pub(crate) fn enter(self: &Rc<Strangers>, address: IpAddr) -> Stranger {
        let source = Source::of(address);
        let (stays, pushed_out) = oneshot::channel();
        let mut crowd = self.crowd.borrow_mut();
        if crowd.of(source) >= self.limit_per_source {
            crowd.push_out(source);
        } else if crowd.present >= self.limit
            && let Some(largest) = crowd.largest()
        {
            crowd.push_out(largest);
        }
        crowd.entered += 1;
        crowd.present += 1;
        let number = crowd.entered;
        crowd.by_source.entry(source).or_default().insert(number, stays);
        let deadline = Instant::now() + limits::GREETING_WITHIN;
        Stranger { strangers: self.clone(), source, number, deadline, pushed_out }
    }

    /// After each that entered: now and then it is the turn of everybody else first.
    pub(crate) async fn pace(&self) {
        if self.crowd.borrow().entered.is_multiple_of(limits::ACCEPTED_PER_TURN) {
            yield_now().await;
        }
    }

    /// The next connection to a QUIC endpoint; `None` when the endpoint is closed.
    pub(crate) async fn accept_quic(
        self: &Rc<Strangers>,
        endpoint: &Endpoint,
    ) -> Option<(Incoming, Stranger)> {
        loop {
            self.pace().await;
            let incoming = endpoint.accept().await?;
            if self.is_busy() && incoming.may_retry() && !incoming.remote_address_validated() {
                // Who forged its address never sees the answer, and costs one packet and no memory.
                let _ = incoming.retry();
                yield_now().await;
                continue;
            }
            let stranger = self.enter(incoming.remote_address().ip());
            return Some((incoming, stranger));
        }
    }

    /// Whether so many are here that a newcomer by UDP should first show that its address is its own.
    fn is_busy(&self) -> bool {
        self.crowd.borrow().present >= self.limit / 4
    }
}

impl Crowd {
    fn of(&self, source: Source) -> usize {
        self.by_source.get(&source).map_or(0, BTreeMap::len)
    }

    fn largest(&self) -> Option<Source> {
        self.by_source.iter().max_by_key(|(_, present)| present.len()).map(|(source, _)| *source)
    }

    fn push_out(&mut self, source: Source) {
        if let Some(present) = self.by_source.get_mut(&source)
            && present.pop_first().is_some()
        {
            self.present -= 1;
        }
    }

    fn leave(&mut self, source: Source, number: u64) {
        if let Some(present) = self.by_source.get_mut(&source) {
            if present.remove(&number).is_some() {
                self.present -= 1;
            }
            if present.is_empty() {
                self.by_source.remove(&source);
            }
        }
    }
}

impl Stranger {
    /// Waits for a step of the handshake.
    ///
    /// # Errors
    /// [`Late`] once the time for the whole handshake is over, or when others have pushed this one out.
    pub(crate) async fn until<T>(&mut self, step: impl Future<Output = T>) -> Result<T, Late> {
        tokio::select! {
            biased;
            _ = &mut self.pushed_out => Err(Late),
            done = step => Ok(done),
            () = sleep_until(self.deadline) => Err(Late),
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.strangers.crowd.borrow_mut().leave(self.source, self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::net::IpAddr;

    use super::{Late, Strangers};

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[tokio::test]
    async fn who_has_stood_longest_makes_room_for_others_of_its_address() {
        let strangers = Strangers::with_limits(8, 2);
        let mut other = strangers.enter(address(2));
        let mut crowd = [(); 3].map(|()| strangers.enter(address(1)));
        assert_eq!(crowd[0].until(pending::<()>()).await, Err(Late));
        for stays in crowd[1..].iter_mut().chain([&mut other]) {
            assert_eq!(stays.until(ready(7)).await, Ok(7));
        }
    }

    #[tokio::test]
    async fn a_full_crowd_pushes_out_from_the_address_that_has_most() {
        let strangers = Strangers::with_limits(4, 4);
        let mut alone = strangers.enter(address(2));
        let mut many = [(); 3].map(|()| strangers.enter(address(1)));
        let mut newcomer = strangers.enter(address(3));
        assert_eq!(many[0].until(pending::<()>()).await, Err(Late));
        for stays in [&mut alone, &mut newcomer] {
            assert_eq!(stays.until(ready(())).await, Ok(()));
        }
    }

    #[tokio::test]
    async fn who_leaves_makes_room() {
        let strangers = Strangers::with_limits(2, 2);
        for _ in 0..10 {
            drop(strangers.enter(address(1)));
        }
        let mut first = strangers.enter(address(1));
        let _second = strangers.enter(address(1));
        assert_eq!(first.until(ready(())).await, Ok(()));
        assert!(strangers.crowd.borrow().present == 2 && strangers.is_busy());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_stands_for_longer_than_a_greeting_may_take() {
        let strangers = Strangers::new();
        let mut silent = strangers.enter(address(1));
        assert_eq!(silent.until(pending::<()>()).await, Err(Late));
        drop(silent);
        assert!(strangers.crowd.borrow().by_source.is_empty());
    }
}
