//! Our own tables. A version that was released is never changed; a further one gets a step of its own.

/// The version of these tables, kept in `weft_meta`.
pub(crate) const VERSION: u64 = 1;

/// The statements that make them.
///
/// * `weft_meta`: what is known of the database as a whole.
/// * `weft_migrations`: what has been applied, by context.
/// * `weft_done`: one row a key. `revoked`: 0 recorded; 1 revoked before it was ever recorded; 2 revoked, and the
///   statements of the revocation ran.
/// * `weft_log`: every event that was published, committed or appended, in commit order. It is outbox and log in one. An
///   id of one topic is taken once. A position is never used twice.
/// * `weft_events`: the event store. Nothing is ever removed, so that the engine never gives a position twice.
/// * `weft_snapshots`: the newest of each stream.
/// * `weft_subscriptions`: up to where each subscription has read the log.
/// * `weft_deliveries`: what it has read and not settled. A row is its taker's until `lease_until_ms`.
/// * `weft_dead_letters`: what it gave up.
/// * `weft_checkpoints`: how far each projection has come.
/// * `weft_startup`: which startup functions have run.
/// * `weft_kv`: key-value stores of any label.
pub(crate) const TABLES: [&str; 14] = [
    "CREATE TABLE weft_migrations (
        context TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, applied_at_ms INTEGER NOT NULL,
        PRIMARY KEY (context, name))",
    "CREATE TABLE weft_done (
        owner TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, answer BLOB NOT NULL,
        revoked INTEGER NOT NULL, committed_at_ms INTEGER NOT NULL, PRIMARY KEY (owner, key))",
    "CREATE TABLE weft_log (
        position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, source TEXT NOT NULL, topic TEXT NOT NULL,
        type TEXT NOT NULL, subject TEXT, ordering_key TEXT, correlation_id TEXT, dataschema TEXT,
        time_ms INTEGER NOT NULL, delay_ms INTEGER, ttl_ms INTEGER, priority INTEGER NOT NULL, data BLOB NOT NULL,
        UNIQUE (topic, id))",
    "CREATE TABLE weft_events (
        position INTEGER PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL, id TEXT NOT NULL UNIQUE,
        type TEXT NOT NULL, topic TEXT NOT NULL, time_ms INTEGER NOT NULL, correlation_id TEXT, causation_id TEXT,
        metadata BLOB, data BLOB NOT NULL, UNIQUE (stream, version))",
    "CREATE TABLE weft_snapshots (
        stream TEXT PRIMARY KEY, version INTEGER NOT NULL, form INTEGER NOT NULL, time_ms INTEGER NOT NULL,
        data BLOB NOT NULL)",
    "CREATE TABLE weft_subscriptions (
        component TEXT NOT NULL, name TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (component, name))",
    "CREATE TABLE weft_deliveries (
        component TEXT NOT NULL, name TEXT NOT NULL, position INTEGER NOT NULL, due_ms INTEGER NOT NULL,
        attempts INTEGER NOT NULL, lease_owner TEXT NOT NULL, lease_until_ms INTEGER NOT NULL,
        PRIMARY KEY (component, name, position))",
    "CREATE TABLE weft_dead_letters (
        id INTEGER PRIMARY KEY, component TEXT NOT NULL, name TEXT NOT NULL, position INTEGER NOT NULL,
        attempts INTEGER NOT NULL, error TEXT NOT NULL, failed_at_ms INTEGER NOT NULL)",
    "CREATE TABLE weft_checkpoints (
        component TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, position INTEGER NOT NULL,
        PRIMARY KEY (component, name))",
    "CREATE TABLE weft_startup (component TEXT PRIMARY KEY, done_at_ms INTEGER NOT NULL)",
    "CREATE TABLE weft_kv (
        store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key)) WITHOUT ROWID",
    "CREATE INDEX weft_deliveries_due ON weft_deliveries (due_ms)",
    "CREATE INDEX weft_done_time ON weft_done (committed_at_ms)",
    "CREATE INDEX weft_events_type ON weft_events (type)",
];

/// The one table that is there before all else.
pub(crate) const META: &str = "CREATE TABLE IF NOT EXISTS weft_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)";
