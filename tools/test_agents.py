#!/usr/bin/env python3
"""Tries `/mcp` with the clients that agents are built with, on the demo's week of incidents: the official ones for Python and TypeScript, of
both eras, and the conformance suite of the protocol. They come from PyPI and npm, into .cache/agents.

usage: test_agents.py [--record FILE]     FILE: where the answers to the calls of docs/agents.md are written to
"""

import os
import subprocess
import sys
from pathlib import Path

from test_clients import ROOT, Service, run

CACHE = ROOT / ".cache/agents"
SESSIONS = ROOT / "tests/agents"
# The client of the older eras, and the one of both.
WHEELS = {"older": "mcp==1.30.0", "newer": "mcp==2.3.0"}
PACKAGES = ["@modelcontextprotocol/sdk@1.32.2", "@modelcontextprotocol/client@2.4.0", "@modelcontextprotocol/conformance@0.1.16", "node@22", "yaml@2"]


def install() -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    for name, wheel in WHEELS.items():
        if not (CACHE / name).exists():
            run(sys.executable, "-m", "venv", CACHE / name)
            run(CACHE / name / "bin/pip", "install", "--quiet", wheel)
    if not (CACHE / "node_modules").exists():
        run("npm", "install", "--silent", "--no-save", "--no-audit", "--no-fund", "--prefix", CACHE, *PACKAGES)


def main() -> None:
    install()
    record = sys.argv[1:3] if sys.argv[1:2] == ["--record"] else []
    service = Service()
    try:
        address = service.base.removeprefix("http://")
        run(sys.executable, ROOT / "tools/demo.py", env={**os.environ, "LISTEN_ADDR": address, "EMBEDDED_DIR": str(service.folder)})
        service.settle()
        url = service.base + "/mcp"
        run(CACHE / "older/bin/python", SESSIONS / "older.py", url)
        run(CACHE / "newer/bin/python", SESSIONS / "newer.py", url, ROOT / "docs/agents.md", *record)
        node = CACHE / "node_modules/.bin/node"
        # Modules are looked for beside the script.
        script = CACHE / "session.mjs"
        script.write_text((SESSIONS / "session.mjs").read_text())
        holmes = [ROOT / "deploy/agents/holmesgpt-mcp.yaml", ROOT / "deploy/agents/holmesgpt-http.yaml"]
        run(node, script, url, *holmes, service.token)
        suite = CACHE / "node_modules/.bin/conformance"
        expected = ["--expected-failures", str(SESSIONS / "conformance.yaml")]
        with open(CACHE / "conformance.log", "w") as log:
            done = subprocess.run([node, suite, "server", "--url", url, *expected], stdout=log, stderr=log, check=False)
        if done.returncode != 0:
            print(Path(log.name).read_text())
            raise SystemExit("the conformance suite has failures that are not expected")
        print("conformance: what needs no fixture of its own passes")
    finally:
        service.stop()


if __name__ == "__main__":
    main()
