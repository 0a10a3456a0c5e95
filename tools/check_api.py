#!/usr/bin/env python3
"""Names the changes of docs/openapi.json that break clients, against the last tag or the commit in BASE.

The comparison is api-smart-diff's (npm), which knows what of a request and of an answer may change.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "check-api"
PACKAGE = "api-smart-diff@1.0.6"
DOCUMENT = "docs/openapi.json"
COMPARE = """
import { apiDiff } from 'api-smart-diff'
import { readFileSync } from 'node:fs'
const [before, after] = JSON.parse(readFileSync(0, 'utf8'))
const breaking = apiDiff(before, after).filter(({ type, path }) => type === 'breaking' && path.at(-1) !== 'description')
console.log(JSON.stringify(breaking.map(({ action, path, before, after }) => ({ action, path, before, after }))))
"""


def main() -> None:
    if not shutil.which("npm"):
        sys.exit("npm is needed, of Node 18 or later")
    base = os.environ.get("BASE") or git("describe", "--tags", "--abbrev=0")
    if not base:
        print("There is no tag yet: BASE=COMMIT compares with a commit.")
        return
    before = json.loads(git("show", f"{base}:{DOCUMENT}") or sys.exit(f"{base} has no {DOCUMENT}"))
    after = json.loads((ROOT / DOCUMENT).read_text())
    CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run(["npm", "install", "--silent", "--no-save", "--prefix", CACHE, PACKAGE], check=True)
    (CACHE / "compare.mjs").write_text(COMPARE)

    # Whether it would notice.
    without = {**before, "paths": dict(list(before["paths"].items())[1:])}
    if not compare(before, without):
        sys.exit("A path that is gone is not named: the comparison does not work.")
    changes = compare(before, after)
    for change in changes:
        print(f"{change['action']} {' '.join(map(str, change['path']))}")
        for side in ("before", "after"):
            if side in change:
                print(f"    {side}: {json.dumps(change[side])[:200]}")
    if changes:
        sys.exit(f"{len(changes)} changes since {base} break clients.")
    print(f"Nothing since {base} breaks a client.")


def git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True).stdout.strip()


def compare(before: dict, after: dict) -> list[dict]:
    documents = json.dumps([before, after])
    done = subprocess.run(["node", "compare.mjs"], cwd=CACHE, input=documents, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
