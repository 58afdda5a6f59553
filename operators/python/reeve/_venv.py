"""`venv: {requirements: […]}`: an environment, built once on each worker and found again by what is in it."""

import fcntl
import hashlib
import json
import os
import shutil
import stat
import subprocess
import time

from reeve._operator import Broken, Wrong

UNUSED_SECONDS = 30 * 24 * 3600


def cache_folder():
    """The user's own; nobody else may write there, for what lies there is run."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(home) or not os.access(os.path.dirname(home) if not os.path.exists(home) else home, os.W_OK):
        home = f"/var/tmp/reeve-{os.getuid()}"
    folder = os.path.join(home, "reeve", "venv")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    for path in (home, folder):
        info = os.stat(path)
        if info.st_uid != os.getuid() or stat.S_IMODE(info.st_mode) & 0o022:
            raise Wrong(f"venv: {path} belongs to another user or may be written by others; set XDG_CACHE_HOME")
    return folder


def digest(requirements, options, interpreter):
    """Of all that the environment depends on: a requirement that is a file counts by its content."""
    path = shutil.which(interpreter)
    if path is None:
        raise Wrong(f"interpreter: {interpreter}: not found on this worker")
    info = os.stat(path)
    parts = [os.path.realpath(path), info.st_mtime_ns, options.get("system_site_packages", False)]
    for text in requirements:
        parts.append(text)
        if os.path.isfile(text):
            with open(text, "rb") as file:
                parts.append(hashlib.sha256(file.read()).hexdigest())
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def step(arguments, what):
    print("$", " ".join(arguments), flush=True)
    status = subprocess.run(arguments, check=False).returncode
    if status != 0:
        raise Broken(f"venv: {what} ended with {status}; what it said stands above")


def build(folder, requirements, options, interpreter):
    shutil.rmtree(folder, ignore_errors=True)
    make = [interpreter, "-m", "venv", folder]
    if not requirements:
        make.insert(3, "--without-pip")
    if options.get("system_site_packages"):
        make.insert(3, "--system-site-packages")
    step(make, "making it")
    if requirements:
        pip = [os.path.join(folder, "bin", "python"), "-m", "pip", "--disable-pip-version-check", "install"]
        step(pip + requirements, "pip")
    with open(os.path.join(folder, ".ready"), "w", encoding="utf-8") as file:
        file.write("\n".join(requirements))


def evict(cache, now):
    """Those that nobody has used for a month, and that nobody is building."""
    for name in os.listdir(cache):
        ready = os.path.join(cache, name, ".ready")
        if not os.path.exists(ready) or now - os.stat(ready).st_mtime < UNUSED_SECONDS:
            continue
        with open(os.path.join(cache, name + ".lock"), "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(os.path.join(cache, name), ignore_errors=True)


def python(options, interpreter):
    """The environment's own interpreter. Of several tasks that need it at once one builds, the others wait."""
    requirements = options.get("requirements", [])
    cache = cache_folder()
    folder = os.path.join(cache, digest(requirements, options, interpreter))
    with open(folder + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(folder, ".ready")):
            evict(cache, time.time())
            build(folder, requirements, options, interpreter)
        os.utime(os.path.join(folder, ".ready"))
    return os.path.join(folder, "bin", "python")
