#!/usr/bin/env python3
"""Checks the scripts of the console: their format by prettier, and their types by TypeScript, from the comments in them and from
docs/openapi.json: what the console expects of an answer is what the document promises.

axe-core, which the tests of the console use, comes along.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "console"
CONSOLE = ROOT / "console"
PACKAGES = ["typescript@5.9.3", "prettier@3.10.1", "openapi-typescript@7.13.0", "axe-core@4.14.1"]


def main() -> None:
    if not shutil.which("npm"):
        sys.exit("npm is needed, of Node 18 or later")
    CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run(["npm", "install", "--silent", "--no-save", "--prefix", CACHE, *PACKAGES], check=True)
    tool = CACHE / "node_modules" / ".bin"
    subprocess.run([tool / "openapi-typescript", ROOT / "docs" / "openapi.json", "-o", CACHE / "api.d.ts"], check=True, stdout=subprocess.DEVNULL)
    scripts = sorted(CONSOLE.glob("*.js")) + [CONSOLE / "types.d.ts"]
    config = CONSOLE / ".prettierrc.json"
    format = ["--write"] if "--write" in sys.argv else ["--check", "--log-level", "warn"]
    subprocess.run([tool / "prettier", "--config", config, *format, *scripts], check=True)
    subprocess.run([tool / "tsc", "-p", CONSOLE / "tsconfig.json"], check=True)
    print(f"{len(scripts)} files, {sum(file.stat().st_size for file in scripts)} bytes: formatted, and of the right types.")


if __name__ == "__main__":
    main()
