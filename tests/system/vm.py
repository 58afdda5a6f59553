"""A virtual machine for one test: a kernel, a file system in memory with reeve's worker and bash in it, and a network in
which 10.0.2.2 is this host's loopback and nothing else answers. What it was once is a file; a machine begun from that
file has that memory, that disk and those clocks.

    machine = Machine(cluster, port, *words of the kernel's command line)
    cluster.start_master(*machine.master)
    machine.make(token)
    machine.boot()
    machine.save(file)                  # and it goes on
    machine.end(); machine.boot_from(file)

Kernel and busybox: build/vm, where tests/run.sh unpacks Debian's; nothing of them is installed. The processor is emulated,
so that it is the same one everywhere, and goes on where it was saved.
"""

import json
import lzma
import os
import pathlib
import re
import shutil
import socket
import subprocess

import reeve
from reeve import program, wait_until

QEMU = "qemu-system-x86_64"
KIT = pathlib.Path(os.environ.get("REEVE_TEST_VM", reeve.ROOT / "build/vm"))
HOST = "10.0.2.2"  # as the guest calls this one's loopback
MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "failover",
           "net_failover", "virtio_net")  # each after those that it needs
MEMORY_MIB = 320

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /tmp
mount -t tmpfs shm /dev/shm
for one in /modules/*.ko; do insmod "$one"; done
hostname guest
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
export PATH=/bin HOME=/
echo "the guest is up"
while :; do
    /reeve/reeve-worker --data /worker --join @/token --name vm --slots 2 --queue default --queue vm
    echo "the guest's worker ended $?"
    sleep 1
done
"""


def found(pattern):
    """A file of the kit, or None."""
    return next(iter(sorted(KIT.glob(pattern))), None)


def is_possible():
    """Why there can be no virtual machine here, or None."""
    if os.uname().machine != "x86_64":
        return "the virtual machine of the tests is an x86-64"
    if shutil.which(QEMU) is None:
        return f"no {QEMU}"
    if shutil.which("cpio") is None:
        return "no cpio"
    if found("**/vmlinuz-*") is None or found("**/bin/busybox") is None:
        return f"no guest kernel and busybox in {KIT}: tests/run.sh fetches them"
    return None


def libraries(path):
    """What a program's loader would map."""
    said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    return [pathlib.Path(one) for one in re.findall(r"(/\S+) \(0x", said)]


def write_kernel_modules(folder):
    """Numbered, in the order that they must be loaded in. One that is part of the kernel has no file."""
    folder.mkdir()
    for number, name in enumerate(MODULES):
        file = found(f"**/kernel/**/{name}.ko*")
        if file is not None:
            data = file.read_bytes()
            (folder / f"{number}-{name}.ko").write_bytes(lzma.decompress(data) if file.suffix == ".xz" else data)


def write_root(root, token):
    """The guest's file system."""
    for name in ("bin", "reeve", "proc", "sys", "dev", "tmp", "etc"):
        (root / name).mkdir(parents=True)
    write_kernel_modules(root / "modules")
    shutil.copy(found("**/bin/busybox"), root / "bin/busybox")
    for path in ("/bin/bash", program("reeve-worker"), program("reeve-runner")):
        place = root / ("bin" if path == "/bin/bash" else "reeve")
        shutil.copy(path, place)
        for library in libraries(path):
            (root / str(library.parent)[1:]).mkdir(parents=True, exist_ok=True)
            shutil.copy(library, root / str(library)[1:])
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "token").write_text(token)
    (root / "token").chmod(0o600)
    (root / "in-the-guest").write_text(HOST)
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)


class Machine:
    """`master` are the words by which a master is where the guest looks for it."""

    def __init__(self, cluster, port, *kernel):
        self.cluster, self.kernel = cluster, kernel
        self.master = ("--listen", f"tcp://127.0.0.1:{port}", "--advertise", f"tcp://{HOST}:{port}")
        self.folder = cluster.folder / "vm"
        self.folder.mkdir()
        self.image, self.console = self.folder / "image", self.folder / "console"
        self.count, self.process, self.monitor = 0, None, None

    def make(self, token):
        """The image that it boots from."""
        root = self.folder / "root"
        write_root(root, token)
        names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
        with open(self.image, "wb") as image:
            subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], input=names.encode(), stdout=image,
                           cwd=root, check=True)
        shutil.rmtree(root)

    def boot(self):
        self._start()
        wait_until(lambda: "the guest is up" in self.said(), what="the guest's boot")

    def boot_from(self, file):
        """It is as it was when it was saved."""
        self._start("-incoming", f"exec:cat {file}")
        wait_until(lambda: self.ask("query-status")["status"] in ("running", "paused"), what="the saved machine")
        self.ask("cont")

    def save(self, file):
        """It stands still while it is saved, and goes on."""
        self.ask("migrate", uri=f"exec:cat > {file}")
        wait_until(lambda: self.ask("query-migrate").get("status") == "completed", what="the machine, saved")
        self.ask("cont")

    def end(self):
        """As by a power cut."""
        self.monitor.close()
        self.cluster.kill(self._name())

    def said(self):
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    # ---- qemu ----

    def _name(self):
        return f"qemu{self.count}"

    def _start(self, *more):
        self.count += 1
        path = self.folder / f"monitor{self.count}"
        self.cluster.spawn(
            self._name(), QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-accel", "tcg",
            "-cpu", "max", "-smp", "1", "-m", str(MEMORY_MIB), "-kernel", found("**/vmlinuz-*"), "-initrd", self.image,
            "-append", " ".join(("rdinit=/init console=ttyS0 quiet panic=-1", *self.kernel)),
            "-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console",
            "-netdev", "user,id=net,ipv6=off", "-device", "virtio-net-pci,netdev=net,romfile=",
            "-qmp", f"unix:{path},server=on,wait=off", *more)
        wait_until(lambda: self._connects(path), what="qemu's monitor")

    def _connects(self, path):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            return False
        self.monitor = connection.makefile("rw", encoding="utf-8")
        connection.close()
        self.monitor.readline()
        self.ask("qmp_capabilities")
        return True

    def ask(self, command, **arguments):
        """The answer to one command; what else is told meanwhile is passed over."""
        self.monitor.write(json.dumps({"execute": command, "arguments": arguments}))
        self.monitor.flush()
        for line in self.monitor:
            answer = json.loads(line)
            assert "error" not in answer, (command, answer)
            if "return" in answer:
                return answer["return"]
        raise AssertionError(f"qemu ended at {command}:\n{self.cluster.log_of(self._name())}")
