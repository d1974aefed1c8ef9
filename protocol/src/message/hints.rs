//! What a node holds for owners that were away, and whether it hands that over.

use kvorum_ring::NodeId;

crate::wire_struct! {
    /// Asks a node what it holds for owners that were away, and may stop or resume its handing that over.
    #[derive(Copy)]
    pub struct HintsAsk {
        /// True keeps everything back from now on, until the node is told otherwise or starts again; false hands it over, at
        /// once; nil leaves it as it is.
        pub paused: Option<bool>,
    }
}

crate::wire_struct! {
    /// What a node holds for one owner.
    pub struct TargetHints {
        /// The owner.
        pub node: NodeId,
        /// Its name.
        pub name: String,
        /// Whether the answering node believes it up.
        pub up: bool,
        /// Keys.
        pub keys: u64,
        /// Bytes that they take, in the log and in memory, about.
        pub bytes: u64,
        /// Those that count as copies, because too few owners have them.
        pub bearing: u64,
        /// Milliseconds for which the oldest has been there, since the node started.
        pub oldest_ms: u64,
    }
}

crate::wire_struct! {
    /// What a node holds for owners that were away. Counters count from its start.
    pub struct HintsDone {
        /// It is told to keep everything back.
        pub paused: bool,
        /// Keys, each once, for however many owners it is held.
        pub keys: u64,
        /// Those of them of which it is not known yet since the start whom they are for.
        pub unread: u64,
        /// Those of them that count as copies.
        pub bearing: u64,
        /// Bytes that those take, about.
        pub bearing_bytes: u64,
        /// Bytes that the others take.
        pub spare_bytes: u64,
        /// Handed over.
        pub delivered: u64,
        /// Dropped for their age; enough owners had them.
        pub dropped: u64,
        /// Those that would have counted as copies and were not taken, because there was no room.
        pub refused: u64,
        /// Given up because their bytes are damaged (enough owners had them), or found to be missing in a damaged log.
        pub damaged: u64,
        /// For whom, ascending by id. A key that is held for several stands with each; one that is unread or unreadable with none.
        pub targets: Vec<TargetHints>,
        /// Keys whose record could not be read when it was wanted. It is tried again, and given to nobody until then.
        pub unreadable: u64 = 0,
        /// Bytes that unread ones take, and unreadable ones of which it is not known whether they count as copies.
        pub unread_bytes: u64 = 0,
        /// Those that need not count as copies and were not taken, because there was no room.
        pub spare_refused: u64 = 0,
    }
}
