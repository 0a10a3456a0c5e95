#!/usr/bin/env python3
"""Measures the service beside pgbench on the same PostgreSQL, in pairs, and prints ratios.

A ratio is only true on a quiet machine. So every pair is printed with the share of the processor that other processes used,
and a pair with more than 5 % is marked. The usual run is `bench.py --rows 1000000`. The parts are write, connections, search,
searches (the same patterns in more and more audits), list, total, rates, retention and sizes.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import searches

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/data-storage"
FOREIGN = 0.05


class Service:
    """The release program on its own PostgreSQL."""

    def __init__(self, folder: Path, **settings: str):
        self.folder = folder
        env = os.environ | {
            "LISTEN_ADDR": "127.0.0.1:0", "METRICS_ADDR": "127.0.0.1:0", "EMBEDDED_DIR": str(folder), "LOG_FORMAT": "json",
            "LOG_LEVEL": "warn,data_storage=info", "RATE_LIMIT_RPS": "0",
        } | settings
        self.log = open(folder.parent / "service.log", "w+")
        self.process = subprocess.Popen([PROGRAM, "serve", "--embedded"], env=env, stdout=subprocess.DEVNULL, stderr=self.log)
        ready = self.line("ready")
        assert ready
        listening = self.line("listening")
        self.base = f"http://{listening['listen_addr']}"
        tokens = (folder / "tokens.csv").read_text().splitlines()
        self.token = next(line.split(",")[0] for line in tokens if ":aianalysis" in line)
        command = Path(f"/proc/{self.postmaster()}/cmdline").read_bytes().split(b"\0")
        self.bin = Path(command[0].decode()).parent
        self.socket = command[command.index(b"-k") + 1].decode()

    def line(self, message: str) -> dict:
        for _ in range(600):
            for line in Path(self.log.name).read_text().splitlines():
                if f'"message":"{message}"' in line:
                    return json.loads(line)
            if self.process.poll() is not None:
                sys.exit(Path(self.log.name).read_text())
            time.sleep(0.1)
        sys.exit(f"no line {message}")

    def postmaster(self) -> int:
        return int((self.folder / "postgres/data/postmaster.pid").read_text().splitlines()[0])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def psql(self, sql: str, **variables) -> str:
        options = [part for name, value in variables.items() for part in ("-v", f"{name}={value}")]
        command = [self.bin / "psql", "-h", self.socket, "-U", "postgres", "-d", "data_storage", "-qAt", "-v", "ON_ERROR_STOP=1"]
        return subprocess.run([*command, *options], input=sql, text=True, check=True, capture_output=True).stdout.strip()

    def pgbench(self, script: str, clients: int, seconds: int) -> tuple[float, float]:
        """Transactions a second, and the mean latency in ms."""
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script)
            file.flush()
            command = [self.bin / "pgbench", "-h", self.socket, "-U", "postgres", "-n", "-M", "prepared", "-c", str(clients)]
            command += ["-j", str(min(clients, 2)), "-T", str(seconds), "-f", file.name, "data_storage"]
            out = subprocess.run(command, text=True, capture_output=True)
            if out.returncode:
                sys.exit(out.stderr)
            out = out.stdout
        return float(re.search(r"tps = ([\d.]+)", out)[1]), float(re.search(r"latency average = ([\d.]+)", out)[1])

    def wrk(self, script: str, path: str, connections: int, seconds: int, *args: str) -> dict:
        command = ["wrk", "-c", str(connections), "-t", str(min(connections, 2)), "-d", f"{seconds}s", "--timeout", "20s"]
        command += ["-s", ROOT / "benches" / script, self.base + path, "--", *args]
        out = subprocess.run(command, text=True, check=True, capture_output=True).stdout
        rate, p50, p99, bad, broken = re.search(r"RESULT ([\d.]+) (\d+) (\d+) (\d+) (\d+)", out).groups()
        if int(bad) or int(broken):
            sys.exit(f"{path}: {bad} answers with an error, {broken} broken connections")
        return {"rate": float(rate), "p50": int(p50) / 1000, "p99": int(p99) / 1000}

    def memory(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


class Foreign:
    """The share of all processors that other processes than those of this benchmark used."""

    def __enter__(self):
        self.start = self.sample()
        return self

    def __exit__(self, *_):
        busy, ours, wall = (after - before for after, before in zip(self.sample(), self.start))
        self.share = max(0.0, busy - ours) / (wall * os.cpu_count())

    @staticmethod
    def sample() -> tuple[float, float, float]:
        hertz = os.sysconf("SC_CLK_TCK")
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        busy = (sum(fields) - fields[3] - fields[4]) / hertz
        # Ours are this process, its children that have ended, and its running descendants.
        tree, parents = {os.getpid()}, {}
        times = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text().rsplit(") ", 1)[1].split()
                except OSError:
                    continue
                parents[int(entry.name)] = int(stat[1])
                times[int(entry.name)] = sum(int(field) for field in stat[11:15])
        grown = True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in tree} - tree
            tree |= more
            grown = bool(more)
        return busy, sum(times.get(pid, 0) for pid in tree) / hertz, time.monotonic()


ROWS: list[dict] = []
LINES: dict[str, list[tuple[float, float]]] = {}
NOTES: list[str] = []


def say(name: str, text: str):
    """A figure without a ratio."""
    print(f"{name:58} {text}", flush=True)
    NOTES.append(f"{name}: {text}")


def pair(name: str, goal: float | None, ours, theirs, rounds: int):
    """Measures the two in turn, and keeps the median of the ratios."""
    ratios, shown, foreign = [], None, []
    for _ in range(rounds):
        with Foreign() as noise:
            before = theirs()
            mine = ours()
            after = theirs()
        base = (before[0] + after[0]) / 2
        ratios.append(mine["rate"] / base)
        foreign.append(noise.share)
        shown = (mine, base)
    mine, base = shown
    ratio = statistics.median(ratios)
    row = {
        "name": name, "ratio": ratio, "goal": goal, "ours": mine["rate"], "theirs": base, "p50": mine["p50"], "p99": mine["p99"],
        "foreign": max(foreign), "spread": (min(ratios), max(ratios)),
    }
    ROWS.append(row)
    mark = " (noisy)" if row["foreign"] > FOREIGN else ""
    want = f" goal {goal:.1f}" if goal else ""
    print(f"{name:58} {ratio:5.2f}x{want:9}  ours {row['ours']:9.0f}/s  pgbench {base:9.0f}/s  p50 {row['p50']:7.2f} ms  "
          f"p99 {row['p99']:7.2f} ms  foreign {row['foreign']:.0%}{mark}", flush=True)


INSERT = """\\set n random(1, 1000000000)
INSERT INTO bench_audit (bucket, id, remediation_request_id, alert_name, namespace, cluster, priority, action_type, status,
    confidence, reasoning, duration_ms, created_at, received_at, writer)
VALUES (:n::int % 1024, 'audit-' || gen_random_uuid(), 'rr-bench-' || :n::int, 'Alert' || :n::int % 40, 'ns-' || :n::int % 20, 'cluster-' || :n::int % 4,
    'P1', 'action-' || :n::int % 8, 'completed', 0.9, 'memory of the pods is high', 4200, now(), now(),
    'system-serviceaccount-kubernaut-system-aianalysis-controller-sa');
"""

WORK = "BEGIN;\n" + INSERT + """INSERT INTO bench_ids (bucket, correlation_id, id, action_timestamp)
VALUES (:n::int / 4 % 1024, 'rr-bench-' || :n::int / 4, :n::int, now()) ON CONFLICT (bucket, correlation_id) DO NOTHING;
INSERT INTO bench_traces (bucket, id, correlation_id, action_timestamp, alert_name, alert_severity, action_type, namespace,
    cluster_name, model_confidence, execution_status, duration_ms, created_at, updated_at)
SELECT bucket, id, correlation_id, action_timestamp, 'Alert' || :n::int % 40, 'high', 'action-' || :n::int % 8, 'ns-' || :n::int % 20,
    'cluster-' || :n::int % 4, 0.9, 'completed', 4200, now(), now()
FROM bench_ids WHERE bucket = :n::int / 4 % 1024 AND correlation_id = 'rr-bench-' || :n::int / 4
ON CONFLICT (bucket, id, action_timestamp) DO UPDATE SET execution_status = excluded.execution_status,
    duration_ms = excluded.duration_ms, updated_at = excluded.updated_at;
INSERT INTO bench_deltas (bucket, number, alert_name, alert_severity, action_type, namespace, cluster_name, delta)
VALUES (:n::int / 4 % 1024, nextval('incident_delta_number'), 'Alert' || :n::int % 40, 'high', 'action-' || :n::int % 8, 'ns-' || :n::int % 20,
    'cluster-' || :n::int % 4, 1);
COMMIT;
"""

TABLES = """
DROP TABLE IF EXISTS bench_audit, bench_ids, bench_traces, bench_deltas;
CREATE TABLE bench_audit (LIKE remediation_audit INCLUDING ALL);
CREATE TABLE bench_ids (LIKE incident_ids INCLUDING ALL);
CREATE TABLE bench_traces (LIKE resource_action_traces INCLUDING ALL);
CREATE INDEX ON bench_traces (action_timestamp DESC, id DESC);
CREATE TABLE bench_deltas (LIKE incident_deltas INCLUDING ALL);
CHECKPOINT;
"""

COLUMNS = """t.id, t.alert_name, t.alert_severity, t.action_type, t.action_timestamp, t.execution_status, t.namespace, t.cluster_name,
t.environment, t.alert_fingerprint, t.target_resource, t.correlation_id, t.model_used, t.model_confidence, t.start_time, t.end_time,
t.duration_ms, left(t.error_message, 1000) AS error_message"""


def write_part(service: Service, args, embedder: str):
    service.psql(TABLES)
    run = iter(range(10**9))

    def post(connections):
        stamp = f"{int(time.time())}-{next(run)}"
        return lambda: service.wrk("post_audits.lua", "/", connections, args.seconds, service.token, stamp + str(next(run)))

    def base(script, clients):
        return lambda: service.pgbench(script, clients, args.seconds)

    pair(f"write, 64 connections, {embedder}, to one INSERT", 1.5, post(64), base(INSERT, 64), args.rounds)
    pair(f"write, 64 connections, {embedder}, to the same work", 5.0, post(64), base(WORK, 64), args.rounds)
    if embedder == "off":
        pair("write, 256 connections, off, to one INSERT", 1.5, post(256), base(INSERT, 64), args.rounds)
        pair("write, 1 connection, off, to one INSERT", None, post(1), base(INSERT, 1), args.rounds)
    say(f"memory after writes, {embedder}", f"{service.memory():.0f} MB")


def connections_part(service: Service, args):
    """Throughput of writes over connections."""
    service.psql(TABLES)
    for connections in (1, 4, 16, 64, 256):
        ours = service.wrk("post_audits.lua", "/", connections, args.seconds, service.token, f"{time.time()}-{connections}")
        one, work = (service.pgbench(script, min(connections, 90), args.seconds)[0] for script in (INSERT, WORK))
        for name, rate in (("ours", ours["rate"]), ("pgbench, one INSERT", one), ("pgbench, the same work", work)):
            LINES.setdefault("writes: " + name, []).append((connections, rate))
        say(f"writes, {connections} connections", f"ours {ours['rate']:.0f}/s (p50 {ours['p50']:.2f} ms, p99 {ours['p99']:.2f} ms), "
            f"pgbench one INSERT {one:.0f}/s, the same work {work:.0f}/s")


LISTS = [
    # Name, path, condition, limit, goals beside 64 clients and 4 clients.
    ("list limit=10", "/api/v1/incidents?limit=10&total=false", "", 10, (1.2, 0.7)),
    ("list alert_name, limit=10", "/api/v1/incidents?limit=10&total=false&alert_name=Alert7", "WHERE t.alert_name = 'Alert7'", 10, (None, None)),
    ("list limit=1000", "/api/v1/incidents?limit=1000&total=false", "", 1000, (1.0, None)),
]


def page(where: str, limit: int) -> str:
    return f"SELECT {COLUMNS} FROM resource_action_traces AS t {where} ORDER BY t.action_timestamp DESC, t.id DESC LIMIT {limit + 1};"


def list_part(service: Service, args):
    for name, path, where, limit, goals in LISTS:
        for kind, script in (("the same page", "get.lua"), ("each its own", "get_each.lua")):
            for clients, goal in zip((64, 4), goals):
                pair(f"{name}, {kind}, 64 connections, to pgbench -c {clients}", goal,
                     lambda: service.wrk(script, path, 64, args.seconds),
                     lambda: service.pgbench(page(where, limit), clients, args.seconds), args.rounds)
    say("memory after lists", f"{service.memory():.0f} MB")


def sizes_part(service: Service, args, rows: int):
    """The latency of a page at this size of the table."""
    for kind, script in (("the same page", "get.lua"), ("each its own", "get_each.lua")):
        runs = [service.wrk(script, LISTS[0][1], 64, args.seconds) for _ in range(args.rounds)]
        for percentile in ("p50", "p99"):
            value = statistics.median(run[percentile] for run in runs)
            LINES.setdefault(f"pages: {percentile}, {kind}", []).append((rows, value))
        say(f"list limit=10, {kind}, {rows:,} rows", ", ".join(
            f"{percentile} {statistics.median(run[percentile] for run in runs):.2f} ms" for percentile in ("p50", "p99")))
    latency = service.pgbench(page("", 10), 64, args.seconds)[1]
    LINES.setdefault("pages: pgbench, mean", []).append((rows, latency))


def measure_searches(service: Service, args, parts: list[str]):
    texts = searches.Texts(service, args.seconds)
    texts.grow_to(100_000)
    if "search" in parts:
        pair(f"search, {texts.kind()}, 8 connections, to pgvector -c 8", None, lambda: texts.ask(8), texts.bare, args.rounds)
        say("memory after searches", f"{service.memory():.0f} MB")
    if "searches" in parts:
        for audits in (100_000, 300_000, 1_000_000):
            texts.grow_to(audits)
            for name, filters in searches.FILTERS.items():
                runs = [texts.ask(1, filters) for _ in range(args.rounds)]
                p50, p99 = (statistics.median(run[percentile] for run in runs) for percentile in ("p50", "p99"))
                LINES.setdefault(f"searches: {name}", []).append((audits, p50))
                say(f"one searcher, {texts.kind()}, {name}", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms")
            say(f"recall, {texts.kind()}", texts.recall())


def total_part(service: Service):
    for query in ["", "alert_name=Alert7", "severity=high", "alert_name=Alert7&severity=high", "action_type=action-3&namespace=ns-7",
                  "namespace=ns-7&cluster=cluster-3&severity=low", "status=failed"]:
        say("total, " + (query or "all"), answer_times(f"{service.base}/api/v1/incidents?limit=1&{query}", 21))


RATES = ["group_by=alert_name", "group_by=alert_name,action_type", "group_by=severity", "group_by=action_type&alert_name=Alert7",
         "group_by=action_type&alert_name=Alert7&namespace=ns-7", "group_by=alert_name&cluster=cluster-3"]


def rates_part(service: Service):
    for query in RATES:
        say(f"success rates, {query}", answer_times(f"{service.base}/api/v1/stats/success-rate?{query}", 7))


def retention_part(service: Service):
    """All months but the last are dropped, while two clients count all incidents and one asks for pages."""
    kept = service.psql("SELECT date_trunc('month', max(action_timestamp), 'UTC') FROM resource_action_traces")
    over = threading.Event()

    def count():
        while not over.is_set():
            service.psql("SELECT count(*) FROM resource_action_traces")

    counters = [threading.Thread(target=count) for _ in range(2)]
    for counter in counters:
        counter.start()
    start, times = time.perf_counter(), []
    before = int(service.psql("SELECT count(*) FROM incident_ids"))
    while service.psql(f"SELECT 1 FROM incident_ids WHERE action_timestamp < '{kept}' LIMIT 1"):
        for _ in range(20):
            asked = time.perf_counter()
            urllib.request.urlopen(f"{service.base}/api/v1/incidents?limit=10").read()
            times.append((time.perf_counter() - asked) * 1000)
    seconds = time.perf_counter() - start
    over.set()
    for counter in counters:
        counter.join()
    gone = before - int(service.psql("SELECT count(*) FROM incident_ids"))
    say("retention", f"{gone:,} incidents in {seconds:.0f} s; meanwhile a page took {statistics.median(times):.1f} ms in the median, "
        f"{max(times):.0f} ms at worst, among {len(times):,}")


def answer_times(url: str, asked: int) -> str:
    """How long one asker waits for the answer."""
    times = []
    for _ in range(asked):
        start = time.perf_counter()
        try:
            urllib.request.urlopen(url).read()
        except urllib.error.HTTPError as error:
            return f"{error.code} after {(time.perf_counter() - start) * 1000:.0f} ms"
        times.append((time.perf_counter() - start) * 1000)
    return f"median {statistics.median(times):.2f} ms, worst {max(times):.2f} ms"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", default="write,connections,search,list,total,rates,retention,sizes")
    parser.add_argument("--report", type=Path, help="append a table to this page")
    args = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is needed: apt-get install wrk")
    parts = args.parts.split(",")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="data-storage-bench-") as folder:
        os.chmod(folder, 0o755)
        data = Path(folder) / "data"
        for embedder in ("off", "builtin") if "write" in parts else ():
            with serving(data, EMBEDDER=embedder) as service:
                write_part(service, args, embedder)
        if "connections" in parts:
            with serving(data, EMBEDDER="off") as service:
                connections_part(service, args)
        shutil.rmtree(data, ignore_errors=True)
        if {"search", "searches"} & set(parts):
            with serving(data) as service:
                measure_searches(service, args, parts)
            shutil.rmtree(data)
        sizes = [size for size in (10_000, 100_000, 1_000_000, 10_000_000) if size < args.rows and "sizes" in parts]
        for rows in [*sizes, args.rows] if {"list", "total", "rates", "retention", "sizes"} & set(parts) else ():
            with serving(data, EMBEDDER="off") as service:
                if rows == args.rows:
                    say("idle memory", f"{service.memory():.0f} MB")
                fill(service, rows)
                if "sizes" in parts:
                    sizes_part(service, args, rows)
                if "list" in parts and rows == args.rows:
                    list_part(service, args)
                if "total" in parts and rows == args.rows:
                    total_part(service)
                if "rates" in parts and rows == args.rows:
                    rates_part(service)
            if "retention" in parts and rows == args.rows:
                with serving(data, EMBEDDER="off", RETENTION_MONTHS=str(months_since_fill())) as service:
                    retention_part(service)
            shutil.rmtree(data)
        if args.report:
            report(args)
            plot(args.report.parent / "plots")


@contextmanager
def serving(data: Path, **settings: str):
    service = Service(data, **settings)
    try:
        yield service
    finally:
        service.stop()


def months_since_fill() -> int:
    """From the last month that was filled until now."""
    return (date.today().year - 2025) * 12 + date.today().month - 11


def fill(service: Service, rows: int):
    months = service.psql("SELECT to_char(to_timestamp(1764000000) - make_interval(months => n), 'YYYY-MM-01') FROM generate_series(0, 7) n")
    for month in months.split():
        name = "resource_action_traces_y" + month[:4] + "m" + month[5:7]
        service.psql(f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF resource_action_traces "
                     f"FOR VALUES FROM ('{month} 00:00:00+00') TO (timestamptz '{month} 00:00:00+00' + interval '1 month')")
    service.psql(Path(ROOT / "benches/fill.sql").read_text(), rows=rows)
    while int(service.psql("SELECT count(*) FROM incident_deltas")):
        time.sleep(0.2)


CHARTS = [
    ("writes", "write-throughput", "Writes: ours beside pgbench", "connections", "audits a second"),
    ("searches", "search-latency", "A search, the same patterns in more audits", "audits", "ms, p50"),
    ("pages", "list-latency", "A page of 10, 64 connections", "rows in the table", "ms"),
]


def plot(folder: Path):
    """Draws the lines that were measured."""
    charts = []
    for prefix, file, title, x, y in CHARTS:
        lines = [{"name": name.split(": ")[1], "points": points} for name, points in LINES.items() if name.startswith(prefix + ": ")]
        if lines:
            charts.append({"file": file, "title": title, "x": x, "y": y, "lines": lines})
    folder.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as data:
        json.dump(charts, data)
        data.flush()
        subprocess.run(["cargo", "run", "--quiet", "--release", "--example", "plot", "--", data.name, folder], cwd=ROOT, check=True)


def report(args):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True, capture_output=True).stdout.strip()
    lines = [
        f"\n## {date.today()}, {commit}, {args.rows:,} rows\n",
        f"{os.cpu_count()} cores, {platform.machine()}, the load generator on the same cores; {args.rounds} pairs of {args.seconds} s each.\n",
        "| work | ratio (spread) | goal | ours | pgbench | p50 | p99 | foreign |", "|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        goal = f"{row['goal']:.1f}" if row["goal"] else ""
        lines.append(f"| {row['name']} | **{row['ratio']:.2f}×** ({row['spread'][0]:.2f}–{row['spread'][1]:.2f}) | {goal} | {row['ours']:.0f}/s "
                     f"| {row['theirs']:.0f}/s | {row['p50']:.2f} ms | {row['p99']:.2f} ms | {row['foreign']:.0%} |")
    lines += ["", *(f"- {note}" for note in NOTES)]
    with open(args.report, "a") as page:
        page.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
