"""FAULTS 29: `../`, `%2f`, links, FIFOs and devices in bundles, artifacts, names and ids: refused, nothing touched."""

import json
import os
import secrets
import socket

import pytest

import wire as wires
from reeve import wait_until

OUT = ["../up", "/etc/passwd", "a/../../up", ".."]
NO_NAMES = ["../up", "a/b", "..", ".", "a%2fb", "%2e%2e", "a b", "a\n", "a\0b", "", "-a", "\u00e9"]


# Only root makes devices.
KINDS = ["fifo", "socket", "link", "link up", "link to a folder", *(["device"] if os.geteuid() == 0 else [])]


def special(kind, path):
    """Puts something there that is no file."""
    if kind == "device":
        os.mknod(path, 0o020600, os.makedev(1, 5))
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as own:
            own.bind(str(path))
    else:
        path.symlink_to({"link": "/etc/passwd", "link up": "../../m/store.db", "link to a folder": "/etc"}[kind])


def test_29_what_is_no_file_of_the_folder_does_not_travel(cluster):
    cluster.start_master()
    for number, kind in enumerate(KINDS):
        file = cluster.dag(f"d{number}", {"a": {"noop": None}})
        special(kind, file.parent / "planted")
        refused = cluster.reeve("submit", file)
        assert refused.status == 7 and "planted" in refused.err and not refused.out, (kind, refused)
    assert cluster.json("runs") == []


@pytest.mark.parametrize("path", OUT)
def test_29_paths_of_a_dag_file_stay_in_its_folder(cluster, path):
    for task, keys in (({"bash": {"file": path}}, {}), ({"bash": "true", "artifacts": [path]}, {}),
                       ({"noop": None}, {"files": [path]})):
        file = cluster.folder / "d.yaml"
        file.write_text(json.dumps({"tasks": {"a": task}, **keys}))
        refused = cluster.reeve("validate", file)
        assert refused.status == 3 and "a path in" in refused.err, (task, keys, refused)


def test_29_names_are_no_paths(cluster):
    documents = [document for name in NO_NAMES for document in (
        {"dag": name, "tasks": {"a": {"noop": None}}}, {"tasks": {name: {"noop": None}}})]
    for document in documents:
        path = cluster.folder / "d.yaml"
        path.write_text(json.dumps(document))
        refused = cluster.reeve("validate", path)
        assert refused.status == 3 and refused.err.startswith(f"{path}:1:"), (document, refused)


def test_29_artifacts_that_are_links_out_or_no_files_fail_their_task_by_name(started):
    bodies = ["ln -s /etc/passwd out", "mkfifo out", "mkdir out; ln -s / out/root", "ln -s ../../private out",
              "mkdir out; ln -s ../../../private/key out/key",
              "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"out\")'"]
    run = started.submit(started.dag("d", {f"t{n}": {"bash": body, "artifacts": ["out"]} for n, body in enumerate(bodies)}))
    started.finish(run, status=1)
    for task in started.tasks(run).values():
        assert task["reason"] == "artifact" and '"out' in task["error"], task
    assert not started.json("artifacts", run)


def test_29_ids_of_the_command_line_are_no_paths(started):
    run = started.submit(started.dag("d", {"a": {"bash": "echo said"}}))
    started.finish(run)
    for name in ("../../etc/passwd", "d/../1", "d/1/../a", "d/1/%2e%2e", "d/1/%2fetc", "d/1/a@../1", "d%2f1", "..", "d/1/a/b"):
        refused = started.reeve("logs", name)
        assert refused.status == 2 and not refused.out, (name, refused)
    for command in (["drain", "../w1"], ["workers", "--remove", "../w1"], ["artifacts", run, "--get", "../../m/store.db"],
                    ["token", "revoke", "../1"]):
        refused = started.reeve(*command)
        assert refused.status in (2, 6) and not refused.out, (command, refused)
    wait_until(lambda: started.workers_up() == {"w1", "w2"}, what="both up")


def test_29_a_peer_s_name_and_path_are_no_paths(wire):
    _, once = wire.token("worker")
    before = {path.name for path in wire.cluster.data.iterdir()}
    joiner = wire.remote(once)
    operator = wire.remote(wire.member("operator", "ann"))
    for name in NO_NAMES:
        code, text = joiner.refused("join", key=wires.Keys().public, name=name)
        assert code in (wires.USAGE, wires.DENIED, wires.INVALID), (name, text)
        for file in (name, f"{name}.yaml"):
            code, text = operator.refused("submit", file=file, bundle=secrets.token_bytes(32))
            assert code in (wires.USAGE, wires.NOT_FOUND, wires.INVALID), (name, text)
    assert {path.name for path in wire.cluster.data.iterdir()} == before


def test_29_a_hash_of_another_length_names_no_file(wire):
    bulk = wire.remote(wire.member("operator", "ann"), bulk=True)
    for digest in (b"", b"../../server.key", b"\0" * 31, b"/" * 33, b"." * 64):
        code, text = bulk.refused("blob_read", hash=digest, limit=100)
        assert code < 0 and text
        bulk.send(wires.message("blob_offer", hash=digest, bytes=4))
        assert bulk.receive(lambda answer, _: answer != "credit")[0] == "refused"
