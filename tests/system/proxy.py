"""What lies between a worker and its master, for one test: a folder whose sockets pass frames on to the master's, as a
rule says. Frames can be dropped, doubled, held back, and sent again later.

    with Proxy(cluster) as proxy:
        proxy.start_worker("w1")
        proxy.rule = lambda way, names, frame: [frame, frame]
"""

import threading

import zmq

import wire
from reeve import program, wait_until

SOCKETS = ("worker", "bulk")
TO_MASTER, TO_WORKER = "to the master", "to the worker"


def names_in(frame):
    """The messages of a frame; those of a later version, or of none, are unknown."""
    try:
        return tuple(name for name, _ in wire.unpack_frame(frame)[1])
    except (KeyError, ValueError, TypeError):
        return ("unknown",)


class Proxy:
    """One thread passes frames on; `rule(way, names, frame)` gives the frames that go in the place of one. `seen` keeps
    (way, names, route, frame) of all that came."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.folder = cluster.folder / "proxy"
        self.folder.mkdir(mode=0o700)
        (self.folder / "store.db").touch()
        self.rule = lambda way, names, frame: [frame]
        self.seen, self.again, self.failure = [], [], None
        self.lock = threading.Lock()
        self.context = zmq.Context()
        self.fronts, self.backs, self.routes = {}, {}, {}
        for name in SOCKETS:
            front = self.fronts[name] = self.context.socket(zmq.ROUTER)
            front.bind(f"ipc://{self.folder}/{name}.sock")
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        self.context.destroy(linger=0)
        assert self.failure is None, self.failure

    def start_worker(self, name, slots=4):
        self.cluster.spawn(name, program("reeve-worker"), "--data", str(self.cluster.folder / name), "--join",
                           str(self.folder), "--name", name, "--slots", str(slots))
        wait_until(lambda: name in self.cluster.workers_up(), what=f"{name} up, through the proxy")

    def send_again(self, frames):
        """Sends frames of `seen` once more, each the way it went."""
        with self.lock:
            self.again += frames

    # ---- in the thread ----

    def _run(self):
        try:
            while not self.stopping.is_set():
                self._round()
        except Exception as error:  # the test asserts it in its end
            self.failure = f"the proxy failed: {type(error).__name__}: {error}"

    def _round(self):
        sockets = [*self.fronts.values(), *self.backs.values()]
        poller = zmq.Poller()
        for socket in sockets:
            poller.register(socket, zmq.POLLIN)
        ready = dict(poller.poll(20))
        for name, front in self.fronts.items():
            while front in ready and front.poll(0):
                peer, frame = front.recv_multipart()
                self._pass(TO_MASTER, (name, peer), frame)
        for route, back in list(self.backs.items()):
            while back in ready and back.poll(0):
                self._pass(TO_WORKER, route, back.recv())
        with self.lock:
            again, self.again = self.again, []
        for way, _, route, frame in again:
            self._send(way, route, frame)

    def _pass(self, way, route, frame):
        names = names_in(frame)
        self.seen.append((way, names, route, frame))
        for one in self.rule(way, names, frame):
            self._send(way, route, one)

    def _send(self, way, route, frame):
        name, peer = route
        if way == TO_WORKER:
            self.fronts[name].send_multipart([peer, frame])
            return
        if route not in self.backs:
            back = self.backs[route] = self.context.socket(zmq.DEALER)
            back.connect(f"ipc://{self.cluster.data}/{name}.sock")
        self.backs[route].send(frame)
