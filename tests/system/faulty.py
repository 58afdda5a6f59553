"""Machines that fail, for one test: a disk that gives errors, a wall clock that is stepped, memory that cannot be had
(tests/preload), and a disk that loses what was not synced when its power is cut.

    disk = faulty.Disk(cluster, "reeve-master", cluster.data)     # before the program starts
    disk.fail("sync", errno.EIO, nth=3)
"""

import contextlib
import fcntl
import mmap
import os
import pathlib
import struct
import subprocess

from reeve import BIN, wait_until

PRELOADS = BIN.parent / "preload"
KINDS = ("write", "sync")
EXT4_IOC_SHUTDOWN = 0x8004587D
WITHOUT_FLUSH = 2


def built_with(text):
    """Whether the programs hold that text."""
    path = BIN / "reeve-master"
    return path.exists() and text.encode() in path.read_bytes()


def no_preload():
    """Why no library can be loaded before the programs, or None."""
    if built_with("__asan_init") or built_with("__tsan_init"):
        return "a sanitizer wants to be the first library"
    missing = [name for name in ("clock.so", "disk.so", "memory.so") if not (PRELOADS / name).exists()]
    return f"{PRELOADS} has no {missing}" if missing else None


class _Shared:
    """A small file that a preloaded library and the test both map."""

    def __init__(self, path, size):
        path.write_bytes(bytes(size))
        with open(path, "r+b") as file:
            self.bytes = mmap.mmap(file.fileno(), size)

    def close(self):
        self.bytes.close()


class Disk(_Shared):
    """The disk below `folder` as a program sees it. What it starts has a good one."""

    def __init__(self, cluster, name, folder):
        path = cluster.folder / f"{name}.plan"
        super().__init__(path, 36)
        self.env = {"LD_PRELOAD": str(PRELOADS / "disk.so"), "RV_DISK_PLAN": str(path), "RV_DISK_FOLDER": str(folder),
                    "RV_DISK_PROGRAM": name}

    def _word(self, index):
        return struct.unpack_from("i", self.bytes, 4 * index)[0]

    def fail(self, kind, error, nth=1, count=1):
        """`count` of that kind fail from the nth on."""
        self.mend()
        struct.pack_into("iii", self.bytes, 4, KINDS.index(kind), nth, count)
        struct.pack_into("i", self.bytes, 24, 0)
        struct.pack_into("i", self.bytes, 0, error)

    def mend(self):
        struct.pack_into("i", self.bytes, 0, 0)

    def seen(self, kind):
        return self._word(4 + KINDS.index(kind))

    def done(self, kind):
        """Those that came back, with or without success of the true disk."""
        return self._word(7 + KINDS.index(kind))


class Clock(_Shared):
    """The wall clock of all that is started with its environment."""

    def __init__(self, cluster, name="clock"):
        path = cluster.folder / f"{name}.step"
        super().__init__(path, 16)
        self.env = {"LD_PRELOAD": str(PRELOADS / "clock.so"), "RV_CLOCK": str(path)}

    def step(self, seconds):
        struct.pack_into("q", self.bytes, 0, int(seconds * 1000))

    def pass_by(self, seconds):
        """So much time has passed in all since the start, by every clock."""
        struct.pack_into("qq", self.bytes, 0, int(seconds * 1000), int(seconds * 1000))


class Memory(_Shared):
    """The memory of the program `name` as it sees it, from its start. What it starts has enough."""

    def __init__(self, cluster, name):
        path = cluster.folder / f"{name}.memory"
        super().__init__(path, 64)
        self.env = {"LD_PRELOAD": str(PRELOADS / "memory.so"), "RV_MEMORY_PLAN": str(path), "RV_MEMORY_PROGRAM": name}

    def plan(self, first=0, count=1):
        """For the next start: `count` allocations give nothing, from that one on; 0: all is well."""
        struct.pack_into("IIII48s", self.bytes, 0, first, count, 0, 0, b"")

    def mend(self):
        struct.pack_into("I", self.bytes, 0, 0)

    @property
    def seen(self):
        return struct.unpack_from("I", self.bytes, 8)[0]

    @property
    def failed(self):
        return struct.unpack_from("I", self.bytes, 12)[0]

    @property
    def who(self):
        """The file, program or library, that asked for the last one that failed."""
        return struct.unpack_from("48s", self.bytes, 16)[0].rstrip(b"\0").decode()


@contextlib.contextmanager
def started_with(cluster, env):
    """What is started inside has that environment; the cluster's other commands have not."""
    cluster.env.update(env)
    try:
        yield
    finally:
        for name in env:
            cluster.env.pop(name, None)


def other_boot(cluster, *words):
    """The words of a command on a host that booted at another time than this one."""
    boot = cluster.folder / "boot_id"
    boot.write_text("11111111-2222-4333-8444-555555555555\n")
    script = f"mount --bind {boot} /proc/sys/kernel/random/boot_id && exec \"$@\""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *words]


class Volume:
    """A file system of its own in the place of a folder, whose power can be cut: what no sync has asked for is gone,
    as ext4's own shutdown for such tests does it."""

    def __init__(self, folder, image, size="96M"):
        self.folder, self.image = folder, image
        subprocess.run(["truncate", "-s", size, image], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], check=True,
                       capture_output=True)
        folder.mkdir(mode=0o711, exist_ok=True)
        self.mount()
        (folder / "lost+found").rmdir()
        os.sync()

    def mount(self):
        """Nothing goes to the disk by age while a test looks: only what is asked for."""
        subprocess.run(["mount", "-o", "loop,commit=600", self.image, self.folder], check=True, capture_output=True)

    def cut(self):
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_FLUSH))
        finally:
            os.close(fd)

    def restore(self):
        """Power again; nothing may use the folder."""
        self.unmount()
        self.mount()

    def unmount(self):
        """A worker beside its master may be about to read one of that one's files."""
        words = ["umount", self.folder]
        wait_until(lambda: subprocess.run(words, check=False, capture_output=True).returncode == 0, what=f"{self.folder} free")


def no_volume(folder):
    """Why there can be no such volume here, or None. It also shows that the cut works: what was not synced is gone."""
    if os.geteuid() != 0:
        return "needs root, to mount a file system"
    place = pathlib.Path(folder)
    try:
        volume = Volume(place / "try", place / "try.img", size="16M")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no ext4 on a loop device here: {getattr(error, 'stderr', b'') or error}"
    try:
        with open(volume.folder / "synced", "wb") as file:
            file.write(b"x")
            os.fsync(file.fileno())
        (volume.folder / "unsynced").write_bytes(b"x")
        volume.cut()
        volume.restore()
        left = sorted(path.name for path in volume.folder.iterdir())
        return None if left == ["synced"] else f"a cut here leaves {left}"
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no ext4 whose power can be cut: {error}"
    finally:
        subprocess.run(["umount", "-l", volume.folder], check=False, capture_output=True)
