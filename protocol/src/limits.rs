//! Bounds on everything in this crate that could grow, each with its reason.

/// Longest key in bytes. A key is an index entry and is named in every message about it; what is longer belongs into
/// the value.
pub const KEY_BYTES: usize = 4 * 1024;

/// Longest bucket name in bytes: short enough to stand in front of every key of the index, long enough for a name that
/// says something.
pub const BUCKET_NAME_BYTES: usize = 64;

/// Largest value that is stored inside its record. It travels through every replica's memory and log as one piece; above
/// it a value is cut into stripes.
pub const INLINE_VALUE_BYTES: usize = 1024 * 1024;

/// Live versions from which on a coordinator refuses a put that replaces none of them. Merging never refuses, because a
/// version that exists somewhere must be able to reach every owner.
pub const SIBLINGS: usize = 64;

/// Bytes of live values from which on a coordinator refuses a put that replaces none of them, so that one key's reply
/// stays far below a frame.
pub const SIBLING_BYTES: usize = 4 * 1024 * 1024;

/// Operation ids that a version remembers of what it replaced, and concurrent deletes that a coordinator keeps: with the
/// retry window of a minute it is the promise under which a retried operation is recognised.
pub const SUPERSEDED_IDS: usize = 8;

/// Length of one client frame, without its own four length bytes: a batch of inline values, or the siblings of one key
/// with room to spare. A reader refuses a longer one before it allocates.
pub const CLIENT_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// Length of one frame between nodes. A replica's record may exceed a client's frame when several coordinators took
/// siblings apart from each other.
pub const PEER_FRAME_BYTES: usize = 64 * 1024 * 1024;

/// Requests of one connection that a node works on at a time: enough to keep a node busy from one machine, few enough that one
/// connection does not take all of its room. A client that has more under way is answered Overloaded for the rest.
pub const REQUESTS_IN_FLIGHT: usize = 1_024;

/// How deep arrays may nest. Our deepest message needs seven levels; the bound keeps a hostile frame from using the
/// stack.
pub const DEPTH: usize = 16;

/// Elements of one list whose type names no bound of its own: more than any cluster has members.
pub const LIST_ITEMS: usize = 65_536;

/// Keys in one batch: enough to hide the round trip, few enough that a batch is no long pause for others.
pub const BATCH_ITEMS: usize = 1_024;

/// Keys in one page of a listing.
pub const LIST_PAGE_ITEMS: usize = 1_000;

/// Bytes of keys in one page of a listing: a page ends at this or at [`LIST_PAGE_ITEMS`], whichever comes first, so that
/// pages of long keys are answered as quickly as pages of short ones.
pub const LIST_PAGE_BYTES: usize = 1024 * 1024;

/// Clock entries of one key at which a node raises an alarm. An entry is left by each restart of a coordinator that the
/// key lives through; reaching this means that something draws actors too often. Nothing is pruned because of it.
pub const CLOCK_ENTRIES_ALARM: usize = 64;

/// Clock entries above which bytes are not a clock of ours. A thousand times the alarm: it bounds hostile input only.
pub const CLOCK_ENTRIES: usize = 65_536;

/// Largest counter of one actor. Counters start at one and grow by one, so none comes near it; the room above keeps
/// arithmetic on hostile clocks from overflowing.
pub const COUNTER: u64 = 1 << 62;

/// Length of a context: the largest clock with its key hash and tag.
pub const CONTEXT_BYTES: usize = 2 * 1024 * 1024;

/// Longest deadline of a request in milliseconds. The reclaim of a tombstone waits for the longest request that could
/// still be on its way, so this bounds that wait.
pub const DEADLINE_MAX_MS: u32 = 60_000;

/// Deadline of a request that names none, in milliseconds.
pub const DEADLINE_DEFAULT_MS: u32 = 10_000;

/// How long a retry of an operation is promised to be recognised, in milliseconds.
pub const RETRY_WINDOW_MS: u32 = 60_000;

/// Live versions of one record that a testimony names. A coordinator refuses the [`SIBLINGS`]th, so more only come together
/// when several took siblings apart from each other.
pub const WHY_VERSIONS: usize = 256;

/// Events of one key that a testimony tells: days of a key that is written by hand, the last second of a counter.
pub const WHY_EVENTS: usize = 128;

/// Longest text in a message: a section of a diagnosis. Names and addresses are far shorter.
pub const TEXT_BYTES: usize = 4 * 1024 * 1024;

/// Buckets of one cluster: each is a cluster fact that every node holds in memory and gossips.
pub const BUCKETS: usize = 4_096;

/// Longest name of an access token in bytes.
pub const TOKEN_NAME_BYTES: usize = 64;

/// Grants of one access token: with names of full length its fact is still sent to all peers at once.
pub const TOKEN_GRANTS: usize = 32;

/// Access tokens of one cluster, revoked ones included: a revocation must never be forgotten, so neither leaves. With
/// their revocations they and the most buckets and members are still fewer than the cluster facts that a node holds.
pub const TOKENS: usize = 2_048;

/// Length of a client's first frame. It is read before it is known who sends it, so it is no longer than a greeting with
/// an access token and room for fields of later versions.
pub const HELLO_BYTES: usize = 4 * 1024;

/// Fallbacks that a record may name as the owners it is held for: one for each owner of a partition, twice while a layout
/// changes.
pub const HINTED_FOR: usize = 64;

/// A set of at most so many bytes is copied out of the frame that it comes in, instead of holding the frame: below it the copy
/// is cheaper than what it saves.
pub const COPIED_SET_BYTES: usize = 4 * 1024;

/// Increments that a counter holds unfolded, with their operation ids, which it recognises by them: each actor has its share of
/// them, and [`REMEMBERED_EVENTS`] at least. Each write of the counter carries them, 18 bytes or more for each. The shares shrink as
/// actors become more, because nobody may fold what an actor of an earlier run has left: so a counter lives through some 2,000
/// restarts of its coordinators before it fills [`INLINE_VALUE_BYTES`], and with a thousand for each actor it lived through 57.
pub const UNFOLDED_INCREMENTS: usize = 512;

/// Events of one actor whose operation ids a set or a map remembers, and a counter at least: twice the eight later writes within
/// which a retry is promised to be recognised.
pub const REMEMBERED_EVENTS: usize = 16;

/// Elements of a set, or fields of a map, from which on an operation that adds one is refused: so few that two concurrent sets of
/// this size are still one answer.
pub const SET_ELEMENTS: usize = 32_768;

/// Longest element of a set in bytes: like a key, it is a name and no content.
pub const ELEMENT_BYTES: usize = 4 * 1024;

/// Longest name of a field of a map in bytes.
pub const FIELD_NAME_BYTES: usize = 256;

/// Elements or fields that one operation names: as many as a batch has items.
pub const OPERATION_ITEMS: usize = 1_024;

/// Elements of one list in the state of a mergeable value. A state is at most [`INLINE_VALUE_BYTES`] long when it is written, and
/// the join of a few can be longer: this only bounds what is not a state of ours.
pub const STATE_ITEMS: usize = 1 << 24;

/// How far the clock of a coordinator may be from those of a majority of a key's owners, in milliseconds, for it to stamp a write
/// of a `lossy-lww` bucket. Far above what NTP leaves and the time of a question between nodes, far below a wrong hour.
pub const CLOCK_SKEW_MS: u64 = 1_000;
