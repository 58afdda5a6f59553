"""A virtual machine whose worker is brought back as it once was: memory, disk, clocks and all (FAULTS 36); and one that
has few processes (FAULTS 18)."""

import collections
import socketserver
import threading

import pytest

import reeve
import vm
from reeve import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(vm.is_possible() is not None, reason=str(vm.is_possible()))]

Line = collections.namedtuple("Line", "kind run task attempt epoch boot pid")

# What a task tells the witness, until it is told its exit status. An answer that never comes is one of a connection
# that the machine remembers and nobody else.
TASK = """
host=127.0.0.1
[ ! -e /in-the-guest ] || read -r host </in-the-guest || :
say() {
    answer=
    { read -r up _ </proc/uptime
      echo "$1 $REEVE_RUN_ID $REEVE_TASK $REEVE_ATTEMPT $REEVE_EPOCH $up $$" >&5
      read -rt 2 answer <&5 || :; } 5<>/dev/tcp/$host/PORT || :
}
say start
until [ -n "$answer" ] && [ "$answer" != go-on ]; do
    read -rt 0.1 <> <(:) || :
    say tick
done
code=$answer
say end
exit "$code"
"""


class Witness:
    """Outside every machine: it hears what tasks do, in one order, and tells each when to end, and how."""

    def __init__(self):
        self.lines, self.answers = [], {}
        witness = self

        class Call(socketserver.StreamRequestHandler):
            timeout = 5  # of a machine that stands still while it speaks

            def handle(self):
                words = self.rfile.readline().decode().split()
                if len(words) == 7:
                    witness.lines.append(Line(*words[:3], int(words[3]), int(words[4]), float(words[5]), int(words[6])))
                    self.wfile.write(f"{witness.answers.get(words[2], 'go-on')}\n".encode())

        class Server(socketserver.TCPServer):
            request_queue_size = 64

            def handle_error(self, *_):
                """Who called is gone."""

        self.server = Server(("127.0.0.1", 0), Call)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def task(self, **keys):
        return {"bash": TASK.replace("PORT", str(self.server.server_address[1])), "lease": "18s", "kill_grace": "1s", **keys}

    def heard(self, kind, task, attempt=1):
        return [line for line in self.lines if (line.kind, line.task, line.attempt) == (kind, task, attempt)]

    def wait_for(self, kind, task, attempt=1, count=1):
        wait_until(lambda: len(self.heard(kind, task, attempt)) >= count, what=f"{kind} of {task}@{attempt}")

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def witness():
    own = Witness()
    yield own
    own.close()


def begin_machine(cluster, *kernel):
    """A master, and a machine whose worker has joined it."""
    own = vm.Machine(cluster, reeve.free_port(), *kernel)
    cluster.start_master(*own.master)
    own.make(cluster.ok("token", "create", "--role", "worker").split()[0])
    own.boot()
    wait_until(lambda: "vm" in cluster.workers_up(), what="the guest's worker")
    return own


@pytest.fixture
def machine(cluster):
    return begin_machine(cluster)


def begin(cluster, witness, machine, tasks):
    """A run on the machine, which is saved while all of its tasks run."""
    run = cluster.submit(cluster.dag("first", {name: witness.task() for name in tasks}))
    for name in tasks:
        witness.wait_for("tick", name)
    wait_until(lambda: {task["state"] for task in cluster.tasks(run).values()} == {"running"}, what="the master's view of it")
    file = cluster.folder / "saved"
    machine.save(file)
    return run, file


def works_again(cluster, witness):
    """Both of its slots are free, and what they are given runs there to its end, once."""
    witness.answers.update(c="0", d="0")
    run = cluster.submit(cluster.dag("later", {name: witness.task(queue="vm") for name in "cd"}))
    cluster.finish(run)
    tasks = cluster.tasks(run)
    assert [(a["worker"], a["state"]) for name in "cd" for a in tasks[name]["attempts"]] == [("vm", "success")] * 2
    assert all(len(witness.heard(kind, name)) == 1 for kind in ("start", "end") for name in "cd")


def test_36_machine_brought_back_after_its_lease_changes_no_record_and_is_shown(cluster, witness, machine):
    """Of two tasks, one had ended since it was saved, and the other has been given to another worker: what goes on with
    both in the machine is ended there, counts nowhere, and is shown beside the later attempt."""
    run, file = begin(cluster, witness, machine, "ab")
    witness.answers["a"] = "0"
    wait_until(lambda: cluster.tasks(run)["a"]["state"] == "success", what="the end of a")
    (ended,) = cluster.tasks(run)["a"]["attempts"]
    machine.end()
    witness.answers["a"] = "go-on"
    cluster.start_worker("w2")
    witness.wait_for("tick", "b", attempt=2, count=20)
    machine.boot_from(file)
    wait_until(lambda: cluster.tasks(run)["b"]["attempts"][0]["late"], what="what is heard too late")
    works_again(cluster, witness)
    over = [number for number, line in enumerate(witness.lines) if line.task == "c"][0]
    assert all(line.attempt != 1 for line in witness.lines[over:] if line.task in "ab"), "ended before its slot was given"
    witness.answers["b"] = "0"
    cluster.finish(run)
    tasks = cluster.tasks(run)
    (record,) = tasks["a"]["attempts"]
    assert (record["state"], record["ended_at"]) == (ended["state"], ended["ended_at"])
    first, second = tasks["b"]["attempts"]
    assert (first["state"], first["worker"]) == ("lost", "vm") and (second["state"], second["worker"]) == ("success", "w2")
    assert (first["overlap"], first["overlap_attempt"]) == ("did", 2), first
    assert first["late"] in cluster.ok("status", f"{run}/b")
    audited = {line["target"]: line["text"] for line in cluster.json("audit") if line["action"] == "late_end"}
    assert audited[f"{run}/b@1"] == first["late"]
    assert [len(witness.heard("start", *which)) for which in (("a", 1), ("b", 1), ("b", 2))] == [1, 1, 1]
    assert [len(witness.heard("end", *which)) for which in (("a", 1), ("b", 1), ("b", 2))] == [1, 0, 1]


def test_36_machine_brought_back_within_its_session_changes_no_record(cluster, witness, machine):
    """It goes on in the session that it had, with a task that has ended since, and now ends otherwise, and without the
    one that it was given since, which may run elsewhere until its lease is over. In a session that the two begin by
    themselves all of that is settled."""
    first, file = begin(cluster, witness, machine, "a")
    witness.answers["a"] = "0"
    cluster.finish(first)
    (ended,) = cluster.tasks(first)["a"]["attempts"]
    second = cluster.submit(cluster.dag("second", {"b": witness.task()}))
    witness.wait_for("tick", "b")
    wait_until(lambda: cluster.tasks(second)["b"]["state"] == "running", what="the master's view of b")
    machine.end()
    witness.answers.update(a="7", b="0")
    machine.boot_from(file)
    witness.wait_for("end", "a", count=2)
    cluster.finish(second)
    works_again(cluster, witness)
    (record,) = cluster.tasks(first)["a"]["attempts"]
    assert record == ended
    attempts = cluster.tasks(second)["b"]["attempts"]
    assert [a["state"] for a in attempts] == ["lost"] * (len(attempts) - 1) + ["success"], attempts
    assert len(witness.heard("start", "b")) == 1 and sum(line.task == "b" and line.kind == "end" for line in witness.lines) == 1


def test_18_fork_bomb_leaves_the_other_tasks_of_its_machine_room(cluster):
    """All cgroups of a machine of its own are version 2, and its worker may use them: each task has a half of what the
    machine has, and all together three quarters."""
    begin_machine(cluster, "sysctl.kernel.threads-max=400")
    run = cluster.submit(cluster.dag("bomb", {"a": {"bash": "trap '' TERM; b() { b | b & }; b 2>/dev/null; sleep 600",
                                                    "kill_grace": "1s"}}))
    look = """
        until cat /sys/fs/cgroup/reeve-*/*/pids.events | grep -qv 'max 0'; do sleep 0.2; done
        cat /sys/fs/cgroup/reeve-*/pids.max
        cat /sys/fs/cgroup/reeve-*/*/pids.max | sort -u
        for i in 1 2 3 4 5; do bash -c 'echo beside'; done"""
    beside = cluster.submit(cluster.dag("beside", {"a": {"bash": look}}))
    cluster.finish(beside)
    assert cluster.ok("logs", f"{beside}/a").split() == ["300", "200"] + ["beside"] * 5
    cluster.ok("cancel", f"{run}/a")
    cluster.finish(run, status=1)
    cluster.finish(cluster.submit(cluster.dag("after", {"a": {"bash": "true"}})))
