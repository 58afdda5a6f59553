"""deploy/quickstart.sh, as a newcomer runs it."""

import subprocess

import pytest

import reeve


@pytest.fixture
def marked(cluster):
    """A cluster of which only the environment's mark is used: what the script leaves behind carries it."""
    return cluster


def quickstart(marked):
    return subprocess.run([str(reeve.ROOT / "deploy/quickstart.sh")], capture_output=True, text=True, env=marked.env,
                          cwd="/", stdin=subprocess.DEVNULL, timeout=900, check=False)


@pytest.mark.slow
def test_quickstart_shows_the_report_and_leaves_nothing(marked):
    first = quickstart(marked)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "The 10 largest of" in first.stdout
    second = quickstart(marked)
    assert second.returncode == 0, second.stdout + second.stderr
    # It takes seconds: nothing is built again.
    assert "no work to do" in (reeve.ROOT / "build/quickstart.log").read_text()
    assert "The 10 largest of" in second.stdout
    assert not marked.processes_left()
