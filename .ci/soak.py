"""Keeps a server busy for long: COPY at half of the rate that it can take, views, a sink, a subscriber, checkpoints.

Every few seconds a line is added to DIR/soak.csv: memory, files and bytes on disk, rows a second, and the latency of a row
from its INSERT to a subscriber. DIR/soak.png draws all of it. At its end it looks whether views and table agree, whether the
subscriber saw each row once and in order, and whether the server stopped cleanly; the exit code says so.

It can be run in pieces: the next one with the same DIR starts the server on the same data, at the same rate, and goes on.
What is kept does not grow: rows are deleted after half a minute, and the sink's files too, as one who reads them would.
"""

import argparse
import csv
import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import threading
import time

import psycopg

CHUNK = 2000
KEPT_S = 30
SAMPLE_S = 5
CALIBRATE_S = 15
BEAT_S = 0.02
KINDS = 1000

CREATE = [
    "CREATE TABLE events (id BIGINT, kind INT, price BIGINT, at TIMESTAMP, "
    "WATERMARK FOR at AS at - INTERVAL '1' SECOND)",
    "CREATE TABLE beats (id BIGINT PRIMARY KEY, sent DOUBLE PRECISION)",
    "CREATE MATERIALIZED VIEW kinds AS SELECT kind, count(*) AS n, sum(price) AS sum FROM events GROUP BY kind",
    "CREATE MATERIALIZED VIEW highest AS SELECT kind, max(price) AS price FROM events GROUP BY kind",
    "CREATE MATERIALIZED VIEW volume AS SELECT window_start, count(*) AS n, sum(price) AS sum "
    "FROM TUMBLE(events, at, INTERVAL '10' SECOND) GROUP BY window_start EMIT ON WINDOW CLOSE",
    "CREATE MATERIALIZED VIEW pulse AS SELECT id, sent FROM beats WHERE id >= 0",
    "CREATE SINK written FROM volume WITH (connector = 'file', path = '{sink}', roll_interval = '5 s') "
    "FORMAT UPSERT ENCODE JSON",
]

SUBSCRIBE = "COPY (SUBSCRIBE pulse WITH (SNAPSHOT false, PROGRESS true)) TO STDOUT"

COLUMNS = [
    "piece", "seconds", "rss_mb", "cpu_s", "files", "log_mb", "checkpoints_mb", "sink_files", "rows", "rows_per_s",
    "p50_ms", "p99_ms", "max_ms", "epoch", "checkpoint_ms", "pause_ms",
]


class Server:
    def __init__(self, arguments):
        self.dir = arguments.dir
        self.log = open(self.dir / "stderr", "a")
        command = [arguments.binary, "serve", "--data-dir", str(self.dir / "data")]
        command += ["--pg-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"] + arguments.serve
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.uri = line.removeprefix("listening on ").strip()
                return
        sys.exit(f"the server did not start: see {self.dir}/stderr")

    def connect(self):
        return psycopg.connect(self.uri, autocommit=True, user="soak")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def memory(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Soak:
    def __init__(self, arguments):
        self.dir = arguments.dir
        self.dir.mkdir(parents=True, exist_ok=True)
        self.sink = self.dir / "sink"
        self.state_path = self.dir / "soak.json"
        self.state = {"piece": 0, "seconds": 0.0, "next": 0, "oldest": 0, "beat": 0, "rate": arguments.rate}
        if self.state_path.exists():
            self.state = json.loads(self.state_path.read_text())
        self.state["piece"] += 1
        self.seconds_before = self.state["seconds"]
        self.ending, self.ready = threading.Event(), threading.Event()
        self.latencies, self.lock, self.wrong = [], threading.Lock(), []
        self.server = Server(arguments)
        if self.state["piece"] == 1:
            with self.server.connect() as client:
                for sql in CREATE:
                    client.execute(sql.format(sink=self.sink))

    def save(self):
        beside = self.dir / "soak.json.new"
        beside.write_text(json.dumps(self.state))
        beside.rename(self.state_path)

    def guarded(self, work):
        def run():
            try:
                work()
            except Exception as error:
                # The subscriber's connection is closed under a COPY that never ends.
                if not (self.ending.is_set() and work == self.listen):
                    self.wrong.append(f"{work.__name__}: {error}")
                self.ending.set()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def chunk(self):
        first = self.state["next"]
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        draw = random.random
        rows = (f"{i}\t{int(draw() * KINDS)}\t{int(draw() * 1e6)}\t{at}\n" for i in range(first, first + CHUNK))
        return "".join(rows)

    def copy(self, client):
        with client.cursor() as cursor, cursor.copy("COPY events FROM STDIN") as copy:
            copy.write(self.chunk())
        self.state["next"] += CHUNK

    def load(self, seconds=None):
        """At the rate, or as fast as it goes for so many seconds; gives the rows a second."""
        began, first, marks = time.monotonic(), self.state["next"], []
        with self.server.connect() as client:
            while not self.ending.is_set() and (seconds is None or time.monotonic() < began + seconds):
                if seconds is None:
                    due = began + (self.state["next"] - first) / self.state["rate"]
                    self.ending.wait(max(0.0, due - time.monotonic()))
                self.copy(client)
                now = time.monotonic()
                if not marks or now > marks[-1][0] + 5:
                    marks.append((now, self.state["next"]))
                    old = [mark for mark in marks if mark[0] < now - KEPT_S]
                    if old:
                        client.execute(f"DELETE FROM events WHERE id < {old[-1][1]}")
                        self.state["oldest"] = old[-1][1]
                        marks = [mark for mark in marks if mark[0] > old[-1][0]]
        return (self.state["next"] - first) / (time.monotonic() - began)

    def beat(self):
        with self.server.connect() as client:
            while not self.ending.wait(BEAT_S):
                beat = self.state["beat"]
                client.execute(f"INSERT INTO beats VALUES ({beat}, {time.time()!r})")
                self.state["beat"] += 1
                if beat % 500 == 499:
                    client.execute(f"DELETE FROM beats WHERE id < {beat - 500}")

    def listen(self):
        expected, client = self.state["beat"], self.server.connect()
        with client.cursor() as cursor, cursor.copy(SUBSCRIBE) as copy:
            for row in copy:
                self.ready.set()
                if self.ending.is_set():
                    return client.close()
                for line in bytes(row).decode().splitlines():
                    _, progressed, diff, beat, sent = line.split("\t")
                    if progressed == "t" or diff != "1":
                        continue
                    if int(beat) != expected:
                        raise RuntimeError(f"row {beat} came where row {expected} was due")
                    expected += 1
                    with self.lock:
                        self.latencies.append((time.time() - float(sent)) * 1000)

    def sizes(self):
        files, sizes = 0, {"log": 0, "checkpoints": 0}
        for folder, _, names in os.walk(self.dir / "data"):
            for name in names:
                files += 1
                kind = pathlib.Path(folder).name
                try:
                    if kind in sizes:
                        sizes[kind] += os.path.getsize(os.path.join(folder, name))
                except FileNotFoundError:
                    pass
        return files, sizes["log"] / 2**20, sizes["checkpoints"] / 2**20

    def read_sink(self):
        """Deletes files that have been there for a while; gives how many are left."""
        left = 0
        for path in self.sink.glob("written-*"):
            if path.stat().st_mtime < time.time() - KEPT_S:
                path.unlink()
            else:
                left += 1
        return left

    def sample(self, minutes):
        path = self.dir / "soak.csv"
        is_new = not path.exists()
        began, rows, last = time.monotonic(), self.state["next"], time.monotonic()
        with open(path, "a", newline="") as out, self.server.connect() as client:
            table = csv.writer(out)
            if is_new:
                table.writerow(COLUMNS)
            while time.monotonic() < began + minutes * 60 and not self.ending.wait(SAMPLE_S):
                with self.lock:
                    taken, self.latencies = sorted(self.latencies), []
                now, files = time.monotonic(), self.sizes()
                self.state["seconds"] = self.seconds_before + now - began
                epoch = client.execute("SELECT max(epoch) FROM highwater.epochs").fetchone()[0]
                checkpoint = client.execute(
                    "SELECT took_ms, pause_ms FROM highwater.checkpoints ORDER BY number DESC LIMIT 1"
                ).fetchone() or (None, None)
                pick = lambda part: round(taken[min(len(taken) - 1, int(len(taken) * part))], 2) if taken else None
                table.writerow(
                    [self.state["piece"], round(self.state["seconds"], 1), round(self.server.memory(), 1)]
                    + [round(self.server.cpu(), 1), files[0], round(files[1], 1), round(files[2], 1)]
                    + [self.read_sink(), self.state["next"], round((self.state["next"] - rows) / (now - last))]
                    + [pick(0.5), pick(0.99), pick(1), epoch, *checkpoint]
                )
                out.flush()
                rows, last = self.state["next"], now
                self.save()

    def run(self, minutes):
        if not self.state["rate"]:
            peak = self.load(CALIBRATE_S)
            self.state["rate"] = peak / 2
            print(f"{peak:.0f} rows a second at most; half of it from now on")
        threads = [self.guarded(self.listen)]
        self.ready.wait(30)
        threads += [self.guarded(self.beat), self.guarded(self.load)]
        try:
            self.sample(minutes)
        finally:
            self.ending.set()
        for thread in threads[1:]:
            thread.join(60)
        self.check()
        code = self.server.stop()
        if code != 0:
            self.wrong.append(f"the server ended with {code}")
        self.save()

    def check(self):
        with self.server.connect() as client:
            there = client.execute("SELECT count(*), min(id) FROM events").fetchone()
            views = client.execute("SELECT sum(n) FROM kinds").fetchone()
            expected = self.state["next"] - (there[1] or 0)
            if there[0] != expected or views[0] != expected:
                self.wrong.append(f"{expected} rows were kept; the table has {there[0]}, the view {views[0]}")
            sink = client.execute("SELECT status, error FROM highwater.sinks").fetchone()
            if sink[0] != "running":
                self.wrong.append(f"the sink is {sink}")
        said = (self.dir / "stderr").read_text()
        self.wrong += [line for line in said.splitlines() if " ERROR " in line or "panicked" in line]


def draw(folder):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plot

    with open(folder / "soak.csv") as table:
        rows = list(csv.DictReader(table))
    minutes = [float(row["seconds"]) / 60 for row in rows]
    shelves = [
        ("MB", ["rss_mb"]),
        ("MB on disk", ["log_mb", "checkpoints_mb"]),
        ("files", ["files", "sink_files"]),
        ("rows a second", ["rows_per_s"]),
        ("ms from INSERT to SUBSCRIBE", ["p50_ms", "p99_ms"]),
        ("ms of a checkpoint", ["checkpoint_ms", "pause_ms"]),
    ]
    figure, axes = plot.subplots(len(shelves), 1, sharex=True, figsize=(10, 14))
    for axis, (unit, names) in zip(axes, shelves):
        for name in names:
            axis.plot(minutes, [float(row[name]) if row[name] else float("nan") for row in rows], label=name, lw=1)
        for before, after, at in zip(rows, rows[1:], minutes[1:]):
            if before["piece"] != after["piece"]:
                axis.axvline(at, color="grey", ls=":", lw=1)
        if unit.startswith("ms"):
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        axis.set_ylabel(unit, fontsize=8)
        axis.legend(loc="upper left", fontsize=7)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(folder / "soak.png", dpi=100)
    return rows


def verdict(rows):
    memory = [float(row["rss_mb"]) for row in rows]
    quarter = max(1, len(memory) // 4)
    early, late = statistics.median(memory[quarter : 2 * quarter] or memory), statistics.median(memory[-quarter:])
    p99 = [float(row["p99_ms"]) for row in rows if row["p99_ms"]]
    print(f"memory: {early:.0f} MB in the second quarter, {late:.0f} MB in the last")
    print(f"p99: {statistics.median(p99):.1f} ms in the median, {max(p99):.1f} ms at worst" if p99 else "no latencies")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="target/release/highwater", help="the server")
    parser.add_argument("--dir", type=pathlib.Path, required=True, help="where everything is kept; the same: go on")
    parser.add_argument("--minutes", type=float, default=60, help="of this piece")
    parser.add_argument("--rate", type=float, default=0, help="rows a second; 0: half of what it can take")
    parser.add_argument("serve", nargs="*", help="behind --: more arguments of serve, as --checkpoint-url")
    arguments = parser.parse_args()
    soak = Soak(arguments)
    try:
        soak.run(arguments.minutes)
    finally:
        if soak.server.process.poll() is None:
            soak.server.process.kill()
    verdict(draw(arguments.dir))
    for wrong in soak.wrong:
        print(f"wrong: {wrong}")
    sys.exit(1 if soak.wrong else 0)


if __name__ == "__main__":
    main()
