#!/usr/bin/env python3
"""Puts Debian's PgBouncer into .cache/pgbouncer for `make test-pgbouncer`, without installing it, and prints its folder."""

import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".cache/pgbouncer"
PACKAGES = ["pgbouncer", "libevent-2.1-7", "libc-ares2"]


def main() -> None:
    if not (FOLDER / "usr/sbin/pgbouncer").exists():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["apt-get", "download", "--quiet", *PACKAGES], cwd=folder, check=True, stdout=sys.stderr)
            # The program last: where it is, all is.
            for package in sorted(Path(folder).glob("*.deb"), key=lambda path: path.name.startswith("pgbouncer")):
                subprocess.run(["dpkg", "-x", package, FOLDER], check=True)
    print(FOLDER)


if __name__ == "__main__":
    main()
