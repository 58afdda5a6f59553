/*
 * limits.h - every bound that more than one room must agree on, and what happens at it. A bound
 * that is one file's own stands in that file.
 */
#ifndef COMMON_LIMITS_H
#define COMMON_LIMITS_H

enum {
    /* Names of DAGs, tasks, workers, queues: longer is an error of the DAG file or of the command
       line. */
    NAME_MAX_BYTES = 128,
    /* Tasks of one DAG; more is an error of the DAG file. */
    DAG_TASKS_MAX = 1000000,
    /* Edges of one DAG; more is an error of the DAG file. */
    DAG_EDGES_MAX = 10000000,
    /* A DAG file; larger is an error of the file. */
    DAG_FILE_MAX_BYTES = 256 * 1024 * 1024,
    /* A DAG's folder; larger is refused: "put the DAG in a folder of its own, or set `files`". */
    BUNDLE_FILES_MAX = 10000,
    BUNDLE_MAX_BYTES = 256 * 1024 * 1024,

    /* An attempt's outputs; more fails the attempt with reason `output`. */
    OUTPUTS_MAX_BYTES = 64 * 1024,
    /* One environment value or argument (Linux MAX_ARG_STRLEN less the NUL), and all of a task
       together; more fails the task before it is dispatched, by name. */
    ARGUMENT_MAX_BYTES = 131071,
    ARGUMENTS_MAX_BYTES = 2 * 1024 * 1024,
    /* Operators, docs/operators.md: options as JSON, in the file and rendered (more is an error, or
       fails the attempt by name); the whole task line (likewise); a name; a line from an operator
       (longer breaks the contract). */
    OPERATOR_OPTIONS_MAX_BYTES = 128 * 1024,
    OPERATOR_TASK_LINE_MAX_BYTES = 256 * 1024,
    OPERATOR_NAME_MAX_BYTES = 64,
    OPERATOR_SAID_MAX_BYTES = 128 * 1024,
    /* Notes: one, those of an attempt, those of a task in bytes; more are refused by name. */
    NOTE_MAX_BYTES = 4096,
    ATTEMPT_NOTES_MAX = 16,
    TASK_NOTES_MAX_BYTES = 64 * 1024,
    /* The one-line error of an attempt; cut. */
    ATTEMPT_ERROR_MAX_BYTES = 1024,

    /* A frame on any socket; a larger one closes the connection (ZMQ_MAXMSGSIZE) or is refused as
       malformed. */
    FRAME_MAX_BYTES = 8 * 1024 * 1024,
    /* Senders cut their frames at this size (one message may be longer). */
    FRAME_TARGET_BYTES = 64 * 1024,
    /* Depth of msgpack; deeper is malformed. */
    MESSAGE_DEPTH_MAX = 16,
    /* Log bytes in one message. */
    LOG_CHUNK_BYTES = 64 * 1024,

    /* What a connection may hold unacknowledged; a sender stops there, a receiver that sees more
       closes. */
    CHANNEL_UNACKED_MAX_BYTES = 64 * 1024 * 1024,

    /* noops in flight on one worker; the rest waits as ready. */
    NOOPS_IN_FLIGHT_MAX = 16384,
    /* In hand, beside those that run, a worker has at most so many tasks for each of its slots;
       one, while they take longer than HAND_MS. */
    HAND_SLOTS_MAX = 16,
    HAND_MS = 20,
    PACE_MS = 100,
    /* Tasks that one step touches; the rest goes on in the next slice. */
    STEP_TASKS_MAX = 10000,
};

#define HEARTBEAT_INTERVAL_MS 1000u /* the agent's */
#define DEAD_RUNNERS_MAX      8u    /* of which an agent has to tell; of more the last ones */
#define SILENT_AFTER_MS       2500u /* no sign of life: shown as silent (promised: within 3 s) */
#define START_FRESH_MS        3000u /* an in-hand task starts only while the last ack is younger */
#define CHANNEL_RESEND_MS     2000u /* unacknowledged for so long: sent again */
#define LEASE_DEFAULT_MS      300000u
#define KILL_GRACE_DEFAULT_MS 10000u

/* The least limit of a task's memory: below it bash itself may not start. */
#define TASK_MEMORY_MIN_BYTES (4u * 1024 * 1024)
/* Words like "cgroup": by what a worker bounds its tasks. A longer one is malformed. */
#define LIMIT_BY_MAX_BYTES 32u

/* How long the master waits after a heartbeat's receipt before another attempt may start (DESIGN:
 * lease + margin). */
#define LEASE_MARGIN_MS(lease_ms) ((lease_ms) / 5 + 5000u)

#endif
