//! Merging pages that were cut at different keys.
//!
//! Each scan has brought its keys up to some position. What all unfinished scans have passed is *settled*: nothing smaller
//! can still arrive. Only settled keys are given out; the rest wait for the scan that holds them up.

use std::collections::BTreeMap;

use kvorum_protocol::Key;
use kvorum_protocol::limits as bounds;
use kvorum_protocol::message::ListItem;

use crate::peer_message::PeerPage;

/// How far a scan is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    /// Its next page is on its way.
    Asked,
    /// It has brought a page and has more.
    Paused,
    /// It has brought everything, or is replaced by others.
    Closed,
}

#[derive(Clone)]
struct Position {
    /// The last key it brought, or where it began.
    last: Option<Key>,
    state: State,
}

/// What a client gets.
pub(super) struct Page {
    pub(super) items: Vec<ListItem>,
    /// Where the next page begins.
    pub(super) next: Option<Key>,
}

/// The keys that scans have brought, and how far each is.
#[derive(Clone)]
pub(super) struct Pages {
    limit: usize,
    /// Versions that live side by side are siblings of a key; else the reader is shown one value.
    tells_siblings: bool,
    /// Live versions that a key has to have.
    least: u32,
    positions: Vec<Position>,
    /// Live keys only: a tombstone moves its scan's position and is forgotten.
    items: BTreeMap<Key, ListItem>,
}

impl Pages {
    /// No scans yet; the page is to hold `limit` keys.
    pub(super) fn new(limit: usize, tells_siblings: bool) -> Pages {
        let (positions, items) = (Vec::new(), BTreeMap::new());
        Pages { limit, tells_siblings, least: 1, positions, items }
    }

    /// The same for keys that have siblings.
    pub(super) fn of_conflicts(limit: usize) -> Pages {
        Pages { least: 2, ..Pages::new(limit, true) }
    }

    /// One more scan, asked for its keys behind `after`.
    pub(super) fn add(&mut self, after: Option<Key>) {
        self.positions.push(Position { last: after, state: State::Asked });
    }

    /// Where a scan's next page begins.
    pub(super) fn position(&self, scan: usize) -> Option<&Key> {
        self.positions[scan].last.as_ref()
    }

    /// Whether a page of this scan is on its way.
    pub(super) fn awaits(&self, scan: usize) -> bool {
        self.positions.get(scan).is_some_and(|position| position.state == State::Asked)
    }

    /// Whether this scan has not brought everything yet.
    pub(super) fn is_open(&self, scan: usize) -> bool {
        self.positions[scan].state != State::Closed
    }

    /// Takes a scan's page. A page that claims to have more without getting any farther would go on for ever, and is the last.
    pub(super) fn take(&mut self, scan: usize, page: PeerPage) {
        let position = &mut self.positions[scan];
        let last = page.through.or_else(|| page.entries.last().map(|last| last.key.clone()));
        position.state = if page.more && last.is_some() { State::Paused } else { State::Closed };
        if let Some(last) = last {
            position.last = Some(last);
        }
        let least = self.least;
        for entry in page.entries.into_iter().filter(|entry| entry.siblings >= least) {
            let item = ListItem {
                key: entry.key,
                siblings: if self.tells_siblings { entry.siblings } else { 1 },
                value_bytes: entry.value_bytes,
            };
            self.items.insert(item.key.clone(), item);
        }
    }

    /// Ends a scan, and says how far it was.
    pub(super) fn close(&mut self, scan: usize) -> Option<Key> {
        self.positions[scan].state = State::Closed;
        self.positions[scan].last.clone()
    }

    /// The page, if enough is settled or nothing more can come.
    pub(super) fn finished(&self) -> Option<Page> {
        let is_enough = self.settled().count() >= self.limit;
        (is_enough || self.open().next().is_none()).then(|| self.page())
    }

    /// Whatever is settled by now; more may follow behind it.
    pub(super) fn cut_short(&self) -> Page {
        self.page()
    }

    /// The scans whose next page everybody waits for, and who have not been asked for it yet.
    pub(super) fn held_up_by(&self) -> Vec<usize> {
        let Some(bound) = self.bound() else { return Vec::new() };
        let holds_up = |position: &Position| {
            position.state == State::Paused && position.last.as_ref() == bound
        };
        let scans = self.positions.iter().enumerate();
        scans.filter(|(_, position)| holds_up(position)).map(|(scan, _)| scan).collect()
    }

    /// A scan is asked for its next page.
    pub(super) fn go_on(&mut self, scan: usize) {
        self.positions[scan].state = State::Asked;
    }

    fn page(&self) -> Page {
        let mut bytes = 0;
        let fits = |item: &&ListItem| {
            bytes += item.key.as_bytes().len();
            bytes <= bounds::LIST_PAGE_BYTES
        };
        let items: Vec<ListItem> =
            self.settled().take(self.limit).take_while(fits).cloned().collect();
        let given = items.last().map(|item| item.key.clone());
        let next = if items.len() < self.items.len() {
            given.or_else(|| self.bound().flatten().cloned())
        } else {
            // Everything known is given out, so the next page begins where the slowest scan stands.
            self.bound().flatten().cloned()
        };
        Page { items, next }
    }

    /// The keys up to which nothing more can arrive.
    fn settled(&self) -> impl Iterator<Item = &ListItem> {
        let bound = self.bound();
        self.items
            .values()
            .take_while(move |item| bound.is_none_or(|bound| Some(&item.key) <= bound))
    }

    /// The smallest position of an open scan; none when none is open.
    fn bound(&self) -> Option<Option<&Key>> {
        self.open().map(|position| position.last.as_ref()).min()
    }

    fn open(&self) -> impl Iterator<Item = &Position> {
        self.positions.iter().filter(|position| position.state != State::Closed)
    }
}
