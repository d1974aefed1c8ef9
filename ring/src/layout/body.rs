//! A layout as it travels and as it is hashed.
//!
//! The body carries no name: whoever decodes one computes the name from the contents, so a body can only ever be
//! called by its right name. The hash is taken over a byte string of our own rather than over the serialised form, so
//! that it does not depend on a serialiser's choices.

use serde::{Deserialize, Serialize};

use super::{Layout, LayoutName, Table, row_shape};
use crate::class::ReplicationClass;
use crate::error::LayoutError;
use crate::hash::PartitionCount;
use crate::limits;
use crate::member::Member;

/// The form of the body. A reader refuses a form it does not know, because it could not compute its hash.
const FORMAT: u8 = 1;

/// Keeps this hash apart from every other use of BLAKE3 in the system.
const HASH_DOMAIN: &[u8] = b"kvorum layout 1\0";

/// The serialised form of a [`Layout`].
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Body {
    format: u8,
    lineage: u64,
    version: u64,
    partitions: PartitionCount,
    members: Vec<Member>,
    tables: Vec<TableBody>,
}

#[derive(Clone, Serialize, Deserialize)]
struct TableBody {
    class: ReplicationClass,
    /// Member indexes, big-endian, two bytes each.
    #[serde(with = "serde_bytes")]
    cells: Vec<u8>,
}

/// The name that follows from the contents.
pub(super) fn name_of(
    (lineage, version): (u64, u64),
    partitions: PartitionCount,
    members: &[Member],
    tables: &[Table],
) -> LayoutName {
    let mut hasher = blake3::Hasher::new();
    hasher.update(HASH_DOMAIN).update(&lineage.to_be_bytes()).update(&version.to_be_bytes());
    hasher.update(&partitions.get().to_be_bytes());
    hasher.update(&(members.len() as u32).to_be_bytes());
    for member in members {
        let zone = member.zone.as_str().as_bytes();
        // A zone's length fits one byte (`limits::MAX_ZONE_BYTES`).
        hasher.update(&member.id.to_bytes()).update(&[zone.len() as u8]).update(zone);
        hasher.update(&member.weight.get().to_be_bytes());
    }
    hasher.update(&(tables.len() as u32).to_be_bytes());
    for table in tables {
        hasher.update(&[table.class.id().0, table.class.n()]).update(&cell_bytes(&table.cells));
    }
    LayoutName { lineage, version, hash: *hasher.finalize().as_bytes() }
}

fn cell_bytes(cells: &[u16]) -> Vec<u8> {
    cells.iter().flat_map(|cell| cell.to_be_bytes()).collect()
}

impl From<Layout> for Body {
    fn from(layout: Layout) -> Body {
        let table =
            |table: &Table| TableBody { class: table.class, cells: cell_bytes(&table.cells) };
        Body {
            format: FORMAT,
            lineage: layout.name.lineage,
            version: layout.name.version,
            partitions: layout.partitions,
            tables: layout.tables.iter().map(table).collect(),
            members: layout.members,
        }
    }
}

impl TryFrom<Body> for Layout {
    type Error = LayoutError;

    fn try_from(body: Body) -> Result<Layout, LayoutError> {
        if body.format != FORMAT {
            return Err(LayoutError::UnknownFormat(body.format));
        }
        check_sizes(body.members.len(), body.tables.len())?;
        let members_ascend = body.members.is_sorted_by(|left, right| left.id < right.id);
        let classes_ascend =
            body.tables.is_sorted_by(|left, right| left.class.id() < right.class.id());
        if !members_ascend || !classes_ascend {
            return Err(LayoutError::NotCanonical);
        }
        let decode = |table: &TableBody| decode_table(table, body.partitions, body.members.len());
        let tables = body.tables.iter().map(decode).collect::<Result<Vec<Table>, LayoutError>>()?;
        let name = name_of((body.lineage, body.version), body.partitions, &body.members, &tables);
        Ok(Layout { name, partitions: body.partitions, members: body.members, tables })
    }
}

/// The limits on members and classes, for a planned layout as for a received one.
pub(super) fn check_sizes(members: usize, classes: usize) -> Result<(), LayoutError> {
    match (members, classes) {
        (0, _) => Err(LayoutError::NoMembers),
        (_, 0) => Err(LayoutError::NoClasses),
        (members, _) if members > limits::MAX_MEMBERS => Err(LayoutError::TooManyMembers(members)),
        (_, classes) if classes > limits::MAX_CLASSES => Err(LayoutError::TooManyClasses(classes)),
        _ => Ok(()),
    }
}

fn decode_table(
    body: &TableBody,
    partitions: PartitionCount,
    members: usize,
) -> Result<Table, LayoutError> {
    let class = body.class;
    let (owners, width) = row_shape(class, members);
    if body.cells.len() != partitions.get() as usize * width * 2 {
        return Err(LayoutError::TableLength(class.id()));
    }
    let cells: Vec<u16> =
        body.cells.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let table = Table { class, owners, width, cells };
    for partition in partitions.partitions() {
        let row = table.row(partition);
        let exists = |cell: &u16| usize::from(*cell) < members;
        let repeats = |(at, cell): (usize, &u16)| row[..at].contains(cell);
        if !row.iter().all(exists) || row.iter().enumerate().any(repeats) {
            return Err(LayoutError::TableRow { class: class.id(), partition: partition.0 });
        }
    }
    Ok(table)
}
