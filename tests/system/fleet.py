"""Hosts for one test: network namespaces with a loopback and a veth each, on a bridge in one more; the processes of a
reeve.Cluster, each in its own. Needs root. Nothing of it reaches another network.

    fleet = Fleet(["m", "w1", "w2"])
    fleet.start_master()                       # in m, on tcp
    fleet.join("w1")                           # in w1, by a token
    fleet.cut("w1"); fleet.mend("w1")
"""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys

import reeve
from reeve import program, wait_until

PORT = 7411
SNIFFER = """
import socket, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
with open(sys.argv[1], "ab", buffering=0) as file:
    print("ready", flush=True)
    while True:
        file.write(tap.recv(65536))
"""


def run(*words, check=True):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{words}: {done.stderr}"
    return done


def sweep():
    """Removes what tests left that were killed: the namespaces of processes that are no more."""
    for name in re.findall(r"^rv(?:try)?\d+\S*", run("ip", "netns", "list", check=False).stdout, re.M):
        if not os.path.exists(f"/proc/{re.search(r'[0-9]+', name)[0]}"):
            run("ip", "netns", "delete", name, check=False)


def is_possible():
    """Why there can be no namespaces here, or None."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    sweep()
    name = f"rvtry{os.getpid()}"
    made = run("ip", "netns", "add", name, check=False)
    if made.returncode != 0:
        return f"no network namespaces: {made.stderr.strip()}"
    veth = run("ip", "-n", name, "link", "add", "name", "va", "type", "veth", "peer", "name", "vb", check=False)
    bridge = run("ip", "-n", name, "link", "add", "name", "br", "type", "bridge", check=False)
    run("ip", "netns", "delete", name, check=False)
    return None if veth.returncode == bridge.returncode == 0 else f"no veth: {veth.stderr} {bridge.stderr}"


class Fleet(reeve.Cluster):
    """A cluster whose processes live on hosts of their own; what is started on no host lives beside the master."""

    def __init__(self, hosts):
        super().__init__()
        self.hosts = {}
        self.prefix = f"rv{os.getpid()}"
        self.hub = f"{self.prefix}hub"
        self.master_arguments = ["--listen", f"tcp://{self.address('m')}:{PORT}"]
        try:
            run("ip", "netns", "add", self.hub)
            run("ip", "-n", self.hub, "link", "add", "name", "br", "type", "bridge", "forward_delay", "0", "stp_state", "0")
            run("ip", "-n", self.hub, "link", "set", "dev", "br", "up")
            for host in hosts:
                self.add_host(host)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def address(host):
        """m is .1, wN is .1N, any other .99."""
        number = 1 if host == "m" else 10 + int(host[1:]) if re.fullmatch(r"w\d+", host) else 99
        return f"10.213.0.{number}"

    def add_host(self, host):
        name = f"{self.prefix}{host}"
        run("ip", "netns", "add", name)
        self.hosts[host] = name
        run("ip", "-n", name, "link", "set", "dev", "lo", "up")
        run("ip", "-n", name, "link", "add", "name", "net", "type", "veth", "peer", "name", host, "netns", self.hub)
        run("ip", "-n", name, "address", "add", f"{self.address(host)}/24", "dev", "net")
        run("ip", "-n", name, "link", "set", "dev", "net", "up")
        run("ip", "-n", self.hub, "link", "set", "dev", host, "master", "br")
        run("ip", "-n", self.hub, "link", "set", "dev", host, "up")

    def on(self, host, *words):
        """The words of a command that runs there. (Not `ip netns exec`, which hides the cgroups.)"""
        return ["nsenter", f"--net=/run/netns/{self.hosts[host]}", "--", *map(str, words)]

    def spawn_on(self, host, name, *words):
        return self.spawn(name, *self.on(host, *words))

    def cut(self, host):
        run("ip", "-n", self.hub, "link", "set", "dev", host, "down")

    def mend(self, host):
        run("ip", "-n", self.hub, "link", "set", "dev", host, "up")

    def cut_one_way(self, source, target):
        """What `source` sends goes to a machine that there is not; what `target` sends comes."""
        run("ip", "-n", self.hosts[source], "neighbour", "replace", self.address(target), "lladdr", "02:00:00:00:00:99",
            "dev", "net", "nud", "permanent")

    def mend_one_way(self, source, target):
        run("ip", "-n", self.hosts[source], "neighbour", "del", self.address(target), "dev", "net")

    def cut_some(self, host, other=None):
        """One way, to `other`, or without it all of the host's link."""
        if other is None:
            self.cut(host)
        else:
            self.cut_one_way(host, other)

    def mend_some(self, host, other=None):
        if other is None:
            self.mend(host)
        else:
            self.mend_one_way(host, other)

    def close(self):
        try:
            super().close()
        finally:
            for name in [*self.hosts.values(), self.hub]:
                run("ip", "netns", "delete", name, check=False)

    # ---- reeve's programs ----

    def start_master(self, *arguments, wait=True):
        self.spawn_on("m", "master", program("reeve-master"), "--data", self.data, *self.master_arguments, *arguments)
        if wait:
            self.wait_for_master()

    def token(self, role="worker", *arguments):
        return self.ok("token", "create", "--role", role, *arguments).split()[0]

    def start_worker(self, name, *arguments, slots=2, token=None, host=None):
        """The first start joins, by a token in a file; later ones need the folder alone."""
        data = self.folder / name
        joining = []
        if not data.exists():
            file = self.folder / f"{name}.token"
            file.touch(mode=0o600)
            file.write_text(token or self.token())
            joining = ["--join", f"@{file}", "--name", name, "--slots", slots]
        self.spawn_on(host or name, name, program("reeve-worker"), "--data", data, *joining, *arguments)

    def start_workers(self, *names, **options):
        for name in names:
            self.start_worker(name, **options)
        wait_until(lambda: self.workers_up() >= set(names), what=f"{names} up")

    def workers(self):
        return {worker["worker"]: worker for worker in self.json("workers")}

    # ---- a person's host ----

    @contextlib.contextmanager
    def desk(self, host):
        """A person's folder on that host, which no other process sees; gives a Desk."""
        place = self.folder / f"desk-{host}"
        place.mkdir(exist_ok=True)
        holder = self.spawn_on(host, f"desk-{host}", "unshare", "--mount", "--propagation", "private", "sh", "-c",
                               f"mount -t tmpfs desk {place} && echo ready && exec sleep 100000")
        wait_until(lambda: "ready" in self.log_of(f"desk-{host}"), what="the desk")
        try:
            yield Desk(self, holder.pid, place)
        finally:
            holder.kill()
            holder.wait()

    # ---- the wire ----

    @contextlib.contextmanager
    def captured(self):
        """All that goes over the bridge, as the bytes of a file that is complete at the end."""
        file = self.folder / "captured"
        sniffer = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.hub}", "--", sys.executable, "-c", SNIFFER, str(file)],
            stdout=subprocess.PIPE, env=self.env)
        sniffer.stdout.readline()
        try:
            yield file
        finally:
            sniffer.kill()
            sniffer.wait()
            sniffer.stdout.close()


class Desk:
    """Where a person works: files that live there alone, and the command line, joined to the master."""

    def __init__(self, fleet, pid, place):
        self.fleet, self.pid, self.place = fleet, pid, place
        self.inside = pathlib.Path(f"/proc/{pid}/root{place}")
        self.env = {**fleet.env, "HOME": str(place)}
        del self.env["REEVE_DATA"]

    def reeve(self, *arguments, seconds=120):
        words = ["nsenter", f"--target={self.pid}", "--mount", "--net", f"--wd={self.place}", "--",
                 program("reeve"), *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=self.env,
                              timeout=seconds * reeve.PATIENCE, check=False)
        return reeve.Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments, **options):
        result = self.reeve(*arguments, **options)
        assert result.status == 0, f"reeve {arguments} ended {result.status}:\n{result.err}\n{self.fleet.logs()}"
        return result.out

    def join(self, role="operator"):
        self.ok("join", self.fleet.token(role), "--as", "person")

    def dag(self, name, tasks, files=(), **keys):
        """As Cluster.dag, on this desk; the path as the person there says it."""
        folder = self.inside / name
        folder.mkdir()
        for path, text in dict(files).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
            (folder / path).chmod(0o755)
        (folder / f"{name}.yaml").write_text(json.dumps({"dag": name, **keys, "tasks": tasks}, indent=1))
        return self.place / name / f"{name}.yaml"
