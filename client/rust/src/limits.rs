//! Bounds on everything in this crate that could grow or last, each with its reason.

use std::time::Duration;

/// Requests in flight on one connection when nobody says: as many as a node works on at a time. Beyond it a request waits for
/// its place within its own deadline.
pub const IN_FLIGHT: usize = kvorum_protocol::limits::REQUESTS_IN_FLIGHT;

/// The most of them that anybody may ask for: some ten MiB of requests that wait for answers.
pub const IN_FLIGHT_MAX: usize = 100_000;

/// Frames that wait for the writer of one connection. Small, because a frame waits better with its request, where the
/// deadline is watched, than in a queue that nobody looks into.
pub const WRITE_QUEUE: usize = 128;

/// Bytes that are gathered before they are written: many small frames leave in one system call, and none waits for more.
pub const WRITE_BATCH_BYTES: usize = 64 * 1024;

/// Room made for received bytes at a time: many small answers arrive with one system call, and a value that is kept holds no
/// more memory than this beside its own.
pub const READ_BYTES: usize = 16 * 1024;

/// How long opening one connection may take, handshake included. On a LAN it takes milliseconds; a node that needs
/// longer is better passed over, because others can coordinate.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// How long a transport is waited for while another one could be tried instead: a UDP port that nobody serves says nothing.
pub const OTHERWISE_PATIENCE: Duration = Duration::from_millis(700);

/// How long a node that could not be reached is passed over before it is tried again. Short enough to notice a restart
/// within a request's deadline, long enough not to pay a failed connect with every request.
pub const UNREACHABLE_REST: Duration = Duration::from_millis(500);

/// How long a connection must say nothing, with a request waiting, before its node is left alone. Shorter waits prove
/// nothing about the node.
pub const SILENCE: Duration = Duration::from_millis(300);

/// How long is listened once more before a connection is called silent: for all that has come while this process did not
/// get a processor, to be read through every task on its way.
pub const LAST_LOOK: Duration = Duration::from_millis(10);

/// How long a node that hangs is passed over. Longer than [`UNREACHABLE_REST`], because finding out that it still hangs
/// costs a request half of its deadline.
pub const SILENT_REST: Duration = Duration::from_secs(2);

/// How long one node is waited for when the topology is asked for again: another one can tell it too.
pub const TOPOLOGY_PATIENCE: Duration = Duration::from_millis(500);

/// First pause between two attempts of one request.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(20);

/// Longest pause between two attempts. A deadline is seconds, so a longer pause would waste it.
pub const BACKOFF_LONGEST: Duration = Duration::from_millis(1_000);

/// Attempts of one request. A bound beside the deadline: a server that refuses within microseconds must not be asked
/// ten thousand times.
pub const ATTEMPTS: u32 = 16;

/// Age at which the topology is asked for again before the next request. Owners change rarely, and a wrong first choice
/// costs one forward, not a failure.
pub const TOPOLOGY_AGE: Duration = Duration::from_secs(30);

/// Shortest time between two questions for the topology, whatever the errors: a cluster in trouble is not asked more.
pub const TOPOLOGY_PAUSE: Duration = Duration::from_millis(200);

/// Bytes asked of the kernel for what arrives at a UDP socket: what a local network delivers in the tens of milliseconds for
/// which a busy process may not read. What does not fit is lost, and lost packets slow a connection down.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// How often an idle QUIC connection shows that it is alive.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// After how long without a sign a QUIC connection is given up.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// How much longer than a request's own deadline we wait for its answer: the server's answer "outcome unknown" says
/// more than our own clock does.
pub const ANSWER_GRACE: Duration = Duration::from_millis(250);

/// Nodes that a client knows: as many as a layout can have.
pub const NODES: usize = kvorum_ring::limits::MAX_MEMBERS;
