"""`cmake --install`: what it lays down works by itself, under any prefix."""

import contextlib
import os
import re
import shutil
import subprocess

import pytest

import reeve

# Both write the build's list of what was installed.
TOGETHER = True


def install(prefix, **environment):
    """From the build whose programs are tested."""
    build = reeve.BIN.parent
    if shutil.which("cmake") is None or not (build / "CMakeCache.txt").exists():
        pytest.skip(f"needs cmake, and {build} to be a build's folder")
    done = subprocess.run(["cmake", "--install", str(build), "--prefix", str(prefix)], capture_output=True, text=True,
                          env={**os.environ, **environment}, stdin=subprocess.DEVNULL, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def programs_of(cluster):
    found = set()
    for pid in cluster.processes_left():
        with contextlib.suppress(OSError):  # it is ending
            found.add(os.readlink(f"/proc/{pid}/exe"))
    return found


def test_what_is_installed_uses_nothing_of_the_builds_folder(cluster, monkeypatch):
    prefix = cluster.folder / "opt"
    install(prefix)
    monkeypatch.setattr(reeve, "BIN", prefix / "bin")
    cluster.start(workers=1)
    found = {row["operator"]: row["problem"] for row in cluster.json("operators")}
    assert {"postgres", "probe", "python", "spark"} <= set(found) and not found["python"], found
    run = cluster.submit(cluster.dag("d", {
        "shell": {"bash": 'readlink "/proc/$PPID/exe"'},
        "library": {"python": "import reeve\nprint(reeve.__file__)"}}))
    cluster.finish(run)
    assert cluster.ok("logs", f"{run}/shell").strip() == f"{prefix}/bin/reeve-runner"
    assert cluster.ok("logs", f"{run}/library").strip() == f"{prefix}/lib/reeve/python/reeve/__init__.py"
    wanted = {f"{prefix}/bin/{name}" for name in ("reeve-master", "reeve-worker", "reeve-runner")}
    reeve.wait_until(lambda: programs_of(cluster) == wanted, what="its own programs alone")


def test_units_name_the_programs_where_they_were_installed(tmp_path):
    """A package's build installs into a folder of its own, for a prefix that is not there yet."""
    install("/opt/reeve", DESTDIR=str(tmp_path))
    for name in ("reeve-master", "reeve-worker"):
        text = (tmp_path / f"opt/reeve/lib/systemd/system/{name}.service").read_text()
        (starts,) = re.findall(r"^ExecStart=(\S+)", text, re.M)
        assert starts == f"/opt/reeve/bin/{name}" and os.access(f"{tmp_path}{starts}", os.X_OK)
