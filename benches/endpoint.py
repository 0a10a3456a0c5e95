#!/usr/bin/env python3
"""An OpenAI-compatible embeddings endpoint. It runs all-MiniLM-L6-v2 in NumPy, and fills the model's 384 numbers up with zeros to
`dimensions`.

`endpoint.py COMMAND …` runs a command with EMBEDDER_URL and EMBEDDER_MODEL set to this endpoint, unless they are set already. The
endpoint ends when the command ends. MINILM_PATH is the folder of the weights.
"""

import json
import math
import os
import subprocess
import sys
import threading
import venv
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".cache/endpoint"
NEEDED = ["numpy==2.4.6", "tokenizers==0.23.3", "safetensors==0.8.0"]
MODEL = "all-MiniLM-L6-v2"
HEADS = 12
TOKENS = 256


def into_environment() -> None:
    """Starts this program again in the environment that has its libraries."""
    if Path(sys.prefix).resolve() == ENVIRONMENT.resolve():
        return
    python = ENVIRONMENT / "bin/python"
    if not (ENVIRONMENT / "complete").exists():
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *NEEDED], check=True, stdout=sys.stderr)
        (ENVIRONMENT / "complete").touch()
    os.execv(python, [str(python), *sys.argv])


class Model:
    """The mean of the last layer over a text's tokens, brought to length 1."""

    LAYERS = 6
    # Parts of a layer, as the weights' file names them.
    SEEN = ("attention.self.query", "attention.self.key", "attention.self.value")
    TAKEN = "attention.output.dense"
    ATTENDED = "attention.output.LayerNorm"

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        self.weights = load_file(folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(TOKENS)

    def linear(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def normalized(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / (x.var(-1, keepdims=True) + 1e-12) ** 0.5
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attended(self, x, layer):
        import numpy as np

        count, size = x.shape

        def heads(name):
            return self.linear(x, f"{layer}.{name}").reshape(count, HEADS, -1).transpose(1, 0, 2)

        query, key, value = map(heads, self.SEEN)
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(size // HEADS) + self.distances(count)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True) @ value).transpose(1, 0, 2).reshape(count, size)
        return self.normalized(self.linear(mixed, f"{layer}.{self.TAKEN}") + x, f"{layer}.{self.ATTENDED}")

    def distances(self, _count: int):
        """What the distance between two tokens adds to their attention scores."""
        return 0.0

    def tokens(self, ids):
        word, place, kind = (self.weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type"))
        return word[ids] + place[: len(ids)] + kind[0]

    @staticmethod
    def gelu(x):
        import numpy as np

        # Abramowitz and Stegun 7.1.26: erf within 1.5e-7.
        t = 1 / (1 + 0.3275911 * np.abs(x) / math.sqrt(2))
        series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
        return x * (1 + np.sign(x) * (1 - series * np.exp(-x * x / 2))) / 2

    def embed(self, text: str) -> list[float]:
        import numpy as np

        ids = self.tokenizer.encode(text).ids
        x = self.normalized(self.tokens(ids), "embeddings.LayerNorm")
        for layer in (f"encoder.layer.{number}" for number in range(self.LAYERS)):
            x = self.attended(x, layer)
            inner = self.gelu(self.linear(x, f"{layer}.intermediate.dense"))
            x = self.normalized(self.linear(inner, f"{layer}.output.dense") + x, f"{layer}.output.LayerNorm")
        mean = x.mean(0)
        return [float(number) for number in mean / np.linalg.norm(mean)]


class Handler(BaseHTTPRequestHandler):
    model: Model

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = []
        for index, text in enumerate(asked["input"]):
            vector = self.model.embed(text)
            vector += [0.0] * (asked.get("dimensions", len(vector)) - len(vector))
            data.append({"object": "embedding", "index": index, "embedding": vector})
        body = json.dumps({"object": "list", "model": MODEL, "data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def weights() -> Path:
    """The folder of the model's weights."""
    fetch = [sys.executable, ROOT / "tools/minilm.py"]
    return Path(subprocess.run(fetch, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


def main() -> None:
    into_environment()
    folder = weights()
    Handler.model = Model(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1/embeddings"
    here = {"EMBEDDER_URL": url, "EMBEDDER_MODEL": MODEL, "MINILM_PATH": str(folder)}
    sys.exit(subprocess.run(sys.argv[1:], env=here | os.environ, check=False).returncode)


if __name__ == "__main__":
    main()
