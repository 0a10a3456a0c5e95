#!/usr/bin/env python3
"""Checks the walls between the crates: what each may depend on directly."""

import subprocess
import sys

WALLS = {
    "data-storage": {"tokio-postgres", "bb8", "bb8-postgres", "pgvector", "refinery", "postgres-types"},
    "data-storage-actors": {"actix-web", "actix-http", "actix-web-prom", "clap"},
}


def direct(package: str) -> set[str]:
    tree = subprocess.run(
        ["cargo", "tree", "--locked", "-e", "normal", "--depth", "1", "--prefix", "none", "-p", package],
        check=True,
        capture_output=True,
        text=True,
    )
    return {line.split()[0] for line in tree.stdout.splitlines()[1:] if line.strip()}


def main() -> None:
    broken = [f"{package} depends on {name}" for package, wall in WALLS.items() for name in sorted(direct(package) & wall)]
    if broken:
        sys.exit("A wall is broken: " + "; ".join(broken))


if __name__ == "__main__":
    main()
