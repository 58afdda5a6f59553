"""The operator spark: its command lines, held against a recording spark-submit, and what it does with drivers, against a
master's pages that the test serves. A real cluster: test_spark_cluster.py."""

import http.server
import json
import os
import re
import signal
import threading
import time

import pytest

import op
from reeve import wait_until

TAG = f"reeve:{op.KEY}:0:0:1"
DRIVER = "driver-20261121030002-0001"


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


class Bench:
    """A folder with an application and a spark-submit that records its arguments and then runs `script`."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "job.py").write_text("")
        (folder / "job.jar").write_text("")
        self.script("true")

    def program(self, name, script):
        path = self.folder / "bin" / name
        path.write_text(f'#!/bin/bash\nprintf "%s\\0" "${{0##*/}}" "$@" END >>{self.folder}/said\n{script}\n')
        path.chmod(0o755)

    def script(self, script):
        self.program("spark-submit", script)

    def start(self, options, connection=None, **more):
        connections = [{"id": "spark_default", "type": "spark", **connection}] if connection is not None else []
        environment = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "SPARK_HOME": ""}
        return op.Attempt("spark", options, connections, folder=str(self.folder), **environment, **more)

    def run(self, options, connection=None, **more):
        return self.start(options, connection, **more).end()

    def commands(self):
        path = self.folder / "said"
        text = path.read_text() if path.exists() else ""
        return [words.split("\0")[:-1] for words in text.split("END\0")[:-1]]

    def command(self, options, connection=None):
        ended = self.run(options, connection)
        assert ended.status == 0, ended.log
        (words,) = self.commands()
        return words


# ---- command lines ----


def test_every_option_in_airflows_order(bench):
    words = bench.command({
        "application": "job.jar", "args": ["a b", 3, "$(id)'\"\n"], "master": "yarn", "deploy_mode": "client",
        "conf": {"spark.x": "1 2", "spark.n": 3, "spark.b": True}, "properties_file": "p.conf", "files": ["f1", "f2"],
        "py_files": "a.py,b.py", "archives": ["z.zip"], "driver_class_path": "cp", "jars": ["1.jar", "2.jar"],
        "packages": ["g:a:1"], "exclude_packages": "g:b", "repositories": ["https://jars.example.com"], "num_executors": 4,
        "total_executor_cores": "8", "executor_cores": 2, "executor_memory": "2g", "driver_memory": "1g", "keytab": "k",
        "principal": "me", "proxy_user": "you", "name": "avg", "class": "my.Main", "verbose": True, "queue": "night",
        "env_vars": {"DAY": "2026"}})
    assert words == [
        "spark-submit", "--master", "yarn", "--conf", "spark.x=1 2", "--conf", "spark.n=3", "--conf", "spark.b=true",
        "--conf", "spark.yarn.appMasterEnv.DAY=2026", "--conf", f"spark.reeve.tag={TAG}", "--conf", f"spark.yarn.tags={TAG}",
        "--properties-file", "p.conf", "--files", "f1,f2", "--py-files", "a.py,b.py", "--archives", "z.zip",
        "--driver-class-path", "cp", "--jars", "1.jar,2.jar", "--packages", "g:a:1", "--exclude-packages", "g:b",
        "--repositories", "https://jars.example.com", "--num-executors", "4", "--total-executor-cores", "8", "--executor-cores", "2",
        "--executor-memory", "2g", "--driver-memory", "1g", "--keytab", "k", "--principal", "me", "--proxy-user", "you",
        "--name", f"avg {TAG}", "--class", "my.Main", "--verbose", "--queue", "night", "--deploy-mode", "client",
        "job.jar", "a b", "3", "$(id)'\"\n"]


def test_connection_gives_master_mode_queue_and_binary(bench):
    bench.program("spark3-submit", "true")
    words = bench.command({"application": "job.py"}, {
        "host": "spark://spark-master", "port": 7077,
        "extra": {"queue": "q", "deploy-mode": "client", "spark-binary": "spark3-submit", "keytab": "kt"}})
    assert words[:3] == ["spark3-submit", "--master", "spark://spark-master:7077"]
    assert words[-7:] == ["--name", f"job.py {TAG}", "--queue", "q", "--deploy-mode", "client", "job.py"]
    assert "kt" in words


@pytest.mark.parametrize("connection, master", [
    ({"host": "yarn"}, "yarn"), ({"host": "local[2]"}, "local[2]"), ({"host": "k8s://https://k8s.example.com", "port": 6443},
                                                                     "k8s://https://k8s.example.com:6443")])
def test_master_of_a_connection(bench, connection, master):
    assert bench.command({"application": "job.py"}, connection)[2] == master


def test_kubernetes_gets_namespace_label_and_environment(bench):
    words = bench.command({"application": "local:///job.py", "env_vars": {"A": "b"}, "deploy_mode": "cluster"},
                          {"host": "k8s://api", "extra": {"namespace": "etl"}})
    for conf in ("spark.kubernetes.namespace=etl", "spark.kubernetes.driverEnv.A=b",
                 f"spark.kubernetes.driver.label.reeve-tag={TAG.replace(':', '-')}"):
        assert words[words.index(conf) - 1] == "--conf"


def test_env_vars_are_the_process_s_elsewhere(bench):
    bench.script('echo "it is $MINE"')
    ended = bench.run({"application": "job.py", "master": "local", "env_vars": {"MINE": "$(id)"}})
    assert "it is $(id)\n" in ended.log


def test_secrets_in_the_command_are_masked(bench):
    ended = bench.run({"application": "job.py", "conf": {"spark.db.password": "hush1", "spark.s3.access.key": "hush2"},
                       "args": ["--password", "hush3", "--token=hush4", "--day", "plain"]})
    assert "hush" not in ended.log and "plain" in ended.log
    assert "hush3" in bench.commands()[0]


@pytest.mark.parametrize("options, connection, words", [
    ({}, None, "\"application\" is missing"),
    ({"application": "gone.py"}, None, "application: gone.py: there is no such file in the DAG's folder"),
    ({"application": "job.py", "executr_memory": "1g"}, None, "executor_memory"),
    ({"application": "job.py", "deploy_mode": "client "}, None, "must be client or cluster"),
    ({"application": "job.py", "conf": {"a": [1]}}, None, "a must have one text or number"),
    ({"application": "job.py", "conf": {"spark.reeve.tag": "x"}}, None, "are reeve's"),
    ({"application": "job.py", "args": [{}]}, None, "number 1 must be one text"),
    ({"application": "job.py", "num_executors": [1]}, None, "\"num_executors\" must be an integer"),
    ({"application": "job.py", "deploy_mode": "cluster"}, {"host": "spark://h", "port": 7077}, "no Python program in cluster"),
    ({"application": "job.jar", "deploy_mode": "cluster", "env_vars": {"A": "b"}}, {"host": "spark://h"}, "no environment"),
    ({"application": "job.jar"}, {"host": "h", "type": "postgres"}, "is of type postgres, not spark"),
    ({"application": "job.jar"}, {"host": "h", "extra": {"spark-binary": "rm"}}, "must be spark-submit"),
    ({"application": "job.jar"}, {"host": "h", "extra": {"rest-port": "x"}}, "are ports"),
])
def test_what_is_written_wrongly_is_said_before_anything_starts(bench, options, connection, words):
    ended = bench.run(options, connection)
    assert ended.status == 1 and words in ended.error, ended.log
    assert ended.retry is False and bench.commands() == [] and ended.notes == []


def test_no_spark_is_said_with_what_to_do(bench):
    (bench.folder / "bin" / "spark-submit").unlink()
    ended = op.Attempt("spark", {"application": "job.py"}, folder=str(bench.folder), PATH="/usr/bin:/bin", SPARK_HOME="").end()
    assert "spark-submit: not found on this worker" in ended.error and ended.retry is True


# ---- what it hears ----


def test_ids_are_noted_and_a_failure_names_its_exception(bench):
    bench.script("""echo "26/11/21 03:00:02 INFO Utils: Successfully started service 'SparkUI' on port 4041."
echo 'INFO StandaloneSchedulerBackend: Connected to Spark cluster with app ID app-20261121030002-0007'
sleep 0.2
echo 'Exception in thread "main" org.apache.spark.SparkException: Job aborted.'
printf '\\tat org.apache.spark.Scheduler.run(x.scala:3): Error: no\\n'
echo 'Caused by: java.lang.ArithmeticException: / by zero'
printf '\\tat my.Main.main(Main.scala:7)\\n'
exit 3""")
    ended = bench.run({"application": "job.jar"}, {"host": "spark://127.0.0.1", "port": 1})
    assert ended.status == 1
    assert ended.error == "Caused by: java.lang.ArithmeticException: / by zero (spark-submit ended with 3)"
    assert ended.notes[0] == {"state": "submitting", "mode": "client", "tag": TAG}
    assert ended.notes[1] == {"application": "app-20261121030002-0007", "master": "spark://127.0.0.1:1",
                              "ui": "http://127.0.0.1:4041"}


def test_python_s_exception_is_the_error(bench):
    bench.script("printf 'Traceback (most recent call last):\\n  File \"job.py\", line 3\\nZeroDivisionError: division by zero"
                 "\\n26/11/21 INFO ShutdownHookManager: Deleting directory /tmp/x\\n'; exit 1")
    assert bench.run({"application": "job.py"}).error == "ZeroDivisionError: division by zero (spark-submit ended with 1)"


def test_what_says_nothing_fails_with_its_last_line_or_its_status(bench):
    bench.script("echo; echo 'cannot go on'; echo; kill -9 $$")
    assert bench.run({"application": "job.py"}).error == "cannot go on (spark-submit ended with 137)"
    bench.script("exit 4")
    assert bench.run({"application": "job.py"}).error == "it said nothing (spark-submit ended with 4)"


def test_master_that_refuses_is_the_error_and_not_what_follows_from_it(bench):
    bench.script("""echo 'ERROR StandaloneSchedulerBackend: Application has been killed. Reason: All masters are unresponsive! Giving up.'
echo 'java.lang.IllegalStateException: Cannot call methods on a stopped SparkContext.'; exit 1""")
    ended = bench.run({"application": "job.py"}, {"host": "spark://127.0.0.1", "port": 1})
    assert ended.error == ("no master answers, or it refuses: All masters are unresponsive (spark-submit ended with 1)")


def test_application_that_no_worker_takes_says_so_meanwhile_and_when_it_is_stopped(bench):
    bench.script("""echo "INFO Utils: Successfully started service 'SparkUI' on port 1."
echo 'Connected to Spark cluster with app ID app-20261121030002-0007'
trap 'exit 143' TERM
echo 'WARN TaskSchedulerImpl: Initial job has not accepted any resources; check your cluster UI'
while :; do sleep 0.1; done""")
    attempt = bench.start({"application": "job.py"}, {"host": "spark://127.0.0.1", "port": 1})
    ender = Ender(attempt)
    wait_until(lambda: [line for line in attempt.said if "no worker of the cluster has taken it" in line.get("text", "")])
    attempt.signal(signal.SIGTERM)
    assert ender.end().error == "stopped by a signal; no worker of the cluster has taken it"


def test_sigterm_ends_spark_submit_first(bench):
    bench.script("trap 'echo hooks run; exit 143' TERM; echo up >$PWD/up; while :; do sleep 0.1; done")
    attempt = bench.start({"application": "job.py"})
    ender = Ender(attempt)
    wait_until((bench.folder / "up").exists)
    attempt.signal(signal.SIGTERM)
    ended = ender.end()
    assert ended.status == 143 and "hooks run" in ended.log and "stopped by a signal" in ended.error


class Ender(threading.Thread):
    """Hears an attempt to its end, while the test goes on."""

    def __init__(self, attempt):
        super().__init__(daemon=True)
        self.attempt = attempt
        self.ended = None
        self.start()

    def run(self):
        self.ended = self.attempt.end()

    def end(self):
        self.join(60)
        assert self.ended is not None
        return self.ended


# ---- drivers of a standalone cluster ----


class Master:
    """A master's pages: `rest` whether its REST server answers, `states` the driver's, one a look, the last for good ("AWAY":
    no answer), `ends` those once it was told to end the driver, `slow_s` how long its first page takes."""

    def __init__(self, states, rest=True, apps=(), since=0, ends=("KILLED",), slow_s=0):
        self.states, self.rest, self.apps, self.since, self.asked = list(states), rest, list(apps), since, []
        self.ends, self.slow_s = list(ends), slow_s
        own = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, document, status=200):
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                own.asked.append(self.path)
                if self.path == "/json/":
                    state, page = own.page()
                    self.answer(page, 503 if state == "AWAY" else 200)
                elif own.rest and self.path == f"/v1/submissions/status/{DRIVER}":
                    state = own.look()
                    self.answer({"driverState": state, "success": True, "message": "Exception: boom\nmore"},
                                503 if state == "AWAY" else 200)
                else:
                    self.answer({}, 404)

            def do_POST(self):
                own.asked.append(self.path)
                if self.path.startswith("/app/kill/"):
                    own.apps = []
                    self.send_response(302)
                    self.send_header("Location", "/")
                    self.end_headers()
                elif own.rest and self.path == f"/v1/submissions/kill/{DRIVER}":
                    own.states = own.ends
                    self.answer({"success": True})
                else:
                    self.answer({}, 404)

            def log_message(self, *_args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def look(self):
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def page(self):
        slow_s, self.slow_s = self.slow_s, 0
        time.sleep(slow_s)
        state = self.look() if not self.rest else self.states[0]
        known = {"id": DRIVER, "starttime": str(self.since), "state": state}
        live = state in ("SUBMITTED", "RUNNING", "RELAUNCHING")
        return state, {"activeapps": self.apps, "activedrivers": [known] if live else [],
                       "completeddrivers": [known] if not live and state != "NONE" else []}

    def connection(self):
        return {"host": "spark://127.0.0.1", "port": 7077,
                "extra": {"deploy-mode": "cluster", "rest-port": self.port, "webui-port": self.port}}

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def master(request):
    made = []

    def make(*arguments, **more):
        made.append(Master(*arguments, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def submitted(bench):
    bench.script(f"echo 'INFO ClientEndpoint: Driver successfully submitted as {DRIVER}'")


@pytest.mark.parametrize("rest", [True, False])
def test_driver_is_noted_and_followed_until_it_is_finished(bench, master, rest):
    submitted(bench)
    server = master(["SUBMITTED", "RUNNING", "UNKNOWN", "RUNNING", "FINISHED"], rest)
    ended = bench.run({"application": "job.jar"}, server.connection())
    assert ended.status == 0, ended.log
    assert ended.notes == [{"state": "submitting", "mode": "cluster", "tag": TAG},
                           {"driver": DRIVER, "master": "spark://127.0.0.1:7077"}]
    assert f"{DRIVER} is RUNNING" in [line.get("text") for line in ended.said if line["type"] == "progress"]


@pytest.mark.parametrize("state", ["FAILED", "KILLED", "ERROR"])
def test_only_finished_is_success(bench, master, state):
    submitted(bench)
    ended = bench.run({"application": "job.jar"}, master(["RUNNING", state]).connection())
    assert ended.error == f"{DRIVER} is {state}: Exception: boom"


def test_21_the_driver_of_a_killed_spark_submit_is_followed_and_ended_on_cancel(bench, master):
    bench.script(f"echo 'Driver successfully submitted as {DRIVER}'; kill -9 $$")
    ended = bench.run({"application": "job.jar"}, master(["RUNNING", "FINISHED"]).connection())
    assert ended.status == 0 and "spark-submit ended with 137" in ended.log, ended.log
    server = master(["RUNNING"])
    attempt = bench.start({"application": "job.jar"}, server.connection())
    ender = Ender(attempt)
    wait_until(lambda: server.asked)
    attempt.signal(signal.SIGTERM)
    ended = ender.end()
    assert ended.status == 143 and ended.error == f"stopped by a signal; {DRIVER} is KILLED", ended.log


def test_exit_0_without_a_driver_is_no_success(bench, master):
    ended = bench.run({"application": "job.jar"}, master(["RUNNING"]).connection())
    assert "named no driver" in ended.error


@pytest.mark.slow
def test_driver_that_the_master_lost_fails_after_ten_looks(bench, master):
    submitted(bench)
    ended = bench.run({"application": "job.jar"}, master(["NONE"]).connection())
    assert "the master knows it no more" in ended.error


def test_cancel_ends_the_driver_over_rest(bench, master):
    submitted(bench)
    server = master(["RUNNING"])
    attempt = bench.start({"application": "job.jar"}, server.connection())
    ender = Ender(attempt)
    wait_until(lambda: any("status" in path for path in server.asked))
    attempt.signal(signal.SIGTERM)
    ended = ender.end()
    assert (ended.status, ended.error) == (143, f"stopped by a signal; {DRIVER} is KILLED")
    assert f"/v1/submissions/kill/{DRIVER}" in server.asked


@pytest.mark.parametrize("ends, error", [(["AWAY", "AWAY", "UNKNOWN", "KILLED"], f"stopped by a signal; {DRIVER} is KILLED"),
                                         (["NONE"], f"stopped by a signal; {DRIVER} is unknown"),
                                         (["AWAY"], f"{DRIVER} may still run: http://")])
def test_cancel_bears_ten_looks_in_a_row_without_an_answer(bench, master, ends, error):
    submitted(bench)
    server = master(["RUNNING"], ends=ends)
    attempt = bench.start({"application": "job.jar"}, server.connection())
    ender = Ender(attempt)
    wait_until(lambda: any("status" in path for path in server.asked))
    attempt.signal(signal.SIGTERM)
    ended = ender.end()
    assert ended.error.startswith(error), ended.log


def test_cancel_ends_the_driver_by_spark_s_client_where_rest_is_off(bench, master):
    submitted(bench)
    server = master(["RUNNING"], rest=False)
    bench.program("spark-class", f"touch {bench.folder}/killed")
    attempt = bench.start({"application": "job.jar"}, server.connection())
    ender = Ender(attempt)
    wait_until(lambda: server.asked.count("/json/") > 1)
    attempt.signal(signal.SIGTERM)
    wait_until((bench.folder / "killed").exists)
    server.states = ["KILLED"]
    ended = ender.end()
    assert (ended.status, ended.error) == (143, f"stopped by a signal; {DRIVER} is KILLED")
    assert bench.commands()[-1] == ["spark-class", "org.apache.spark.deploy.Client", "kill", "spark://127.0.0.1:7077", DRIVER]


# ---- retries ----


def noted(note, attempt=1, at="2026-11-21T03:00:00.000Z"):
    return {"attempt": attempt, "id": 1, "at": at, "note": note}


SUBMITTING = noted({"state": "submitting", "mode": "cluster", "tag": TAG})
HAS_DRIVER = noted({"driver": DRIVER, "master": "spark://127.0.0.1:7077"})


@pytest.mark.parametrize("states", [["RUNNING", "FINISHED"], ["FINISHED"]])
def test_retry_takes_over_what_runs_or_has_finished(bench, master, states):
    ended = bench.run({"application": "job.jar"}, master(states).connection(), number=2, notes=[SUBMITTING, HAS_DRIVER])
    assert ended.status == 0 and bench.commands() == [], ended.log
    assert ended.notes == [{"driver": DRIVER, "adopted": "true"}]


def test_retry_submits_again_when_the_earlier_driver_is_dead(bench, master):
    submitted(bench)
    server = master(["FAILED", "FINISHED"])
    ended = bench.run({"application": "job.jar"}, server.connection(), number=2, notes=[SUBMITTING, HAS_DRIVER])
    assert ended.status == 0 and len(bench.commands()) == 1


def test_retry_that_cannot_ask_does_not_begin(bench):
    connection = {"host": "spark://127.0.0.1", "port": 7077,
                  "extra": {"deploy-mode": "cluster", "rest-port": 1, "webui-port": 1}}
    ended = bench.run({"application": "job.jar"}, connection, number=2, notes=[SUBMITTING, HAS_DRIVER])
    assert "whether driver-20261121030002-0001 of attempt 1 still runs cannot be found out" in ended.error
    ended = bench.run({"application": "job.jar"}, connection, number=2, notes=[SUBMITTING])
    assert "lost while it submitted" in ended.error and ended.retry is True
    assert bench.commands() == []


def test_retry_of_one_lost_while_submitting_begins_only_when_no_driver_can_be_its(bench, master):
    submitted(bench)
    later = 1_795_230_000_000  # after the note
    ended = bench.run({"application": "job.jar"}, master(["RUNNING"], since=later).connection(), number=2, notes=[SUBMITTING])
    assert "driver-20261121030002-0001, which runs, may be its" in ended.error and bench.commands() == []
    older = master(["RUNNING", "FINISHED"], since=1_000_000_000_000)
    assert bench.run({"application": "job.jar"}, older.connection(), number=2, notes=[SUBMITTING]).status == 0


@pytest.mark.parametrize("slow_s", [0, pytest.param(7, marks=pytest.mark.slow)])  # 7: longer than one look waits
def test_retry_in_client_mode_ends_applications_that_carry_its_tag(bench, master, slow_s):
    mine = {"id": "app-20261121030002-0009", "name": f"job.py reeve:{op.KEY}:0:0:1"}
    other = {"id": "app-20261121030002-0008", "name": f"job.py reeve:{op.KEY}:10:0:1"}
    server = master(["NONE"], apps=[mine, other], slow_s=slow_s)
    connection = {**server.connection(), "extra": {**server.connection()["extra"], "deploy-mode": "client"}}
    ended = bench.run({"application": "job.py"}, connection, number=2,
                      notes=[noted({"state": "submitting", "mode": "client", "tag": TAG})])
    assert ended.status == 0, ended.log
    assert [path for path in server.asked if "kill" in path] == [f"/app/kill/?id={mine['id']}&terminate=true"]


def test_retry_ends_the_earlier_application_on_yarn(bench):
    bench.program("yarn", "true")
    notes = [noted({"state": "submitting", "mode": "cluster", "tag": TAG}), noted({"application": "application_1_0001"})]
    ended = bench.run({"application": "job.jar", "master": "yarn", "deploy_mode": "cluster"}, number=2, notes=notes)
    assert ended.status == 0, ended.log
    assert bench.commands()[0] == ["yarn", "application", "-kill", "application_1_0001"]
    bench.program("yarn", "exit 1")
    ended = bench.run({"application": "job.jar", "master": "yarn", "deploy_mode": "cluster"}, number=2, notes=notes)
    assert "what attempt 1 left cannot be ended" in ended.error
    assert re.search("status 1", ended.error)
