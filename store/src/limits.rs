//! Bounds on everything in this crate that could grow, each with its reason. What an operator may want to change is in
//! [`crate::ShardOptions`], whose defaults stand here.

/// Encoded size above which a record goes to a bulk segment: moving it costs more than what it would free, so it should
/// not share a segment with records that are overwritten often.
pub const BULK_RECORD_BYTES: usize = 64 * 1024;

/// Bytes of a segment in production. Large enough that opening one is rare (a second or two of full write load), small
/// enough that compaction frees space soon.
pub const SEGMENT_BYTES: u32 = 64 * 1024 * 1024;

/// Smallest segment: a header and a few records.
pub const SEGMENT_BYTES_MIN: u32 = 4 * 1024;

/// Largest segment: offsets are 32 bit.
pub const SEGMENT_BYTES_MAX: u32 = 1 << 30;

/// Bytes of one batch in proportion to a segment: a batch that does not fit wastes the rest of the segment, so this bounds
/// the waste to an eighth.
pub const BATCH_SEGMENT_SHARE: u32 = 8;

/// Most bytes of one batch. Beyond it a larger write is no more efficient, and everybody in the batch waits for it.
pub const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Most entries of one batch: bounds the work between two acknowledgements when records are tiny.
pub const BATCH_ENTRIES: usize = 8_192;

/// Writes of a batch from which on the next one waits for company. Fewer are few writers, who would only wait longer.
pub const PACED_ENTRIES: usize = 12;

/// How soon after a batch the next one goes then, in nanoseconds, from beginning to beginning: a sync of a quick disk takes
/// a tenth of it, one of a slow disk more than all of it, and nobody notices it beside a request's other waits.
pub const PACE_NS: u64 = 1_200_000;

/// Entries that wait for no more company: from here on a batch of twice as many costs each hardly less.
pub const PACED_COMPANY: usize = 128;

/// Bytes of records that wait for their sync. At a modest disk's 100 MB/s it is a sixth of a second of delay, past which
/// refusing is kinder than queueing.
pub const PENDING_BYTES: usize = 16 * 1024 * 1024;

/// Records that are synced and not yet in the index. They are pinned in memory, and replay after a crash is in proportion.
pub const UNINDEXED_RECORDS: usize = 256 * 1024;

/// Bytes of records that the table may keep in memory.
pub const TABLE_BYTES: usize = 128 * 1024 * 1024;

/// How many times its budget the table may take while the index or compaction keeps records from leaving it. Past that,
/// writes are refused: large values would fill the memory long before there are too many records.
pub const TABLE_PINNED_MULTIPLE: usize = 2;

/// Operations that wait for a record to be read from the disk.
pub const QUEUED_OPERATIONS: usize = 16 * 1024;

/// Jobs that may be at the readers at once: one in work and one waiting for each of two threads.
pub const READ_JOBS: usize = 4;

/// Those of them that may list keys: such a job may take milliseconds, and a cold read should not wait for it.
pub const LIST_JOBS: usize = 2;

/// Keys of one read job: enough to hide the hop between threads, few enough that one slow disk read holds up few others.
pub const LOADS_PER_JOB: usize = 64;

/// Entries of one index job: they are sorted and written together, and the longest that a checkpoint or a close waits.
pub const INDEX_BATCH: usize = 4_096;

/// The part of that which one index job takes while a checkpoint spreads what it feeds: one in this many.
pub const PACED_SHARE: usize = 4;

/// Log bytes after which a checkpoint is due: what a crash at the wrong moment has to replay.
pub const CHECKPOINT_BYTES: u64 = 128 * 1024 * 1024;

/// The part of that over which a checkpoint spreads what it feeds to the index, one in this many: sooner, and the indexer
/// is in everybody's way at once; later, and keys that are overwritten reach it more often.
pub const SPREAD_SHARE: u64 = 4;

/// Longest time over which a checkpoint spreads what it feeds to the index, in milliseconds, however little is written.
pub const SPREAD_MS: u64 = 5_000;

/// Longest time between checkpoints while anything is written, in milliseconds.
pub const CHECKPOINT_MS: u64 = 30_000;

/// How long to wait after the disk refused space before asking again, in milliseconds.
pub const SPACE_RETRY_MS: u64 = 1_000;

/// Preallocated segments held back for merges, deletes and compaction when the disk is full: one to move records into, and
/// one for what peers and deletes need until that has freed something.
pub const RESERVE_SEGMENTS: usize = 2;

/// Files of segments that are kept for later beyond that: about as many as one checkpoint frees.
pub const KEPT_SEGMENTS: usize = 4;

/// Bytes that a change may take in the log beyond its value, when the last room of a full disk is rationed: key, clock,
/// operation ids and frame.
pub const ROOM_SLACK_BYTES: usize = 1024;

/// Bytes of a segment that one compaction step reads.
pub const COMPACT_STEP_BYTES: usize = 1024 * 1024;

/// Compaction begins when one part in this many of the sealed log is dead: the log takes at most about twice what is
/// alive, and each byte that is freed costs at most one that is moved.
pub const COMPACT_DEAD_SHARE: u64 = 2;

/// Sealed segments below which compaction leaves the log alone while there is space: keys that are overwritten often die
/// by themselves in the time that it takes to fill so many.
pub const COMPACT_SEGMENTS: usize = 4;

/// As `COMPACT_DEAD_SHARE`, when the disk is full: less would be work without end for next to nothing.
pub const COMPACT_DEAD_SHARE_FULL: u64 = 5;

/// Segments less than a quarter full that may stand about before compaction joins them. Each start leaves one.
pub const SHORT_SEGMENTS: usize = 8;

/// Bytes of records that are held for owners that are away while fewer owners than needed have them: some minutes of a node's
/// share of writes. They may not be dropped, so beyond it the next one is refused.
pub const BEARING_BYTES: usize = 256 * 1024 * 1024;

/// The same while enough owners have them: what is not taken then, comparing the owners finds.
pub const SPARE_BYTES: usize = 256 * 1024 * 1024;

/// How long a hint that may be dropped is kept, in milliseconds: whoever is away for longer has so much to catch up with
/// that comparing is cheaper.
pub const SPARE_MS: u64 = 3 * 60 * 60 * 1_000;

/// What listing a hint takes in memory, about: its key up to three times, in ordered maps. It counts towards the bounds above,
/// so that small records cannot fill the memory below them.
pub const HINT_LISTING_BYTES: usize = 512;

/// Hinted records that are read, or dropped, at once without anybody's asking: few enough not to be in the way of requests.
pub const HINTS_READING: usize = 64;

/// How long a hinted record that could not be read rests before it is tried again, in milliseconds: want of file handles is
/// over by then. Each time it is twice as long.
pub const UNREADABLE_REST_MS: u64 = 1_000;

/// How long it rests at most, in milliseconds: a disk that came back is noticed soon, and one that will not costs next to nothing.
pub const UNREADABLE_REST_LONGEST_MS: u64 = 60_000;

/// Records whose values are hashed in one go for somebody who asks for a tree: a quarter of a millisecond of small ones.
pub const TOLD_AT_ONCE: usize = 256;

/// Bytes of records from which on no more are added to those: a reader hashes them in about a millisecond.
pub const TOLD_BYTES_AT_ONCE: usize = 1024 * 1024;

/// How long each such record holds back the next ones while anything is being written, in nanoseconds: 8,000 of them in a second
/// are less than a hundredth of a processor.
pub const TOLD_RECORD_NS: u64 = 125_000;

/// The same for each byte: 64 MB in a second are a fiftieth of a processor.
pub const TOLD_BYTE_NS: u64 = 15;

/// Records that may have to be told for one answer about many partitions while anything is being written: a quarter of a
/// second at that pace. Beyond it the answer is that the trees are not known, and fewer partitions can be asked about.
pub const TOLD_FOR_AN_ANSWER: usize = 2_048;

/// Questions about trees that may wait at a time: a few of each peer's.
pub const TREE_QUESTIONS: usize = 256;

/// Partitions that are counted in one job: with 1,000,000 keys in 4,096 of them about 4,000 keys, as in a job that feeds.
pub const COUNTED_AT_ONCE: usize = 16;

/// Keys of one page of what a partition holds. Keys may be a kilobyte long, so a page takes a few megabytes at most.
pub const CONTENTS_KEYS: u32 = 4_096;

/// Keys of one page of a scan.
pub const SCAN_KEYS: u32 = 10_000;

/// Keys that one page of a scan for siblings looks at, over all of its partitions: a tenth of a second of one reader thread.
pub const SIBLINGS_LOOKED_FOR: usize = 128 * 1024;

/// Keys of one partition that such a page looks at, at least, so that every page gets somewhere.
pub const SIBLINGS_LOOKED_FOR_LEAST: usize = 16;

/// Partitions of one scan: what a layout can have at most.
pub const SCAN_PARTITIONS: usize = kvorum_ring::limits::MAX_PARTITIONS as usize;

/// Milliseconds after which a refused request is worth another try: about the time that a full queue takes to drain.
pub const RETRY_AFTER_MS: u32 = 20;

/// How far sequences jump at each start. Whatever a disk may later show of an earlier life that could not be read at the
/// start, it is older than anything written since.
pub const SEQUENCE_JUMP: u64 = 1 << 20;

/// Keys of the smallest layer of the filter in front of the index: some 100 KiB, the least that a store takes for it.
pub const KNOWN_KEYS_MIN: u64 = 64 * 1024;

/// Layers of that filter, each four times as large as the one before: room for 1.4 billion keys, at 1.6 to 6.4 bytes each.
pub const KNOWN_KEYS_LAYERS: usize = 8;

/// Keys of the index that are visited for that filter at a time after a start: about a millisecond, each time the index is fed.
pub const KNOWN_KEYS_VISITED: usize = 1_024;
