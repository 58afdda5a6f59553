"""A reeve of its own for one test: real processes in a short folder under /tmp, on ipc alone.

    cluster.start(workers=2)
    run = cluster.submit(cluster.dag("d", {"a": {"bash": "echo hi"}}))
    assert cluster.reeve("wait", run).status == 0

Programs come from $REEVE_BIN (default: build/dev/bin). Nothing here sleeps for a result: `wait_until` asks a condition
until it holds or its deadline has passed. All that a cluster starts carries its mark in the environment, tasks and
runners too, so that what is left can be found, and ended by its pid.
"""

import collections
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("REEVE_BIN", ROOT / "build/dev/bin"))
MARK = "RV_CLUSTER"

Result = collections.namedtuple("Result", "status out err")

# Sanitizers make everything several times slower, and machines that test are busy.
PATIENCE = float(os.environ.get("RV_PATIENCE", "1"))


def wait_until(condition, seconds=60, what="the condition"):
    """The first true value of condition(); AssertionError when the deadline passes without one."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds * PATIENCE:.0f} s")
        time.sleep(0.01)


def _port_range():
    """Ports that the kernel gives to nobody by itself: a client's own end never takes one while its server is away."""
    low, high = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    return range(10000, low) if low > 12000 else range(high + 1, 65536)


_PORTS_KEPT = []


def free_port():
    """A port that is free, and so is the next one: bulk is there. It is this process's to its end: tests beside it get
    others, by a name that the host has once (an abstract socket's)."""
    ports = _port_range()
    while True:
        port = random.choice(ports[:-1:2])
        kept = socket.socket(socket.AF_UNIX)
        try:
            kept.bind(f"\0rv-port-{port}")
            for own in (port, port + 1):
                with socket.socket() as one:
                    one.bind(("127.0.0.1", own))
        except OSError:
            kept.close()
            continue
        _PORTS_KEPT.append(kept)
        return port


def program(name):
    path = BIN / name
    if not os.access(path, os.X_OK):
        raise AssertionError(f"{path} is not there: build it, or set REEVE_BIN")
    return str(path)


def clean_environment(**more):
    """This process's environment without what would steer reeve, and with `more`."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("REEVE_", "AIRFLOW_", MARK))}
    return {**env, "NO_COLOR": "1", **{k: str(v) for k, v in more.items()}}


def processes_with(mark):
    """{pid: program's name} of live processes whose environment has the mark."""
    wanted = f"{MARK}={mark}".encode()
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            environment = pathlib.Path(f"/proc/{entry}/environ").read_bytes()
            status = pathlib.Path(f"/proc/{entry}/status").read_text()
        except OSError:
            continue
        if wanted in environment.split(b"\0") and "\nState:\tZ" not in status:
            found[int(entry)] = status.split("\n", 1)[0].split("\t", 1)[1]
    return found


def is_alive(pid):
    """Neither gone nor a zombie. What is ending is alive, though its environment and its arguments are gone already."""
    try:
        return "\nState:\tZ" not in pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def is_stopped(pid):
    return "\nState:\tT" in pathlib.Path(f"/proc/{pid}/status").read_text()


def files_below(folder):
    """{path: bytes} of the regular files of a folder in which others are at work: what goes meanwhile is passed over."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = pathlib.Path(place, name)
            try:
                if path.is_file() and not path.is_symlink():
                    found[path] = path.read_bytes()
            except OSError:
                continue
    return found


def cgroups_of(instance):
    """The folders of a runner's cgroup. Others come and go meanwhile: os.walk passes over what has gone."""
    return [pathlib.Path(folder, name) for folder, names, _ in os.walk("/sys/fs/cgroup") for name in names
            if name == f"reeve-{instance}"]


def is_removed(cgroup):
    """Removes it and what is below it. A process that is ending is in it for a moment longer."""
    for folder, _, _ in os.walk(cgroup, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            pass
    return not cgroup.exists()


class Cluster:
    """A master and its workers, and what a test does with them."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rv.", dir="/tmp"))
        self.data = self.folder / "m"
        self.env = clean_environment(REEVE_DATA=self.data, HOME=self.folder, **{MARK: self.folder})
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
            self.env[name] = f"{self.env.get(name, '')}:log_path={self.folder}/sanitizer".lstrip(":")
        self.processes = {}

    # ---- processes ----

    def spawn(self, name, *arguments):
        """Starts a program whose output goes to NAME.log in the cluster's folder."""
        old = self.processes.get(name)
        assert old is None or old.poll() is not None, f"{name} is alive"
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, cwd=self.folder,
                start_new_session=True)
        return self.processes[name]

    def start_master(self, *arguments, wait=True):
        self.spawn("master", program("reeve-master"), "--data", str(self.data), *arguments)
        if wait:
            self.wait_for_master()

    def wait_for_master(self):
        def answers():
            assert self.processes["master"].poll() is None, "the master ended:\n" + self.log_of("master")
            return self.reeve("ping").status == 0
        wait_until(answers, what="an answer of the master")

    def start_worker(self, name, *arguments, slots=4):
        """The first start joins the master's folder; later ones need the worker's own folder alone."""
        data = self.folder / name
        joining = [] if data.exists() else ["--join", str(self.data), "--name", name, "--slots", str(slots)]
        self.spawn(name, program("reeve-worker"), "--data", str(data), *joining, *arguments)

    def start(self, workers=2, slots=4):
        self.start_master()
        names = [f"w{n + 1}" for n in range(workers)]
        for name in names:
            self.start_worker(name, slots=slots)
        wait_until(lambda: self.workers_up() >= set(names), what=f"{names} up")

    def workers_up(self):
        result = self.reeve("workers", "-o", "json")
        return {w["worker"] for w in json.loads(result.out) if w["state"] == "up"} if result.status == 0 else set()

    def wait_for_silence(self, name):
        """A worker that is heard no more is shown as silent within three seconds, by the master's own clock. A master that
        was itself held up hears first what came meanwhile: for a moment more it may be shown as up."""
        late_ms = None

        def is_silent():
            nonlocal late_ms
            (worker,) = [one for one in self.json("workers") if one["worker"] == name]
            age_ms = worker["heartbeat_age_ms"]
            if worker["state"] == "silent":
                return True
            late_ms = (late_ms or age_ms) if age_ms > 3000 else None
            assert late_ms is None or age_ms < late_ms + 500, worker
            return False
        wait_until(is_silent, what=f"{name} silent")

    def kill(self, name, number=signal.SIGKILL):
        """Ends one of our processes and waits for its end."""
        process = self.processes[name]
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(timeout=30 * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{name} lives 30 s after signal {number}:\n{self.log_of(name)}") from None

    def stop_worker(self, name):
        """The worker for good: what runs is killed, the runner ends too."""
        done = subprocess.run(
            [program("reeve-worker"), "stop", "--now", "--data", str(self.folder / name)], capture_output=True,
            text=True, env=self.env, timeout=90 * PATIENCE, check=False)
        assert done.returncode == 0, done.stderr + self.log_of(name)
        assert self.processes[name].wait(timeout=30 * PATIENCE) == 0, self.log_of(name)

    def processes_left(self):
        return processes_with(self.folder)

    def runners(self):
        return [pid for pid, name in self.processes_left().items() if name.startswith("reeve-runner")]

    def end_all(self):
        """Ends, by pid, whatever is left of this cluster, until nothing is."""
        ended = set()

        def none_left():
            left = self.processes_left()
            ended.update(left)
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            for process in self.processes.values():
                process.poll()
            return not self.processes_left() and not any(map(is_alive, ended))
        wait_until(none_left, what="the end of all processes")

    def sanitizer_reports(self):
        """What the sanitizers found, in any of the cluster's programs. (A child of vfork makes them warn of their own
        blindness there; that is no finding.)"""
        texts = [path.read_text(errors="replace") for path in sorted(self.folder.glob("sanitizer.*"))]
        return "\n".join(text for text in texts if "SUMMARY: " in text or "runtime error" in text)

    def remove_cgroups(self):
        """A runner removes its own at its end; those that were killed here could not."""
        for socket in self.folder.glob("**/runner-*.sock"):
            for own in cgroups_of(socket.name.removeprefix("runner-").removesuffix(".sock")):
                wait_until(lambda own=own: is_removed(own), what=f"the end of {own}")

    def remove_secrets(self):
        """A worker's folder on memory is named by its key; a killed one leaves it to its next start, which never comes."""
        for key in self.folder.glob("*/private/key"):
            for line in key.read_text(errors="replace").splitlines():
                if line.startswith("public "):
                    shutil.rmtree(f"/dev/shm/reeve-{line.removeprefix('public ')[:16]}", ignore_errors=True)

    def close(self):
        self.end_all()
        self.remove_cgroups()
        self.remove_secrets()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log_of(self, name, lines=0):
        """What a program has said; `lines`: its last so many."""
        try:
            text = (self.folder / f"{name}.log").read_text(errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    def logs(self):
        return "\n".join(f"---- {name}.log\n{self.log_of(name, 40)}" for name in self.processes)

    # ---- the command line ----

    def reeve(self, *arguments, seconds=120, stdin="", **env):
        """Runs `reeve ARGUMENTS` to its end."""
        done = subprocess.run(
            [program("reeve"), *map(str, arguments)], input=stdin, capture_output=True, text=True, errors="replace",
            timeout=seconds * PATIENCE, env={**self.env, **env}, cwd=self.folder, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments, **options):
        """stdout of a command that must end 0."""
        result = self.reeve(*arguments, **options)
        assert result.status == 0, f"reeve {arguments} ended {result.status}:\n{result.err}\n{self.logs()}"
        return result.out

    def json(self, *arguments, **options):
        return json.loads(self.ok(*arguments, "-o", "json", **options))

    def submit(self, file, *arguments):
        return self.ok("submit", file, *arguments).strip()

    def finish(self, run, status=0, seconds=180):
        """Waits for the run's end, which must be as expected."""
        result = self.reeve("wait", run, seconds=seconds)
        assert result.status == status, (
            f"wait {run} ended {result.status}, not {status}:\n{result.err}\n"
            f"{self.reeve('status', run).out}\n{self.logs()}")

    def tasks(self, run):
        """{task's name: its part of `status RUN -o json`}"""
        return {task["task"]: task for task in self.json("status", run)["tasks"]}

    # ---- DAGs ----

    def dag(self, name, tasks, files=(), **keys):
        """Writes a DAG into a folder of its own, with files beside it, and returns its path. JSON is YAML."""
        folder = self.folder / "dags" / name
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in dict(files).items():
            (folder / path).write_text(text)
            (folder / path).chmod(0o755)
        path = folder / f"{name}.yaml"
        path.write_text(json.dumps({"dag": name, **keys, "tasks": tasks}, indent=1))
        return path
