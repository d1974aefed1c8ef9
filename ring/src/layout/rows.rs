//! Owner rows while they are being rearranged, with the counts that the planner asks for all the time.
//!
//! Invariant: the counts follow from the cells alone; only [`Rows::put`] changes either.

use super::spread::HOLE;

/// A place in the table.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) partition: usize,
    /// Within the partition's row.
    pub(super) position: usize,
}

/// Rows of equal width, all holes at first.
pub(super) struct Rows {
    width: usize,
    cells: Vec<u16>,
    /// The cells in which each member stands, ascending.
    standing: Vec<Vec<u32>>,
    /// For each pair of members the number of rows they share.
    shared: Vec<u32>,
}

impl Rows {
    pub(super) fn empty(partitions: usize, width: usize, members: usize) -> Rows {
        let (cells, standing) = (vec![HOLE; partitions * width], vec![Vec::new(); members]);
        Rows { width, cells, standing, shared: vec![0; members * members] }
    }

    pub(super) fn into_cells(self) -> Vec<u16> {
        self.cells
    }

    pub(super) fn row(&self, partition: usize) -> &[u16] {
        &self.cells[partition * self.width..(partition + 1) * self.width]
    }

    /// The number of a place's cell.
    pub(super) fn cell(&self, place: Place) -> usize {
        place.partition * self.width + place.position
    }

    /// The member at a place, or a hole.
    pub(super) fn at(&self, place: Place) -> u16 {
        self.cells[self.cell(place)]
    }

    /// How many rows a member stands in.
    pub(super) fn owned(&self, member: u16) -> u32 {
        self.standing[usize::from(member)].len() as u32
    }

    /// Where a member stands, in ascending order of partition.
    pub(super) fn places_of(&self, member: u16) -> Vec<Place> {
        self.standing[usize::from(member)].iter().map(|cell| self.place(*cell as usize)).collect()
    }

    /// The places where nobody stands, in ascending order of partition.
    pub(super) fn holes(&self) -> Vec<Place> {
        let cells = self.cells.iter().enumerate();
        cells.filter(|(_, member)| **member == HOLE).map(|(cell, _)| self.place(cell)).collect()
    }

    fn place(&self, cell: usize) -> Place {
        Place { partition: cell / self.width, position: cell % self.width }
    }

    /// How many members of a place's row `coming` does not share a row with so far.
    pub(super) fn new_neighbours(&self, place: Place, coming: u16) -> usize {
        let from = usize::from(coming) * self.members();
        let beside = self.row(place.partition).iter().enumerate();
        let others = beside.filter(|(at, cell)| *at != place.position && **cell != HOLE);
        others.filter(|(_, cell)| self.shared[from + usize::from(**cell)] == 0).count()
    }

    /// Puts a member, who does not stand in the row yet, in a place.
    pub(super) fn put(&mut self, place: Place, coming: u16) {
        let cell = self.cell(place);
        let leaving = std::mem::replace(&mut self.cells[cell], coming);
        let cell = cell as u32;
        if leaving != HOLE {
            let cells = &mut self.standing[usize::from(leaving)];
            let stood = cells.binary_search(&cell).expect("a member stands where it is");
            cells.remove(stood);
        }
        let place_in_order = self.standing[usize::from(coming)].partition_point(|at| *at < cell);
        self.standing[usize::from(coming)].insert(place_in_order, cell);
        self.count_pairs(place, leaving, coming);
    }

    fn count_pairs(&mut self, place: Place, leaving: u16, coming: u16) {
        let members = self.members();
        for other in (0..self.width).filter(|other| *other != place.position) {
            let beside = self.cells[place.partition * self.width + other];
            if beside == HOLE {
                continue;
            }
            let (beside, coming) = (usize::from(beside), usize::from(coming));
            self.shared[coming * members + beside] += 1;
            self.shared[beside * members + coming] += 1;
            if leaving != HOLE {
                let leaving = usize::from(leaving);
                self.shared[leaving * members + beside] -= 1;
                self.shared[beside * members + leaving] -= 1;
            }
        }
    }

    fn members(&self) -> usize {
        self.standing.len()
    }
}
