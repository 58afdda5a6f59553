"""The systemd units: systemd understands them, and they say what lets tasks outlive the agent."""

import configparser
import re
import shutil
import subprocess

import pytest

from reeve import ROOT, program

UNITS = ["reeve-master", "reeve-worker"]


def read(name):
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(ROOT / f"deploy/systemd/{name}.service")
    return unit


@pytest.mark.parametrize("name", UNITS)
def test_unit_is_understood_by_systemd(name, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    text = (ROOT / f"deploy/systemd/{name}.service").read_text()
    # The programs lie elsewhere before they are installed.
    (tmp_path / f"{name}.service").write_text(text.replace(f"/usr/bin/{name}", program(name)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(tmp_path / f"{name}.service")],
                          capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in done.stderr.splitlines() if name in line]
    assert done.returncode == 0 and not ours, done.stderr


def test_unit_of_a_worker_lets_tasks_outlive_the_agent():
    service = read("reeve-worker")["Service"]
    wanted = {"KillMode": "process", "Delegate": "yes", "OOMPolicy": "continue", "Restart": "always",
              "TasksMax": "75%"}
    assert {key: service[key] for key in wanted} == wanted
    # A worker that was sent away is not started again and again.
    assert "4" in service["RestartPreventExitStatus"].split()


def test_drop_in_for_limits_names_the_cgroup_that_the_runner_leaves_out():
    text = (ROOT / "deploy/systemd/limits.conf").read_text()
    leaf = re.search(r"^DelegateSubgroup=(.+)$", text, re.M).group(1)
    assert f'LEAF[] = "/{leaf}"' in (ROOT / "worker/runner/cgroup.c").read_text()


@pytest.mark.parametrize("name", UNITS)
def test_unit_starts_the_program_again_after_a_crash(name):
    service = read(name)["Service"]
    assert service["Restart"] == "always" and "75" not in service.get("RestartPreventExitStatus", "")
