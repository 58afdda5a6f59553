-- Connections, sealed by a key that is not here. source is enum connection_source of master/core/fact.h; what was replaced
-- stays while a log with its secrets may still come.

CREATE TABLE connection (
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL,
    name TEXT NOT NULL,
    key INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    set_at INTEGER NOT NULL,
    replaced_at INTEGER NOT NULL
) STRICT;
