-- Who belongs to the cluster, by which token, and what persons changed or were refused. Roles are of proto/roles.def.

ALTER TABLE worker ADD COLUMN draining INTEGER NOT NULL DEFAULT 0;
ALTER TABLE worker ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;

CREATE TABLE peer (
    key BLOB PRIMARY KEY,
    role INTEGER NOT NULL,
    name TEXT,
    host TEXT,
    token INTEGER NOT NULL,
    joined_at INTEGER NOT NULL,
    removed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
    token INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    role INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL,
    label TEXT
) STRICT;

-- number ascends with time, so that the oldest go by range.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    role INTEGER NOT NULL,
    who TEXT,
    address TEXT,
    action TEXT,
    target TEXT,
    text TEXT,
    refused INTEGER NOT NULL,
    count INTEGER NOT NULL
) STRICT;

CREATE INDEX audit_at ON audit (at);
