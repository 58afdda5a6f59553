-- What operators noted for later attempts of their task.

CREATE TABLE note (
    run INTEGER NOT NULL,
    task INTEGER NOT NULL,
    map INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    note INTEGER NOT NULL,
    at INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (run, task, map, attempt, note)
) STRICT, WITHOUT ROWID;
