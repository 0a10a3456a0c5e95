"""What was measured at which commit: docs/benchmarks.csv, a line for each ratio."""

import csv
from datetime import date
from pathlib import Path

PATH = Path(__file__).resolve().parent.parent / "docs/benchmarks.csv"
FIELDS = ["date", "commit", "rows", "name", "ratio", "lowest", "highest", "ours", "pgbench", "p50", "p99", "foreign"]
# The plot of all commits shows these.
MAIN = {
    "write, one in four a new incident, off, 64 connections, to one INSERT": "writes, 64 connections",
    "write, one in four a new incident, off, 4 connections, to the same work": "writes, 4 connections, the same work",
    "list limit=10, each its own, 64 connections, to pgbench -c 64": "pages of 10",
    "list limit=1000, each its own, 64 connections, to pgbench -c 64": "pages of 1,000",
}


def read() -> list[dict]:
    if not PATH.exists():
        return []
    with open(PATH, newline="") as file:
        return list(csv.DictReader(file))


def before(name: str) -> float | None:
    """The ratio when it was last measured."""
    ratios = [float(row["ratio"]) for row in read() if row["name"] == name]
    return ratios[-1] if ratios else None


def add(commit: str, rows: int, measured: list[dict]):
    """Adds what was measured; a commit that is measured again replaces its lines of the same names."""
    names = {row["name"] for row in measured}
    kept = [row for row in read() if not (row["commit"] == commit and row["rows"] == str(rows) and row["name"] in names)]
    for row in measured:
        kept.append({
            "date": str(date.today()), "commit": commit, "rows": rows, "name": row["name"], "ratio": f"{row['ratio']:.3f}",
            "lowest": f"{row['spread'][0]:.3f}", "highest": f"{row['spread'][1]:.3f}", "ours": f"{row['ours']:.0f}",
            "pgbench": f"{row['theirs']:.0f}", "p50": f"{row['p50']:.2f}", "p99": f"{row['p99']:.2f}", "foreign": f"{row['foreign']:.3f}",
        })
    with open(PATH, "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)


def lines() -> dict[str, list[tuple[float, float]]]:
    """The main ratios over the commits that were measured, as the plot takes them."""
    rows = read()
    commits = list(dict.fromkeys(row["commit"] for row in rows))
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["name"] in MAIN:
            points.setdefault("commits: " + MAIN[row["name"]], []).append((commits.index(row["commit"]) + 1, float(row["ratio"])))
    return points
