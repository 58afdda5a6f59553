"""A real Spark for the tests: a standalone master and a worker on free ports, from the package pyspark, and a jar.

    cluster = spark.Cluster()              # skips the test where there is no Spark or no Java
    cluster.connection(rest=True)          # as the operator gets it
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request

import pytest

import op
import reeve

SOURCE = """
import java.util.*;
import org.apache.spark.api.java.function.*;
import org.apache.spark.sql.*;

public class Average {
    public static void main(String[] args) throws Exception {
        SparkSession spark = SparkSession.builder().getOrCreate();
        List<Integer> numbers = new ArrayList<>();
        for (int i = 1; i <= 10; i++) numbers.add(i * 100);
        Dataset<Integer> data = spark.createDataset(numbers, Encoders.INT());
        Row row = data.agg(functions.avg("value")).first();
        System.out.println("average " + row.getDouble(0));
        if (args.length > 0 && args[0].equals("sleep")) Thread.sleep(600000);
        if (args.length > 0 && args[0].equals("fail")) throw new IllegalStateException("as asked");
        spark.stop();
    }
}
"""


def home():
    """The folder of a whole Spark, or None."""
    builds = pathlib.Path(__file__).resolve().parents[2] / "build" / "pyspark"
    for python in (builds / "bin" / "python", pathlib.Path(sys.executable)):
        if not python.exists():
            continue
        found = subprocess.run([python, "-c", "import pyspark; print(pyspark.__path__[0])"], capture_output=True, text=True,
                               check=False)
        if found.returncode == 0:
            return pathlib.Path(found.stdout.strip())
    return None


class Cluster:
    def __init__(self, rest=True):
        self.home = home()
        if self.home is None:
            pytest.skip("the package pyspark is not installed")
        if shutil.which("java") is None:
            pytest.skip("there is no Java")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rvspark-"))
        self.port, self.web, self.rest_port = reeve.free_port(), reeve.free_port(), reeve.free_port()
        self.processes = []
        try:
            self.begin(rest)
        except BaseException:
            self.close()
            raise

    def begin(self, rest):
        self.start("master.Master", "--host", "127.0.0.1", "--port", self.port, "--webui-port", self.web,
                   SPARK_MASTER_OPTS=f"-Dspark.master.rest.enabled={str(rest).lower()} -Dspark.master.rest.port={self.rest_port}")
        reeve.wait_until(lambda: self.page() is not None, seconds=240)
        self.start("worker.Worker", "--host", "127.0.0.1", "--webui-port", reeve.free_port(), "--cores", 2, "--memory", "2g", "-d",
                   self.folder / "work", f"spark://127.0.0.1:{self.port}")
        reeve.wait_until(lambda: (self.page() or {}).get("aliveworkers") == 1, seconds=240)

    def environment(self, **more):
        return reeve.clean_environment(SPARK_LOCAL_IP="127.0.0.1", SPARK_HOME=self.home, PYSPARK_PYTHON=sys.executable,
                                       SPARK_DAEMON_MEMORY="256m", **more)

    def start(self, name, *arguments, **environment):
        log = open(self.folder / f"{name}.log", "wb")  # noqa: SIM115 (the process's own)
        self.processes.append(subprocess.Popen(
            [self.home / "bin" / "spark-class", f"org.apache.spark.deploy.{name}", *map(str, arguments)], stdout=log,
            stderr=log, stdin=subprocess.DEVNULL, env=self.environment(**environment), start_new_session=True))
        log.close()

    def page(self):
        """What the master says of itself, None while it does not."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.web}/json/", timeout=5) as answer:
                return json.load(answer)
        except (OSError, ValueError):  # its pages come one after another
            return None

    def active_drivers(self):
        """Its answer may be late, on a busy machine."""
        return reeve.wait_until(self.page, seconds=120)["activedrivers"]

    def is_empty(self):
        """Neither application, nor driver, nor a core in use."""
        page = self.page()
        return page is not None and not page["activeapps"] and not page["activedrivers"] and page["coresused"] == 0

    def connection(self, mode="client"):
        return {"id": "spark_default", "type": "spark", "host": "spark://127.0.0.1", "port": self.port,
                "extra": {"deploy-mode": mode, "rest-port": self.rest_port, "webui-port": self.web}}

    def attempt(self, options, mode="client", folder="/", **more):
        options = {"driver_memory": "512m", "executor_memory": "512m", **options}
        environment = {name: value for name, value in self.environment().items() if name.startswith(("SPARK", "PYSPARK"))}
        return op.Attempt("spark", options, [self.connection(mode)], folder=str(folder), **environment, **more)

    def jar(self):
        """A program that averages 100, 200, … 1000; `sleep` and `fail` are its arguments."""
        path = self.folder / "average.jar"
        if path.exists():
            return path
        if shutil.which("javac") is None:
            pytest.skip("there is no javac")
        (self.folder / "Average.java").write_text(SOURCE)
        jars = f"{self.home}/jars/*"
        subprocess.run(["javac", "-cp", jars, "-d", self.folder, self.folder / "Average.java"], check=True)
        subprocess.run(["jar", "cf", path, "-C", self.folder, "Average.class"], check=True)
        return path

    def close(self):
        for process in reversed(self.processes):
            os.killpg(process.pid, 9)
            process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)
