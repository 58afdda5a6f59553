-- What was said of the end of an attempt that was given up by then: by its worker, or (sure = 0) by who found its runner
-- dead and killed what that left; ended_at is then the latest that can be. state is enum attempt_state, 9 is lost and 15 the
-- reason worker_lost.

CREATE TABLE late (
    run INTEGER NOT NULL,
    task INTEGER NOT NULL,
    map INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    state INTEGER NOT NULL,
    told_at INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    sure INTEGER NOT NULL,
    PRIMARY KEY (run, task, map, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX late_told ON late (told_at);

-- When what the session's runner had left was found and killed.
ALTER TABLE session ADD COLUMN swept_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX session_instance ON session (instance);
CREATE INDEX attempt_lost ON attempt (session) WHERE state = 9;
