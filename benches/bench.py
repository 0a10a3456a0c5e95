#!/usr/bin/env python3
"""Measures the service beside pgbench on the same PostgreSQL, in pairs, and prints ratios.

A ratio is only true on a quiet machine. So every pair is printed with the share of the processor that other processes used,
and a pair with more than 6 % does not count. The usual run is `bench.py --rows 1000000`. The parts are write, connections, search,
searches (the same patterns in more and more audits), patterns (up to a million different texts), list, codings, total, rates, retention,
sizes and mixed (everything at once, for --minutes).
"""

import argparse
import http.client
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
import urllib.parse
import urllib.request
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import history
import mixed
import searches

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/data-storage"
FOREIGN = 0.06


def processes():
    """Every process, with the fields of its stat behind the name."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "stat").read_text().rsplit(") ", 1)[1].split()
            except OSError:
                pass  # it has ended


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
        self.metrics = f"http://{listening['metrics_addr']}/metrics"
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

    def latencies(self, script: str, seconds: int) -> dict:
        """Of one pgbench client, in ms."""
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "script.sql").write_text(script)
            command = [self.bin / "pgbench", "-h", self.socket, "-U", "postgres", "-n", "-M", "prepared", "-c", "1", "-T", str(seconds), "-l"]
            subprocess.run([*command, "-f", "script.sql", "data_storage"], cwd=folder, check=True, capture_output=True)
            times = sorted(int(line.split()[2]) / 1000 for file in Path(folder).glob("pgbench_log.*") for line in file.read_text().splitlines())
        return {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]}

    def cpu(self) -> dict:
        """Seconds of processor time so far."""
        hertz, postmaster = os.sysconf("SC_CLK_TCK"), self.postmaster()
        used = {"service": 0.0, "PostgreSQL": 0.0}
        for pid, stat in processes():
            part = "service" if pid == self.process.pid else "PostgreSQL" if int(stat[1]) == postmaster else None
            if part:
                used[part] += (int(stat[11]) + int(stat[12])) / hertz
        return used

    def metric(self, name: str) -> float:
        lines = urllib.request.urlopen(self.metrics).read().decode().splitlines()
        return next((float(line.split()[1]) for line in lines if line.split()[0] == name), 0.0)

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
        for pid, stat in processes():
            parents[pid] = int(stat[1])
            times[pid] = sum(int(field) for field in stat[11:15])
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


def pair(name: str, goal: float | None, ours, theirs, rounds: int) -> dict:
    """Measures the two in turn, and keeps the median of the ratios. A round beside others' work does not count, and is tried again."""
    kept, tries = [], 0
    while len(kept) < rounds and tries < 3 * rounds:
        tries += 1
        with Foreign() as noise:
            before = theirs()
            mine = ours()
            after = theirs()
        base = (before[0] + after[0]) / 2
        if noise.share <= FOREIGN:
            kept.append((mine["rate"] / base, mine, base, noise.share))
    if not kept:
        say(name, f"not measured: others used more than {FOREIGN:.0%} of the processors")
        return {"cpu": {}}
    ratios = [ratio for ratio, *_ in kept]
    _, mine, base, _ = sorted(kept, key=lambda round: round[0])[len(kept) // 2]
    row = {
        "name": name, "ratio": statistics.median(ratios), "goal": goal, "ours": mine["rate"], "theirs": base, "p50": mine["p50"], "p99": mine["p99"],
        "foreign": max(share for *_, share in kept), "spread": (min(ratios), max(ratios)), "before": history.before(name), "cpu": mine.get("cpu", {}),
    }
    ROWS.append(row)
    want = f" goal {goal:.1f}" if goal else ""
    was = f" before {row['before']:.2f}x" if row["before"] else ""
    print(f"{name:68} {row['ratio']:5.2f}x{want:9}{was}  ours {row['ours']:9.0f}/s  pgbench {base:9.0f}/s  p50 {row['p50']:7.2f} ms  "
          f"p99 {row['p99']:7.2f} ms  foreign {row['foreign']:.0%}", flush=True)
    return row


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
INSERT INTO bench_changes (bucket, number, minutes, deltas, alert_name, alert_severity, action_type, namespace, cluster_name,
    execution_status, environment)
VALUES (:n::int / 4 % 1024, nextval('count_change_number'), '{1}', '{1}', ARRAY['Alert' || :n::int % 40], '{high}', ARRAY['action-' || :n::int % 8],
    ARRAY['ns-' || :n::int % 20], ARRAY['cluster-' || :n::int % 4], '{completed}', '{NULL}');
COMMIT;
"""

TABLES = """
DROP TABLE IF EXISTS bench_audit, bench_ids, bench_traces, bench_changes;
CREATE TABLE bench_audit (LIKE remediation_audit INCLUDING ALL);
CREATE TABLE bench_ids (LIKE incident_ids INCLUDING ALL);
CREATE TABLE bench_traces (LIKE resource_action_traces INCLUDING ALL);
CREATE TABLE bench_changes (LIKE count_changes INCLUDING ALL);
CHECKPOINT;
"""

COLUMNS = """t.id, t.alert_name, t.alert_severity, t.action_type, t.action_timestamp, t.execution_status, t.namespace, t.cluster_name,
t.environment, t.alert_fingerprint, t.target_resource, t.correlation_id, t.model_used, t.model_confidence, t.start_time, t.end_time,
t.duration_ms, left(t.error_message, 1000) AS error_message"""


KINDS = {"new": "each a new incident", "later": "each a later one", "mixed": "one in four a new incident"}


class Load:
    """Posts audits of one kind; `--help` of post_audits.lua is its head."""

    def __init__(self, service: Service, kind: str, connections: int, seconds: int):
        self.service, self.kind, self.connections, self.seconds = service, kind, connections, seconds

    def __call__(self) -> dict:
        run = f"{time.time_ns()}"
        if self.kind == "later":
            self.service.wrk("post_audits.lua", "/", 16, 4, self.service.token, run, "open")
        before = self.service.cpu()
        answer = self.service.wrk("post_audits.lua", "/", self.connections, self.seconds, self.service.token, run, self.kind)
        audits = answer["rate"] * self.seconds
        answer["cpu"] = {part: (used - before[part]) * 1e6 / audits for part, used in self.service.cpu().items()}
        return answer


def write_part(service: Service, args, embedder: str):
    service.psql(TABLES)
    for kind, words in KINDS.items():
        name = f"write, {words}, {embedder}"
        many = Load(service, kind, 64, args.seconds)
        row = pair(f"{name}, 64 connections, to one INSERT", 1.0 if embedder == "off" else 0.8, many,
                   lambda: service.pgbench(INSERT, 64, args.seconds), args.rounds)
        say(f"{name}, CPU of an audit", ", ".join(f"{part} {used:.0f} µs" for part, used in row["cpu"].items()))
        if embedder != "off":
            continue
        pair(f"{name}, 256 connections, to one INSERT", 1.3, Load(service, kind, 256, args.seconds),
             lambda: service.pgbench(INSERT, 64, args.seconds), args.rounds)
        pair(f"{name}, 4 connections, to the same work", 0.8, Load(service, kind, 4, args.seconds),
             lambda: service.pgbench(WORK, 4, args.seconds), args.rounds)
        alone(name, service, Load(service, kind, 1, args.seconds), args)
    say(f"memory after writes, {embedder}", f"{service.memory():.0f} MB")


def alone(name: str, service: Service, load: Load, args):
    """One client's latency over that of one pgbench client that does the same work."""
    runs = [(load(), service.latencies(WORK, args.seconds)) for _ in range(args.rounds)]
    for percentile, goal in (("p50", 1.25), ("p99", 2.0)):
        ratios = [ours[percentile] / theirs[percentile] for ours, theirs in runs]
        say(f"{name}, alone, {percentile} over the same work's", f"{statistics.median(ratios):.2f} (goal {goal}): "
            f"{statistics.median(ours[percentile] for ours, _ in runs):.2f} ms, pgbench {statistics.median(t[percentile] for _, t in runs):.2f} ms")


def connections_part(service: Service, args):
    """Throughput of writes over connections."""
    service.psql(TABLES)
    for connections in (1, 4, 16, 64, 256):
        ours = Load(service, "mixed", connections, args.seconds)()
        one, work = (service.pgbench(script, min(connections, 90), args.seconds)[0] for script in (INSERT, WORK))
        for name, rate in (("ours", ours["rate"]), ("pgbench, one INSERT", one), ("pgbench, the same work", work)):
            LINES.setdefault("writes: " + name, []).append((connections, rate))
        say(f"writes, {connections} connections", f"ours {ours['rate']:.0f}/s (p50 {ours['p50']:.2f} ms, p99 {ours['p99']:.2f} ms), "
            f"pgbench one INSERT {one:.0f}/s, the same work {work:.0f}/s")


LISTS = [
    # Name, path, condition, limit, goals beside 64 clients and 4 clients.
    ("list limit=10", "/api/v1/incidents?limit=10&total=false", "", 10, (1.2, 0.8)),
    ("list alert_name, limit=10", "/api/v1/incidents?limit=10&total=false&alert_name=Alert7", "WHERE t.alert_name = 'Alert7'", 10, (None, None)),
    ("list alert_name, namespace, total, limit=10", "/api/v1/incidents?limit=10&alert_name=Alert7&namespace=ns-0",
     "WHERE t.alert_name = 'Alert7' AND t.namespace = 'ns-0'", 10, (1.2, 0.8)),
    ("list limit=1000", "/api/v1/incidents?limit=1000&total=false", "", 1000, (1.0, 0.8)),
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


def codings_part(service: Service, args):
    """Pages of 1,000 packed, beside the same pages as they are."""
    path = "/api/v1/incidents?limit=1000"
    for coding in ("zstd", "gzip", "br"):
        request = urllib.request.Request(service.base + path, headers={"Accept-Encoding": coding})
        with urllib.request.urlopen(request) as answer:
            size = len(answer.read())
        pairs = [[service.wrk("get_each.lua", path, 8, args.seconds, way)["rate"] for way in ("identity", coding)] for _ in range(args.rounds)]
        ratios = sorted(packed / plain for plain, packed in pairs)
        say(f"list limit=1000, each its own, 8 connections, {coding} to identity",
            f"{statistics.median(ratios):.2f}× ({ratios[0]:.2f}–{ratios[-1]:.2f}), {size / 1000:.0f} KB a page, "
            f"{statistics.median(packed for _, packed in pairs):.0f}/s")


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


def patterns_part(service: Service, args):
    """Searches among texts of which none is like another."""
    texts = searches.Texts(service, args.seconds)
    for patterns in (200_000, 1_000_000):
        texts.grow_patterns_to(patterns)
        while service.metric("datastorage_held_patterns") < texts.count("embedding_patterns"):
            time.sleep(1)
        texts.ask(1)
        for name, filters in searches.FILTERS.items():
            runs = [texts.ask(1, filters) for _ in range(args.rounds)]
            p50, p99 = (statistics.median(run[percentile] for run in runs) for percentile in ("p50", "p99"))
            say(f"one searcher, {texts.kind()}, {name}", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        held = service.metric("datastorage_held_patterns_bytes") / service.metric("datastorage_held_patterns")
        say(f"memory, {texts.kind()}", f"{service.memory():.0f} MB, {held:.0f} bytes a pattern held")
        say(f"recall, {texts.kind()}", texts.recall())


WEB = "target_resource=deployment%2Fweb"
TOTALS = ["", "alert_name=Alert7", "status=failed", "alert_name=Alert7&namespace=ns-7", "severity=high&cluster=cluster-3",
          "alert_name=Alert7&namespace=ns-7&status=failed", "namespace=ns-1&namespace=ns-2&severity=low&severity=high",
          "since={week}", "since={half}&until={week}", "namespace=ns-7&since={half}", "alert_name=Alert7&status=failed&since={half}&until={week}"]


def ago(days: float) -> str:
    return datetime.fromtimestamp(time.time() - days * 86_400, UTC).isoformat().replace("+00:00", "Z")


def total_part(service: Service, args):
    times = {"week": ago(7.123456), "half": ago(182.654321)}
    say("an answer without a database", answer_times(f"{service.base}/health/live", 400))
    for query in TOTALS:
        say(f"total, {query or 'all'}", answer_times(f"{service.base}/api/v1/incidents?limit=1&{query.format(**times)}", 400))
    for path in ("incidents/facets?fields=alert_name,namespace,status", "incidents/facets?fields=alert_name&namespace=ns-7&since={half}",
                 "stats/counts?interval=month", "stats/counts?interval=day&group_by=severity", "stats/counts?interval=hour&alert_name=Alert7&since={week}"):
        say(path, answer_times(f"{service.base}/api/v1/{path.format(**times)}", 40))
    say("memory after totals", f"{service.memory():.0f} MB")
    # Four of five incidents are on one target; a pod has one of 10,000.
    for path in ("incidents?limit=1&target_resource=pod%2Fweb-7", f"incidents?limit=1&{WEB}"):
        say(f"{path}, by PostgreSQL", answer_times(f"{service.base}/api/v1/{path}", 2))
    while service.metric("datastorage_held_attempts") == 0:
        time.sleep(0.1)
    for path in ("incidents?limit=1&target_resource=pod%2Fweb-7", f"incidents?limit=1&{WEB}", f"incidents?limit=1&{WEB}&namespace=ns-7&since={{half}}",
                 f"incidents/facets?fields=alert_name,status&{WEB}", f"stats/counts?interval=day&{WEB}", "stats/counts?interval=month&group_by=target"):
        say(path.format(**times), answer_times(f"{service.base}/api/v1/{path.format(**times)}", 40))


RATES = ["group_by=alert_name", "group_by=alert_name,action_type", "group_by=severity", "group_by=action_type&alert_name=Alert7",
         "group_by=action_type&alert_name=Alert7&namespace=ns-7", "group_by=alert_name&cluster=cluster-3", "group_by=target,namespace",
         "group_by=day", "group_by=alert_name,action_type,week&since={half}", "group_by=namespace&target_resource=deployment%2Fweb"]


def rates_part(service: Service):
    times = {"half": ago(182.654321)}
    for query in RATES:
        answer_times(f"{service.base}/api/v1/stats/success-rate?{query.format(**times)}", 2)
    say("attempts in memory", f"{service.metric('datastorage_held_attempts'):,.0f}, {service.metric('datastorage_held_attempts_bytes') / 1e6:.0f} MB")
    for query in RATES:
        say(f"success rates, {query}", answer_times(f"{service.base}/api/v1/stats/success-rate?{query.format(**times)}", 40))


def retention_part(service: Service):
    """All months but the last two are dropped, while two clients count all incidents and one asks for pages."""
    kept = service.psql("SELECT date_trunc('month', max(action_timestamp) - interval '1 month', 'UTC') FROM resource_action_traces")
    over = threading.Event()

    def count():
        while not over.is_set():
            service.psql("SELECT count(*) FROM resource_action_traces")

    counters = [threading.Thread(target=count) for _ in range(2)]
    for counter in counters:
        counter.start()
    start, times, refused = time.perf_counter(), [], 0
    before = int(service.psql("SELECT count(*) FROM incident_ids"))
    while service.psql(f"SELECT 1 FROM incident_ids WHERE action_timestamp < '{kept}' LIMIT 1"):
        for _ in range(20):
            asked = time.perf_counter()
            try:
                urllib.request.urlopen(f"{service.base}/api/v1/incidents?limit=10").read()
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
                refused += 1
            times.append((time.perf_counter() - asked) * 1000)
    seconds = time.perf_counter() - start
    over.set()
    for counter in counters:
        counter.join()
    gone = before - int(service.psql("SELECT count(*) FROM incident_ids"))
    say("retention", f"{gone:,} incidents in {seconds:.0f} s; meanwhile a page took {statistics.median(times):.1f} ms in the median, "
        f"{max(times):.0f} ms at worst, among {len(times):,}; {refused} were refused (503)")


def answer_times(url: str, asked: int) -> str:
    """How long one asker waits for the answer, on a connection that stays open."""
    parts, times = urllib.parse.urlsplit(url), []
    connection = http.client.HTTPConnection(parts.netloc)
    for _ in range(asked):
        start = time.perf_counter()
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        answer.read()
        times.append((time.perf_counter() - start) * 1000)
        if answer.status != 200:
            return f"{answer.status} after {times[-1]:.0f} ms"
    first = times.pop(0)
    times.sort()
    return f"p50 {times[len(times) // 2]:.2f} ms, p99 {times[len(times) * 99 // 100]:.2f} ms, the first {first:.0f} ms"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--combinations", type=int, default=5_000, help="of alert, severity, action, namespace, cluster and environment")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", default="write,connections,search,list,codings,total,rates,retention,sizes")
    parser.add_argument("--minutes", type=int, default=60)
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
        if "patterns" in parts:
            with serving(data) as service:
                patterns_part(service, args)
            shutil.rmtree(data)
        if "mixed" in parts:
            with serving(data) as service:
                mixed.run(service, args.minutes, say)
            shutil.rmtree(data)
        sizes = [size for size in (10_000, 100_000, 1_000_000, 10_000_000) if size < args.rows and "sizes" in parts]
        for rows in [*sizes, args.rows] if {"list", "codings", "total", "rates", "retention", "sizes"} & set(parts) else ():
            with serving(data, EMBEDDER="off") as service:
                if rows == args.rows:
                    say("idle memory", f"{service.memory():.0f} MB")
                fill(service, rows, args.combinations)
                if "sizes" in parts:
                    sizes_part(service, args, rows)
                if "list" in parts and rows == args.rows:
                    list_part(service, args)
                if "codings" in parts and rows == args.rows:
                    codings_part(service, args)
                if "total" in parts and rows == args.rows:
                    total_part(service, args)
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
    """All months but this one and the one before it are older than what is kept."""
    return 1


def fill(service: Service, rows: int, combinations: int):
    newest = int(time.time()) - 60
    months = service.psql(f"SELECT to_char(to_timestamp({newest}) - make_interval(months => n), 'YYYY-MM-01') FROM generate_series(0, 12) n")
    for month in months.split():
        name = "resource_action_traces_y" + month[:4] + "m" + month[5:7]
        service.psql(f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF resource_action_traces "
                     f"FOR VALUES FROM ('{month} 00:00:00+00') TO (timestamptz '{month} 00:00:00+00' + interval '1 month')")
    service.psql(Path(ROOT / "benches/fill.sql").read_text(), rows=rows, combinations=combinations, newest=newest)
    start = time.perf_counter()
    url = f"host={service.socket} user=postgres dbname=data_storage"
    subprocess.run([PROGRAM, "check", "--totals", "--repair", "--database-url", url], check=True, capture_output=True)
    say(f"counting {rows:,} incidents of {combinations:,} combinations", f"{time.perf_counter() - start:.0f} s")


CHARTS = [
    ("writes", "write-throughput", "Writes: ours beside pgbench", "connections", "audits a second"),
    ("searches", "search-latency", "A search, the same patterns in more audits", "audits", "ms, p50"),
    ("commits", "ratios-by-commit", "The main ratios, commit by commit", "measured commits, the oldest first", "times pgbench"),
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
        f"\n## {date.today()}, {commit}, {args.rows:,} rows, {args.combinations:,} combinations\n",
        f"{os.cpu_count()} cores, {platform.machine()}, the load generator on the same cores; {args.rounds} pairs of {args.seconds} s each.\n",
        "| work | ratio (spread) | before | goal | ours | pgbench | p50 | p99 | foreign |", "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        goal = f"{row['goal']:.1f}" if row["goal"] else ""
        before = f"{row['before']:.2f}×" if row["before"] else ""
        lines.append(f"| {row['name']} | **{row['ratio']:.2f}×** ({row['spread'][0]:.2f}–{row['spread'][1]:.2f}) | {before} | {goal} | {row['ours']:.0f}/s "
                     f"| {row['theirs']:.0f}/s | {row['p50']:.2f} ms | {row['p99']:.2f} ms | {row['foreign']:.0%} |")
    lines += ["", *(f"- {note}" for note in NOTES)]
    with open(args.report, "a") as page:
        page.write("\n".join(lines) + "\n")
    history.add(commit, args.rows, ROWS)
    LINES.update(history.lines())


if __name__ == "__main__":
    main()
