//! Bounds on everything in this crate that could grow, each with its reason.

/// Most partitions in a layout. At 65,536 the table of one class with n = 3 is below 1 MiB, and a thousand nodes
/// still own about two hundred partitions each, enough for an even balance.
pub const MAX_PARTITIONS: u32 = 65_536;

/// Partitions when nobody says otherwise: three hundred nodes own about forty each, and an idle one costs next to
/// nothing.
pub const DEFAULT_PARTITIONS: u32 = 4_096;

/// Most owners of one partition. Beyond seven, a quorum waits for more machines than it gains in safety.
pub const MAX_REPLICAS: u8 = 7;

/// Owners of a partition when nobody says otherwise: the smallest number that survives one failure with a majority.
pub const DEFAULT_REPLICAS: u8 = 3;

/// Most replication classes in one layout. Each costs a table of its own; a cluster needs a handful at most.
pub const MAX_CLASSES: usize = 16;

/// Most members of a layout: keeps the planner within seconds and a hostile layout body from costing much memory
/// (tables name members by 16 bits).
pub const MAX_MEMBERS: usize = 1_024;

/// Largest weight of a member. A ratio of 1,000 between the largest and the smallest machine is beyond any real
/// fleet.
pub const MAX_WEIGHT: u16 = 1_000;

/// Weight when nobody says otherwise: leaves room for machines a hundred times smaller and ten times larger.
pub const DEFAULT_WEIGHT: u16 = 100;

/// Longest zone name in bytes: the length of a DNS label, which is what operators name racks and zones after.
pub const MAX_ZONE_BYTES: usize = 63;

/// Longest bucket name in bytes: its length enters the key hash as one byte.
pub const MAX_BUCKET_BYTES: usize = 255;
