//! Bounds on everything in the runtime that could grow, each with its reason.

use std::time::Duration;

use crate::limits::MAX_REQUESTS;

/// Events from all peers that wait for the driver. Behind it the connections' own readers wait, and behind those the peers'
/// flow control: overload slows senders down and takes no memory.
pub const PEER_EVENTS: usize = 4_096;

/// Events from all clients that wait for the driver: a place for each request that the gate may let in, so that none waits in
/// front of it, where its session could not read and refuse the next ones; and some for what the gate does not count.
pub const CLIENT_EVENTS: usize = MAX_REQUESTS + 4_096;

/// Events of one kind that the driver takes between two looks at the store and the network, so that none starves the others.
pub const EVENTS_PER_TURN: usize = 256;

/// The same of peers' messages: a put brings each node about four of them for each one that a client sends (two writes for
/// others, and two answers to its own). Were fewer taken, a node would begin what its peers cannot keep up with.
pub const PEER_EVENTS_PER_TURN: usize = 4 * EVENTS_PER_TURN;

/// Requests that all sessions together refuse before the driver gets its turn; from then on each one refuses one at a time. A
/// refusal takes some microseconds, so all of these take a few milliseconds, and those who were let in are answered beside them.
pub const REFUSALS_PER_TURN: usize = 1_024;

/// Requests that come at once from which on more are thought to wait in the sockets: about what a third of the packets holds that
/// an endpoint takes at a time.
pub const CROWD: usize = 32;

/// Times that the connections get their turn in a row while requests come in crowds. Each takes some 50 microseconds of packets
/// from each socket.
pub const READS_PER_TURN: usize = 32;

/// Bytes waiting for one peer. A peer that takes more than a second of a local network to read is better served by the
/// engine's deadline than by more memory: the frame is dropped, and the request that it belongs to ends as timed out.
pub const PEER_PENDING_BYTES: usize = 32 << 20;

/// Requests of one client connection at work, so that one connection does not take all that there is. What comes beyond is
/// answered as overloaded at once.
pub const REQUESTS_PER_CLIENT: usize = kvorum_protocol::limits::REQUESTS_IN_FLIGHT;

/// The longest wait that the gate tells those whom it does not let in: answers that take longer than this say little about
/// when there is room.
pub const RETRY_AFTER_MAX_MS: u32 = 1_000;

/// How long a request may take in a node, from its arrival to its answer, while more come than can be served: above it so
/// many are let in as are answered within it. A few times what two syncs of a slow disk take, a fraction of any deadline.
pub const ADMITTED_WITHIN: Duration = Duration::from_millis(200);

/// Requests that are let in however long answers take: a cluster that waits for a slow disk or a far peer is not
/// overloaded for that, and group commit needs company.
pub const ADMITTED_MIN: usize = 512;

/// Answers from which on is decided whether most of them come in time.
pub const ADMISSION_SAMPLES: u64 = 16;

/// For so long nothing is done about slow answers after letting in fewer requests has made none of them quicker.
pub const ADMISSION_PATIENCE: Duration = Duration::from_secs(10);

/// A client, or the bearers of one token, get no more than half of what may be at work for so long after another one has
/// asked: so that whoever asks but now and then finds room each time.
pub const SHARED_FOR: Duration = Duration::from_secs(1);

/// A request longer than this is counted by its bytes, too. What is shorter is bounded well enough by the number of
/// requests that a node works on, and counting costs something for each.
pub const LARGE_REQUEST_BYTES: usize = 16 << 10;

/// Bytes of all clients' large requests that are arriving or at work; one source may have half. Beyond it a large request
/// is answered as overloaded, and its bytes are thrown away as they arrive.
pub const REQUEST_BYTES: usize = 256 << 20;

/// Bytes of answers that may wait for one client whatever else waits in the node. While so many wait, no more is read from it:
/// some thousand refusals, and little enough times all clients.
pub const UNREAD_FREE_BYTES: usize = 64 << 10;

/// Bytes of answers waiting for one client above which a read is answered as overloaded instead of with its values: the
/// client reads more slowly than it asks, and what it has not read costs memory here.
pub const UNREAD_BYTES_PER_CLIENT: usize = 32 << 20;

/// Bytes of answers waiting for all clients above which the same holds for all; one source may have half.
pub const UNREAD_BYTES: usize = 256 << 20;

/// A frame that has begun arrives as a whole within this, or the connection is closed: who sends a byte now and then would
/// hold the memory of a frame for ever. The longest frame needs 4 Mbit/s.
pub const FRAME_WITHIN: Duration = Duration::from_secs(30);

/// A client takes what is written to it within this, or the connection is closed: who does not read would hold its unread
/// answers for ever.
pub const READ_WITHIN: Duration = Duration::from_secs(30);

/// A client's TCP connection is probed after being silent for so long: often enough that the places of machines that lost
/// their power come back, seldom enough to cost nothing. (QUIC has its own.)
pub const CLIENT_PROBED_AFTER: Duration = Duration::from_secs(60);

/// Time between two probes; after the system's usual few without an answer the connection is lost.
pub const CLIENT_PROBED_EVERY: Duration = Duration::from_secs(10);

/// Client connections, as far as the process may open so many files; one source may have half. Each costs a few tens of KiB
/// idle.
pub const CLIENTS: usize = 4_096;

/// When a client that found no place may come again.
pub const PLACE_RETRY_AFTER_MS: u32 = 1_000;

/// Files that a process needs for everything else than its clients: segments, the index, peers, strangers.
pub const OTHER_FILES: u64 = 2_048;

/// Handshakes under way at once, for each port: each costs a few tens of KiB until it has ended.
pub const HANDSHAKES: usize = 512;

/// Of these from one source, so that one machine does not keep the others out.
pub const HANDSHAKES_PER_SOURCE: usize = 256;

/// Connections that are accepted before all others get their turn. A handshake costs a few hundred microseconds of CPU, and
/// a flood of them must not hold up established connections; it waits in the kernel's queue.
pub const ACCEPTED_PER_TURN: u64 = 4;

/// Bytes that a client's QUIC connection may have under way in each direction: what a fast network has in flight, and
/// little enough times all clients.
pub const CLIENT_WINDOW_BYTES: u32 = 1 << 20;

/// Bytes of first packets that wait in a QUIC endpoint until somebody looks at their connection.
pub const INCOMING_BYTES: u64 = 4 << 20;

/// From the first packet of a connection to the end of its greeting.
pub const GREETING_WITHIN: Duration = Duration::from_secs(5);

/// How long a refused client's connection over QUIC stays open so that the refusal arrives: a few round trips of any network.
pub const REFUSAL_WITHIN: Duration = Duration::from_millis(500);

/// Length of a greeting between nodes: two numbers and two names.
pub const GREETING_BYTES: usize = 4_096;

/// Bytes asked of the kernel for each UDP socket and direction: about what a local network delivers in the tens of
/// milliseconds for which a busy process may not read.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// One attempt to connect. Packets to a process that is not there yet are lost in silence; a fresh attempt finds it
/// sooner than the old one's growing retransmission times.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// Shortest wait between two attempts to connect.
pub const RECONNECT_MIN: Duration = Duration::from_millis(50);

/// Longest wait between two attempts to connect.
pub const RECONNECT_MAX: Duration = Duration::from_secs(1);

/// A connection that hears nothing for so long is lost. Shorter would mistake a pause of a busy machine for death.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// An idle connection sends something so often, and a lost packet or three do not end it.
pub const KEEP_ALIVE: Duration = Duration::from_millis(600);

/// How long an earlier process with a node's id has to show that it lives when another one turns up: two keep-alives and
/// some. Without it a node that was killed and started again would wait for the idle timeout of its own dead connections.
pub const PROOF_OF_LIFE: Duration = Duration::from_millis(1_300);

/// A node that has been told for so long that another process has its id gives up. Long enough for the peers to notice
/// that a killed process of this very node is gone.
pub const DUPLICATE_FOR: Duration = Duration::from_secs(12);

/// Jobs queued to one store worker thread. The shard keeps few under way; more would only hide a slow disk from it.
pub const WORKER_JOBS: usize = 1_024;

/// Finished jobs that wait for the driver.
pub const DONE_JOBS: usize = 4_096;

/// Threads that read records from the log.
pub const READERS: usize = 2;

/// A stop waits so long for requests under way and for the store to close.
pub const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A stop waits so long for connections to take what is pending: a client that does not read must not hold it up.
pub const WRITE_OUT_WITHIN: Duration = Duration::from_millis(500);

/// Connections to the admin port that are served at a time: scrapers are few, and each asks once.
pub const ADMIN_CONNECTIONS: usize = 8;

/// Questions from the admin port that wait for the driver.
pub const ADMIN_QUESTIONS: usize = 8;

/// How long a request at the admin port may take, from the end of its handshake to the end of the answer.
pub const ADMIN_WITHIN: Duration = Duration::from_secs(5);

/// A fault of one certificate is told in the log so often while it lasts: often enough to be seen, seldom enough to be read.
pub const FAULT_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Faults that are told within that time, so that strangers cannot fill a disk with the log.
pub const FAULTS_TOLD: usize = 64;

/// The certificate files are looked at so often: a renewed one is in use within two looks, and a look costs three reads
/// of small files.
pub const CREDENTIALS_LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// After a failed accept on the admin port, so that the loop does not spin.
pub const ADMIN_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a request's head at the admin port. A scraper sends a few hundred.
pub const ADMIN_HEAD_BYTES: usize = 8 << 10;

/// Warnings and errors that are remembered for a diagnosis: enough to see how trouble began, few enough to read.
pub const RECENT_EVENTS: usize = 50;

/// Bytes of one remembered warning or error.
pub const RECENT_EVENT_BYTES: usize = 1_024;
