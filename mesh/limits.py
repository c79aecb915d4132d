"""Every bound in one place; relations between them are asserted at import.

A peer can make us hold, parse or wait for nothing beyond these. Units are in the names.
"""

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# -- wire ---------------------------------------------------------------------------------------
FRAME_BYTES_MAX = 4 * MIB
"""One message on a peer stream. Blobs travel as raw chunks, so only batches need this much."""
DATAGRAM_BYTES_MAX = 1200
"""Below every real-world MTU, IPv6's minimum of 1280 included."""
CBOR_DEPTH_MAX = 16
CBOR_ITEMS_MAX = 400_000
TEXT_BYTES_MAX = 64 * KIB
NAME_BYTES_MAX = 64

# -- membership ---------------------------------------------------------------------------------
DATAGRAM_SEAL_BYTES = 44
"""What sealing adds to a datagram: header 23, box tag 16, the receiver's epoch 5."""
DATAGRAM_DRAIN_MAX = 1024
"""Waiting datagrams read before timers may fire: more than a socket buffer holds of them."""
SWIM_REPLAY_WINDOW = 2048
"""Datagrams of one peer that may overtake each other."""
SWIM_RELAYS_MAX = 256
"""Pings under way on behalf of others."""
SWIM_PINGS_MAX = 1024
"""Own pings whose ack would still be timed."""
SWIM_PROBES_MAX = 64
"""Own probes that are being judged at once; beyond, members are watched a round later."""
SWIM_REFUSABLE_MAX = 1024
"""Own datagrams that a port unreachable may still quote."""
SWIM_REFUSAL_S = 3.0
"""How long after it left; ICMP takes one round trip."""
SWIM_PROOFS_PER_S_MAX = 64
"""Signatures that say "I am here" to those who asked through others: five helpers of a dozen."""
SWIM_VIGIL_ASKERS_MAX = 8
"""Members that one vigil reports to."""
SWIM_SEEDS_MAX = 1024
"""Members that are tried until each has answered: all that are remembered on disk."""
SWIM_SEEDS_AT_ONCE = 16
"""Of them those that are tried at once; the others wait for the budget of the lost."""
SWIM_SYNC_DATAGRAMS_MAX = 8
"""Packets that one step of table repair may send."""
SWIM_NOTICE_INTERVAL_S = 0.1
"""At most one 'my epoch is E' per peer in this time."""
SWIM_RESEND_S = 2.0
"""A datagram that named a wrong epoch is repeated once if its correction comes within this."""
SWIM_VERIFIED_MAX = 8192
"""Signatures of statements whose check is remembered."""
SWIM_RANKINGS_MAX = 512
"""Members whose observers are remembered."""
SWIM_SETTLE_S = 30.0
"""While a node is this new, members it knows nothing of count as present: it cannot be told that
everybody who matters is gone."""
SWIM_CHARGES_MAX = 16
"""Charges held against one member."""
SWIM_OTHER_CHARGES_MAX = 4
"""Of them by members that are not its observers: enough to make these look."""
SWIM_CERTIFICATE_MAX = 5
"""Votes that are passed on with a verdict; more than any quorum, and they fit one datagram."""
SWIM_PACE_MAX = 4096
"""Pairs of accuser and subject whose last charge is remembered, so that none comes too often."""
SWIM_LETTERS_MAX = 1024
"""Letters of one step of the core; a verdict writes at most SWIM_VERDICT_LETTERS_MAX."""
SWIM_VERDICT_LETTERS_MAX = 32
"""Members that each voter tells of a verdict directly; in bigger meshes gossip tells the rest."""
SWIM_LIAR_QUIET_S = 10.0
"""So long nothing is taken from who passed on a statement with a bad signature."""
SWIM_FUTILE_REPAIR_S = 30.0
"""Longest pause between repairs with a peer whose table they do not make equal."""
SWIM_RENEWALS_MAX = 16
"""Records of one member taken within a second; each makes everybody check a signature."""
SWIM_OUTDONE_MAX = 16
"""Times that one start moves above an epoch that it had forgotten."""
SWIM_HISTORY_MAX = 32
"""Lines kept of what happened to one member."""
SWIM_TOMBSTONES_MAX = 4096
"""Former members whose last record is remembered..."""
SWIM_TOMBSTONE_S = 86_400.0
"""... for this long."""
PEERS_FILE_MAX = 1024
"""Addresses of members remembered across a restart."""
DISCOVERY_QUEUE_MAX = 256
"""Announcements not yet taken by a browsing task; beyond, new ones are dropped and counted."""

# -- identity -----------------------------------------------------------------------------------
ROSTER_RECORDS_MAX = 20_000
CERTIFICATE_BYTES_MAX = 2 * KIB
TOKEN_BYTES_MAX = 4 * KIB
RECORD_BYTES_MAX = 12 * KIB
"""One admission record with its signature."""
ROSTER_LEAVES_RESERVED = 2_000
"""Room in the roster that only removals may take: a full mesh can still shut somebody out."""
ROSTER_ORPHANS_MAX = 1_024
"""Records kept until the record they refer to arrives."""
LEAVE_ENTRIES_MAX = 448
"""Records that one removal can name; at 17 bytes each they must fit RECORD_BYTES_MAX."""
LEAVE_CUT_MAX = 64
"""Feeds of which one removal keeps something; at 54 bytes each they must fit as well."""
TOKEN_ADDRESSES_MAX = 4
JOIN_PENDING_MAX = 32
"""Strangers waiting for approval at one node."""
JOIN_CONNECTIONS_MAX = 16
"""Strangers talking to one node's join door at once, those who wait for approval not counted."""
JOIN_TIMEOUT_S = 600.0
JOIN_MESSAGE_TIMEOUT_S = 20.0
"""Silence after which a join conversation is given up (waiting for approval has its own bound)."""
JOIN_FRAME_BYTES_MAX = 16 * KIB
"""One message of a stranger: all of them are small, so none may make us hold more."""
JOIN_BATCH_BYTES_MAX = MIB
"""Records sent to a joiner in one message."""
JOIN_PEERS_MAX = 64
JOIN_DOORS_MAX = 32
"""Addresses a joiner tries."""
CODES_OPEN_MAX = 16
CODE_SLOTS = 99
"""Slot numbers of codes go round from 1 to this, so that a used number is not soon used again."""

# -- streams ------------------------------------------------------------------------------------
CONNECT_TIMEOUT_S = 10.0
HANDSHAKE_TIMEOUT_S = 10.0
HANDSHAKES_MAX = 64
"""TLS handshakes under way at one listener; connections beyond are closed at once."""
CLOSE_TIMEOUT_S = 2.0
KEEPALIVE_EVERY_S = 5
KEEPALIVE_TRIES = 3
"""A stream whose other machine answers nothing for about 20 s is closed by the kernel."""

# -- serial lines -------------------------------------------------------------------------------
SERIAL_OPEN_TIMEOUT_S = 5.0
"""A driver that takes longer is stuck."""

# -- actions ------------------------------------------------------------------------------------
PATH_BYTES_MAX = 4096
ARGV_MAX = 16_384
ENV_MAX = 512
TREE_ENTRIES_MAX = 200_000
OUTPUTS_MAX = 10_000
SHARDS_MAX = 100_000
MOUNTS_MAX = 16

# -- planning -----------------------------------------------------------------------------------
PROJECT_FILE_BYTES_MAX = 4 * MIB
"""One vitte-dist.toml, package manifest or test list."""
NINJA_FILE_BYTES_MAX = 512 * MIB
NINJA_INCLUDE_DEPTH_MAX = 64
PROJECT_SEARCH_DEPTH_MAX = 64
"""Folders looked at upwards for a project file, and folders of a nested git tree."""
PROBE_TIMEOUT_S = 30.0
"""Short questions to tools: `git ls-files`, `ninja --version`, `cc -print-search-dirs`."""
SCAN_TIMEOUT_S = 120.0
"""One dependency scan (`cc -M`) on a busy machine."""
SCAN_OUTPUT_BYTES_MAX = 16 * MIB
SCAN_READS_MAX = 50_000
"""Headers one translation unit may read before its scan is not kept."""
INCLUDE_FILE_BYTES_MAX = 16 * MIB
"""Sources and headers larger than this are left to the compiler's own scan."""
INCLUDE_TEXTS_MAX = 50_000
"""Files whose `#include` directives a node remembers."""
LINKS_FOLLOWED_MAX = 40
"""Symbolic links followed on the way to one input, as the kernel's own limit."""
SHELL_DEPTH_MAX = 8
"""`sh -c` within `sh -c`, launchers before launchers."""

# -- execution ----------------------------------------------------------------------------------
OUTPUT_LOG_BYTES_MAX = 8 * MIB
"""stdout and stderr kept of one shard; what is beyond is counted and dropped, and said so."""
OUTPUT_FILES_BYTES_MAX = 4 * GIB
SHARD_TIMEOUT_DEFAULT_S = 3600.0
KILL_GRACE_S = 2.0
EXEC_THREADS_MAX = 8
"""Blocking calls (hashing, copying) that run at once in worker threads."""
LAUNCHER_PACKET_BYTES_MAX = 128 * KIB
"""Below Linux's default socket buffer; larger requests travel in a memfd."""

# -- blobs --------------------------------------------------------------------------------------
BLOB_CHUNK_BYTES = 256 * KIB
BLOB_BYTES_MAX = 64 * GIB
MANIFEST_CHUNKS_MAX = 8192
"""Chunks named by one page of a manifest; above that, two levels."""
MANIFEST_PAGE_BYTES_MAX = 320 * KIB
INLINE_BLOB_BYTES_MAX = 16 * KIB
"""Blobs up to this size ride inside grants and results and save a round trip."""
INLINE_GRANT_BYTES_MAX = 256 * KIB
INLINE_BLOBS_MAX = 4096
INLINE_BLOB_FRAME_BYTES = 80
"""What each of them counts for besides its bytes, so that many tiny ones are bounded too."""
BLOB_REQUEST_MAX = 4096
"""Digests asked for in one request."""
BULK_STREAMS_SERVED_MAX = 8
"""Bulk streams that one peer may have open to us."""
STRUCT_BYTES_MAX = 64 * MIB
"""A tree or a toolchain as a blob."""

# -- blobs from several holders, and their copies -------------------------------------------------
FETCH_WINDOW_CHUNKS_MAX = 64
"""Chunks that one holder was asked for and has not sent yet: 16 MiB."""
FETCH_SOURCES_MAX = 8
"""Holders that one blob is fetched from at a time."""
FETCH_CHUNKS_PER_SOURCE = 8
"""A further holder is worth a stream for so many chunks."""
FETCH_BLOCK_CHUNKS = 4096
"""Missing chunks that are chosen from at once: 1 GiB."""
FETCH_LARGE_AT_ONCE = 2
"""Large blobs that one call fetches at a time: the end of one overlaps with the next."""
HAVE_BYTES_MAX = BLOB_BYTES_MAX // BLOB_CHUNK_BYTES // 8
"""A bit for each chunk."""
SWARM_TOLD_MAX = 16
"""Members that one is told of as fetching the same blob."""
SWARM_BLOBS_MAX = 256
"""Blobs of which it is remembered who fetches them."""
COPIES_DEFAULT = 2
COPIES_PINNED = 3
COPIES_MAX = 15
COPIES_NEEDED_MAX = 1_000_000
"""Blobs of which copies are kept: about 150 bytes of memory each."""
COPIES_OFFER_MAX = 1024
"""Blobs that one peer is asked to keep in one message."""
COPIES_OFFERED_MAX = 8192
"""Offers that wait to be fetched; what is beyond is offered again."""
COPIES_GRACE_S = 30.0
"""A copy may be away for so long, as during a restart, before another one is made."""
COPIES_BYTES_PER_S = 32 * MIB
"""What making copies may take of the network."""
COPIES_LOOK_EVERY_S = 2.0
COPIES_LOOK_BLOBS = 2048
"""Blobs looked at per look: the loop is not held up by a large cache."""
COPIES_OFFER_AGAIN_S = 60.0
"""An offer that had no effect in this time is made again, perhaps to somebody else."""
COPIES_FETCHES_AT_ONCE = 2
"""Copies that are being made for others at a time."""
HOLDINGS_PREFIXES_PER_MESSAGE = 65_536
HOLDINGS_PREFIXES_MAX = 1_000_000
"""Blobs that all peers together may say they hold; each costs about 150 bytes of memory."""

# -- the node's log -----------------------------------------------------------------------------
NODE_LOG_BYTES_MAX = 8 * MIB
"""`node.log` becomes `node.log.1` when it is longer; one old file is kept."""

# -- local stores ---------------------------------------------------------------------------------
FILE_HASHES_MAX = 400_000
"""Digests of project files remembered between runs; the oldest are dropped."""

BLOB_MEMORY_BYTES_MAX = 64 * MIB
"""Small blobs kept in memory."""
SMALL_BLOB_BYTES_MAX = 64 * KIB
PACK_BYTES_MAX = 64 * MIB
"""Of one file that holds many small blobs; about what a start may have to read again."""
PACKED_BLOBS_MAX = 2_000_000
"""Small blobs of one store: each costs about 200 bytes of memory."""
PARTIAL_BLOBS_MAX = 64
"""Fetches that a crash or a lost peer has interrupted, and that can be gone on with."""
BAD_BLOBS_MAX = 64
"""Damaged blobs kept for inspection; the oldest go."""
SCRUB_STEP_BYTES = 64 * MIB
"""Read at a time, when nothing else is to be done."""
SCRUB_FIRST_S = 600.0
SCRUB_PASS_EVERY_S = 86_400.0
"""Everything on the disk is read again this often."""
BLOB_PINS_MAX = 100_000
CACHE_LS_MAX = 100_000
"""Blobs in one list for people."""
PIN_LABEL_BYTES_MAX = 256
MANIFEST_MEMORY_BYTES_MAX = 32 * MIB
"""Chunk digests of large blobs kept in memory."""
BLOB_USES_MAX = 1_000_000
"""Blobs of which is remembered when they were last used."""
BLOB_USES_KEPT = 200_000
"""The same over a restart, 8 bytes each."""
BLOB_SOURCES_MAX = 400_000
"""Project files that back blobs without having been copied."""

# -- log ----------------------------------------------------------------------------------------
LOG_FRAME_EVENTS_MAX = 256
LOG_FRAME_DELAY_S = 0.05
"""How long an event waits for others to share its frame's signature."""
LOG_EVENT_BYTES_MAX = 60 * KIB
"""One event; what is larger is a blob, and the event names it."""
LOG_BODY_BYTES_MAX = 256 * KIB
"""The events of one frame."""
LOG_HEADER_BYTES_MAX = 256
LOG_SEQ_MAX = 2**48
"""Events of one feed: 100 000 a second for ninety years."""
LOG_HEADERS_BATCH_MAX = 256
"""Headers, newest first, that one signature vouches for: what a peer can make us hold before they
are joined to what we know."""
LOG_NODES_MAX = 4096
"""Writers whose feeds are kept."""
LOG_FEEDS_PER_NODE_MAX = 256
"""Feeds of one writer: 64 starts of a process that never got to write a checkpoint."""
LOG_FEED_FRAMES_MAX = 2**20
"""Headers of one feed that are kept."""
LOG_FEED_ROTATE_FRAMES = LOG_FEED_FRAMES_MAX // 2
"""When a writer goes on in another epoch by itself: nobody takes more than the above of a feed."""
LOG_ORPHANS_MAX = 1024
"""Frames that came before the one they follow..."""
LOG_ORPHANS_PER_NODE_MAX = 64
"""... of one writer..."""
LOG_ORPHAN_BYTES_PER_NODE_MAX = MIB
"""... and their bodies."""
LOG_COVERS_MAX = 1024
"""Feeds that one checkpoint covers: every epoch in which its writer ever wrote on that lane."""
LOG_COVERS_PER_FEED_MAX = 4
"""Checkpoints that are remembered for one feed; the newest that fits its history is in force."""
LOG_DISPUTED_FRAMES_MAX = 64
"""Frames kept as evidence of a feed that was signed twice, beyond where it forks."""
LOG_EPOCHS_BEFORE_CHECKPOINT = 8
"""Own epochs; with more, the next checkpoint is due."""
LOG_SEGMENT_BYTES = 16 * MIB
"""A segment file that has grown so far is closed and the next begun."""
LOG_UNWRITTEN_BYTES_MAX = 64 * MIB
"""Of the log in memory because the disk has not taken it; then our own events are refused..."""
LOG_UNWRITTEN_OTHERS_BYTES_MAX = 48 * MIB
"""... and those of others before: they have them, and bring them again."""
LOG_UNWRITTEN_LINE_BYTES = 512
"""What one record costs there besides its bytes."""
LOG_RECORD_BYTES_MAX = 512 * KIB
"""One record in a segment."""
LOG_BUFFER_DEFAULT_MB = 512
"""`max_buffer_size_mb`: bodies kept on disk..."""
LOG_BUFFER_DEFAULT_HOURS = 72
"""`max_buffer_age_hours`: ... and how long after they arrived."""

# -- the shared state of a node -------------------------------------------------------------------
FRESH_RESULTS_MAX = 4096
"""Results whose events are on their way: what a run makes in the moment that takes."""
K_ATTEST_MAX = 64
"""Builders that a policy may ask to agree."""
PIN_REGISTERS_MAX = 4096
"""Pins that one node tells the mesh of."""
STATE_RUNS_KEPT = 4096
"""Runs that our checkpoints keep; what happened in older ones stays in the chain of headers."""
RECORD_BLOB_BYTES_MAX = FRAME_BYTES_MAX
"""The record of one result."""
STATE_SLICE_ROWS = 1024
"""Results that one turn of the event loop looks at when there is much to look at: 5 to 20 ms."""
STATE_CHECKPOINT_EVENTS = 20_000
"""Own events on a lane after which a checkpoint takes their place: about two megabytes."""
STATE_BLOB_BYTES_MAX = 256 * MIB
"""The state that a checkpoint names: two million results of actions."""

# -- sync ----------------------------------------------------------------------------------------
SYNC_FANOUT = 3
"""Peers to which a fresh frame goes at once; each hands on what was new to it."""
SYNC_PUSH_BYTES_MAX = 256 * KIB
"""Bodies in one push; frames beyond travel as headers, and their bodies are asked for."""
SYNC_PUSH_FRAMES_MAX = 256
SYNC_BODIES_BYTES = 512 * KIB
"""Bodies asked for at a time; an answer ends with the first that is too much."""
SYNC_BODIES_MAX = 256
"""Bodies in one answer."""
SYNC_IN_FLIGHT_MAX = 4
"""Questions to one peer that may wait for their answer."""
SYNC_TIMEOUT_S = 5.0
"""A question that nobody has answered for so long is put to somebody else."""
SYNC_GONE_RETRY_S = 10.0
"""A peer that has not the events of a frame is asked for them again so much later."""
SYNC_QUESTIONS_PER_NEED_MAX = 64
"""Questions about one feed that brought nothing: a search among 2**20 frames takes 21."""
SYNC_BLAME_MAX = 3
"""So many lies or silences in a row and a peer is not asked for a while..."""
SYNC_AVOID_S = 30.0
"""... namely so long; twice as long each further time, up to..."""
SYNC_AVOID_MAX_S = 600.0
SYNC_SERVED_BYTES_PER_S = 32 * MIB
"""Answered to one peer; questions beyond are dropped, and it asks again later."""
SYNC_SERVED_BURST_BYTES = 64 * MIB
SYNC_ASKED_PER_S = 400
"""Messages of one peer that are looked at; each names at most SYNC_SECTIONS_MAX writers."""
SYNC_ASKED_BURST = 4000
SYNC_DIGEST_EVERY_S = 1.0
"""How often one peer is told our digest, besides the pings that carry it."""
SYNC_COMPARE_EVERY_S = 0.2
"""Two peers compare their writers at most so often."""
SYNC_SECTIONS_MAX = 4096
"""Writers in one message."""
SYNC_SECTION_FEEDS_MAX = 512
"""Feeds of one writer in one message."""
SYNC_NEEDS_MAX = 16_384
"""Feeds in which one peer is known to be ahead of us."""
SYNC_PROOFS_MAX = 64
"""Fork proofs in one message."""

# -- scheduling ---------------------------------------------------------------------------------
GRANT_SHARDS_MAX = 64
LEASES_MAX = 65_536
RUN_OUTPUT_BYTES_MAX = 16 * MIB
"""Shards' output kept of one run for `logs`."""
RUNS_KEPT_MAX = 50
"""Finished runs whose records stay on disk."""
SHARD_TRACES_MAX = 64
"""Lines of one shard's story."""
EVENTS_BUFFERED_MAX = 4096
"""Events kept for one slow subscriber before it is told to resynchronise."""

# -- control socket -----------------------------------------------------------------------------
CONTROL_REQUEST_BYTES_MAX = 8 * MIB
"""One request line. The largest is a run: it carries the caller's environment and command."""
CONTROL_REQUEST_TIMEOUT_S = 10.0
CONTROL_CONNECTIONS_MAX = 128
CONTROL_BUFFER_BYTES_MAX = 16 * MIB
"""Lines kept for one slow client, beside EVENTS_BUFFERED_MAX: whichever comes first."""
CONTROL_DRAIN_S = 10.0
"""How long a client may take to read what is left once its operation has ended."""
CONTROL_REPLY_BYTES_MAX = 256 * MIB
"""One line of an answer; only the command line reads these, from a node of the same user."""

# -- shared state ---------------------------------------------------------------------------------
EVENT_FEEDS_MAX = 256
"""Feeds that one event names: all that one node may have (LOG_FEEDS_PER_NODE_MAX)."""
EVENT_CONSUMED_MAX = 900
"""Results that one derivation names, at 17 bytes each; an action with more writes several."""
EVENT_SUPERSEDES_MAX = 128
EVENT_TARGETS_MAX = 64
EVENT_KEY_BYTES_MAX = 128
EVENT_VALUE_BYTES_MAX = 4 * KIB
EVENT_HOST_BYTES_MAX = 64
EVENT_LABEL_BYTES_MAX = 256
EVENT_MS_MAX = 2**31 - 1
"""24 days."""
EVENT_SHARDS_MAX = 64
"""Executed shards that share an event."""
EVENT_WALL_MS_MAX = 2**42
"""Beyond the year 2100: dates that can still be shown."""
EVENT_COPIES_MAX = 64
STATE_BYTES_MAX = GIB
"""The state in one checkpoint."""
STATE_CHUNK_EVENTS = 1024
"""Kept events of a state that are decoded at once."""
STATE_CHUNKS_MAX = 8192

# -- leaves -------------------------------------------------------------------------------------
LEAF_LINES_MAX = 128
"""Lines to leaves that one node attends to."""
LEAVES_HEARD_MAX = 1024
"""Leaves of other gateways that are remembered."""
LEAF_EVENTS_KEPT_MAX = 50_000
"""Events of one leaf that its gateway keeps in the mesh's state; it lets the oldest go."""
LEAF_EVENTS_LET_GO = LEAF_EVENTS_KEPT_MAX // 4
"""So many more may come before it does, in one checkpoint."""
LEAF_STARTS_KEPT_MAX = 64
"""Starts of one leaf of which a gateway goes on speaking."""
LEAF_ENTRY_EVENTS_MAX = 1024
"""Events of a leaf in one event of the log."""
LEAF_WAITING_BYTES_MAX = 4 * MIB
"""Events of one leaf that wait on a gateway's disk for the log: a quarter of a million. Then they
wait in the leaf."""
LEAF_WAITING_DROP_BYTES = 32 * KIB
"""Its file is written anew, without what waits no more, when it is that large."""
LEAF_PACKAGE_BYTES_MAX = 2176
"""A signed program, as large as a leaf's slot."""
LEAF_DEPLOYS_MAX = 32
"""Deploys that one node carries out, or waits for, at once."""
LEAF_QUESTIONS_MAX = 64
"""Questions of one leaf that wait for their answer."""
LEAF_ANSWER_S = 60.0
"""How long the command that answers a question may take."""
LEAF_SOURCE_BYTES_MAX = 256 * KIB
"""Rule files of one deploy together."""

TOOLS_TOLD_MAX = 8
"""Toolchains that a node says it has: those of its last shards."""

# -- local clusters -----------------------------------------------------------------------------
LOCAL_NODES_MAX = 64
"""`vitte dist start --nodes N` on one machine."""

assert CONTROL_BUFFER_BYTES_MAX < CONTROL_REPLY_BYTES_MAX
assert INLINE_GRANT_BYTES_MAX // INLINE_BLOB_FRAME_BYTES + 2 < INLINE_BLOBS_MAX
assert INLINE_BLOB_BYTES_MAX <= INLINE_GRANT_BYTES_MAX < FRAME_BYTES_MAX
assert INLINE_BLOB_BYTES_MAX <= SMALL_BLOB_BYTES_MAX < BLOB_MEMORY_BYTES_MAX
assert SMALL_BLOB_BYTES_MAX <= BLOB_CHUNK_BYTES, "what is in a pack has one chunk"
assert TREE_ENTRIES_MAX <= BLOB_SOURCES_MAX
assert TREE_ENTRIES_MAX <= FILE_HASHES_MAX
assert BLOB_CHUNK_BYTES < FRAME_BYTES_MAX
assert MANIFEST_CHUNKS_MAX * 34 + 32 < MANIFEST_PAGE_BYTES_MAX < FRAME_BYTES_MAX
assert BLOB_BYTES_MAX <= BLOB_CHUNK_BYTES * MANIFEST_CHUNKS_MAX**2, "two levels are enough"
assert FETCH_WINDOW_CHUNKS_MAX <= MANIFEST_CHUNKS_MAX
assert HAVE_BYTES_MAX + KIB < FRAME_BYTES_MAX
assert 8 * HOLDINGS_PREFIXES_PER_MESSAGE + KIB < FRAME_BYTES_MAX
assert 48 * COPIES_OFFER_MAX + KIB < FRAME_BYTES_MAX
assert COPIES_DEFAULT <= COPIES_PINNED <= COPIES_MAX
assert DATAGRAM_BYTES_MAX < 1280
assert 17 * LEAVE_ENTRIES_MAX + 54 * LEAVE_CUT_MAX + 512 < RECORD_BYTES_MAX
assert CERTIFICATE_BYTES_MAX + 1024 < RECORD_BYTES_MAX < JOIN_FRAME_BYTES_MAX
assert ROSTER_LEAVES_RESERVED < ROSTER_RECORDS_MAX
assert JOIN_BATCH_BYTES_MAX + RECORD_BYTES_MAX < FRAME_BYTES_MAX
assert 17 * EVENT_CONSUMED_MAX + 64 < LOG_EVENT_BYTES_MAX
assert 54 * EVENT_FEEDS_MAX + 128 < LOG_EVENT_BYTES_MAX
assert 54 * LOG_COVERS_MAX + 128 < LOG_EVENT_BYTES_MAX < 1 << 16
assert 54 * EVENT_SUPERSEDES_MAX + EVENT_VALUE_BYTES_MAX + 512 < LOG_EVENT_BYTES_MAX
assert EVENT_FEEDS_MAX >= LOG_FEEDS_PER_NODE_MAX
assert 12 * LEAF_ENTRY_EVENTS_MAX + 128 < LOG_EVENT_BYTES_MAX
assert LOG_HEADER_BYTES_MAX + LOG_BODY_BYTES_MAX < LOG_RECORD_BYTES_MAX < LOG_SEGMENT_BYTES
assert LOG_BODY_BYTES_MAX + LOG_HEADERS_BATCH_MAX * LOG_HEADER_BYTES_MAX < FRAME_BYTES_MAX
assert LOG_SEGMENT_BYTES < LOG_UNWRITTEN_OTHERS_BYTES_MAX < LOG_UNWRITTEN_BYTES_MAX
