-- The master's rows. A row is a fact of master/core/fact.h, written in place by its key. 64-bit ids are unsigned in
-- C and stored as the signed integer of the same bits: they are compared for equality only. Empty texts and hashes
-- are NULL. Times are milliseconds since 1970 UTC, 0: not yet.

-- One row. Each transaction updates it: the epoch and leader fence a deposed writer, the batch number tells what
-- was committed.
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    cluster TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    leader INTEGER NOT NULL,
    led_at INTEGER NOT NULL,
    batch INTEGER NOT NULL
) STRICT;

CREATE TABLE dag (
    dag TEXT PRIMARY KEY,
    last_number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE worker (
    number INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    name TEXT,
    host TEXT
) STRICT;

CREATE TABLE session (
    session INTEGER PRIMARY KEY,
    worker INTEGER NOT NULL,
    instance INTEGER NOT NULL,
    boot BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    leader INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    stamp INTEGER NOT NULL
) STRICT;

-- id is local and dense, so that the rows of attempts stay small and a run's lie together.
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    key INTEGER NOT NULL UNIQUE,
    ordinal INTEGER NOT NULL,
    dag TEXT NOT NULL,
    number INTEGER NOT NULL,
    state INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    task_count INTEGER NOT NULL,
    plan BLOB NOT NULL,
    bundle BLOB,
    context TEXT,
    key_text TEXT,
    date_given INTEGER NOT NULL,
    logical_date INTEGER NOT NULL,
    submitted_at INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX run_name ON run (dag, number);
CREATE UNIQUE INDEX run_key_text ON run (dag, key_text) WHERE key_text IS NOT NULL;
CREATE INDEX run_date ON run (dag, logical_date) WHERE date_given = 1;
-- 1 and 2 are RUN_QUEUED and RUN_RUNNING of proto/states.def: what a restart reads, however long the history is.
CREATE INDEX run_live ON run (ordinal) WHERE state IN (1, 2);
CREATE INDEX run_order ON run (ordinal);
CREATE INDEX run_state ON run (state, ordinal);
CREATE INDEX run_submitted ON run (submitted_at);

CREATE TABLE attempt (
    run INTEGER NOT NULL,
    task INTEGER NOT NULL,
    map INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    round INTEGER NOT NULL,
    state INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    session INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    assigned_at INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    exit_code INTEGER NOT NULL,
    signal INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    error TEXT,
    outputs TEXT,
    artifacts BLOB,
    log_bytes INTEGER NOT NULL,
    PRIMARY KEY (run, task, map, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE span (
    run INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    state INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    error TEXT,
    at INTEGER NOT NULL,
    PRIMARY KEY (run, ordinal)
) STRICT, WITHOUT ROWID;

-- The newest answers only; id ascends with time, so that the oldest go by range.
CREATE TABLE request (
    id INTEGER PRIMARY KEY,
    request INTEGER NOT NULL UNIQUE,
    answer BLOB,
    at INTEGER NOT NULL
) STRICT;
