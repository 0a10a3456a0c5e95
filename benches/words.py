#!/usr/bin/env python3
"""Learns what words of operators mean, for the built-in embedder: `make words`.

all-MiniLM-L6-v2 says what each sentence of benches/words/sentences.txt means, and each paragraph of some handbooks that Debian packs: 384
numbers, of which those directions are kept in which the sentences differ most. Each word gets as many numbers, so that those of a text's
words add up to the direction of what the model says of the whole. Written: actors/src/embedder/words.txt, first how many sentences there
are, then a line for each word with how many of them have it; and words.bin, a signed byte for each number of each word.
"""

import hashlib
import math
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import endpoint

ROOT = Path(__file__).resolve().parent.parent
SENTENCES = ROOT / "benches/words/sentences.txt"
WRITTEN = ROOT / "actors/src/embedder"
CACHE = ROOT / ".cache/words"
HANDBOOKS = """apache2-doc barbican-doc bind9-doc cinder-doc designate-doc docker-doc glance-doc heat-doc icinga2-doc ironic-doc keystone-doc
libvirt-doc manila-doc neutron-doc nova-doc octavia-doc openvswitch-doc pacemaker-doc postfix-doc postgresql-doc-15 senlin-doc slurm-wlm-doc
swift-doc watcher-doc xen-doc""".split()
PARAGRAPHS = 2000
NUMBERS = 96
# A word is kept that so many sentences have, or so many paragraphs; a sentence counts as so many paragraphs.
IN_SENTENCES = 2
IN_ALL = 4
WEIGHT = 4
EPOCHS = 12
AT_ONCE = 512
STEP = 0.01
# How much the likeness of two sentences counts beside the meaning of each, and how far words may go from where they begin.
PAIRS = 8.0
HELD = 1e-4


class Paragraphs(HTMLParser):
    """The texts of paragraphs and items, without code."""

    BLOCKS = {"p", "li", "dd", "dt", "td", "th", "div", "section", "h1", "h2", "h3", "h4", "ul", "ol", "table", "tr", "br"}
    LEFT_OUT = {"script", "style", "pre"}

    def __init__(self) -> None:
        super().__init__()
        self.texts, self.text, self.hidden = [], "", 0

    def handle_starttag(self, tag, attrs) -> None:
        self.hidden += tag in self.LEFT_OUT
        if tag in self.BLOCKS:
            self.end()

    def handle_endtag(self, tag) -> None:
        self.hidden -= tag in self.LEFT_OUT and self.hidden > 0
        if tag in self.BLOCKS:
            self.end()

    def handle_data(self, data) -> None:
        if not self.hidden:
            self.text += data

    def end(self) -> None:
        self.texts.append(" ".join(self.text.split()))
        self.text = ""


def is_prose(text: str) -> bool:
    words = text.split()
    if not 8 <= len(words) <= 90 or not text[0].isupper() or not text.isascii():
        return False
    letters = sum(c.isalpha() or c == " " for c in text) / len(text)
    return letters > 0.85 and len({"the", "is", "to", "of", "and", "for", "are", "in", "be", "with"} & set(words)) >= 2


def paragraphs(package: str) -> list[str]:
    """Some of a handbook's, from its whole length."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "-o", "APT::Sandbox::User=root", "-qq", "download", package], cwd=folder, check=True, stdout=sys.stderr)
        unpack = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", next(Path(folder).glob("*.deb"))], stdout=subprocess.PIPE)
        with tarfile.open(fileobj=unpack.stdout, mode="r|") as files:
            for file in files:
                if file.isfile() and file.name.endswith(".html") and file.size < 3_000_000:
                    parser = Paragraphs()
                    parser.feed(files.extractfile(file).read().decode(errors="ignore"))
                    found.update((text, None) for text in parser.texts if is_prose(text))
        unpack.wait()
    texts = list(found)
    return texts[:: max(1, math.ceil(len(texts) / PARAGRAPHS))]


def handbooks() -> list[str]:
    file = CACHE / "paragraphs.txt"
    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        texts = {text: None for package in HANDBOOKS for text in paragraphs(package)}
        file.write_text("\n".join(texts) + "\n")
    return file.read_text().splitlines()


def words_of(texts: list[str]) -> list[Counter]:
    """The words of each text as the embedder has them, and how often."""
    command = ["cargo", "run", "--quiet", "--release", "--locked", "--example", "split_words"]
    split = subprocess.run(command, input="\n".join(texts), stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT).stdout
    return [Counter(line.split()) for line in split.splitlines()]


def of_length_one(rows):
    import numpy as np

    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6)


def meanings(texts: list[str]):
    import numpy as np

    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    file = CACHE / f"meanings-{digest[:16]}.npy"
    if not file.exists():
        model = endpoint.Model(endpoint.weights())
        CACHE.mkdir(parents=True, exist_ok=True)
        np.save(file, np.array([model.embed(text) for text in texts], dtype=np.float32))
    return np.load(file)


def learn(texts, meant, begin, order_of):
    """Words' numbers, from texts' words (their places and weights) and what the texts mean (texts × numbers, each of length 1)."""
    import numpy as np

    words, mean, square, steps = begin.copy(), np.zeros_like(begin), np.zeros_like(begin), 0
    for epoch in range(EPOCHS):
        order = order_of()
        for at in range(0, len(order) - AT_ONCE + 1, AT_ONCE):
            batch = order[at : at + AT_ONCE]
            x = np.zeros((AT_ONCE, len(words)), dtype=np.float32)
            for row, text in enumerate(batch):
                places, weights = texts[text]
                x[row, places] = weights
            sums = x @ words
            length = np.linalg.norm(sums, axis=1, keepdims=True) + 1e-6
            said, meaning = sums / length, meant[batch]
            off = said @ said.T - meaning @ meaning.T
            slope = -meaning / AT_ONCE + 4 * PAIRS * off @ said / (AT_ONCE * (AT_ONCE - 1))
            slope = (slope - (slope * said).sum(1, keepdims=True) * said) / length
            slope = x.T @ slope + 2 * HELD * (words - begin) / AT_ONCE
            # Adam.
            steps += 1
            mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
            rate = STEP * (1 - epoch / EPOCHS) / (1 - 0.9**steps)
            words -= rate * mean / (np.sqrt(square / (1 - 0.999**steps)) + 1e-8)
    return words


def main() -> None:
    endpoint.into_environment()
    import numpy as np

    own = SENTENCES.read_text().splitlines()
    texts = own + handbooks()
    counted = words_of(texts)
    in_own = Counter(word for words in counted[: len(own)] for word in words)
    in_all = Counter(word for words in counted for word in words)
    kept = sorted(word for word, count in in_all.items() if count >= IN_ALL or in_own[word] >= IN_SENTENCES)
    places = {word: place for place, word in enumerate(kept)}
    weighted = []
    for words in counted:
        known = [(places[word], 1 + math.log(count)) for word, count in words.items() if word in places]
        weighted.append((np.array([p for p, _ in known], dtype=int), np.array([w for _, w in known], dtype=np.float32)))

    meant = meanings(texts)
    weights = np.where(np.arange(len(texts)) < len(own), WEIGHT, 1)
    meant = meant - meant[: len(own)].mean(0)
    directions = np.linalg.eigh((meant * weights[:, None]).T @ meant)[1][:, ::-1][:, :NUMBERS]
    meant = of_length_one(meant @ directions)

    # A word begins where the texts are that have it, a rare one further out.
    begin = np.zeros((len(kept), NUMBERS), dtype=np.float32)
    for (where, weight), meaning in zip(weighted, meant):
        begin[where] += weight[:, None] * meaning
    rarity = np.array([math.log(len(texts) / in_all[word]) for word in kept], dtype=np.float32)
    begin = (of_length_one(begin) * rarity[:, None] / 12).astype(np.float32)
    random = np.random.default_rng(1)
    usable = np.array([text for text, (where, _) in enumerate(weighted) for _ in range(weights[text]) if len(where) >= 3])
    words = learn(weighted, meant, begin, lambda: random.permutation(usable))
    rounded = np.rint(words / np.abs(words).max() * 127).astype(np.int8)
    said = of_length_one(np.array([weight @ rounded[where] for where, weight in weighted]))
    print(f"{len(texts)} texts, {len(kept)} words, cosine of sum and text {(said * meant).sum(1).mean():.3f}", file=sys.stderr)

    lines = [str(len(own))] + [f"{word} {in_own[word]}" for word in kept]
    (WRITTEN / "words.txt").write_text("\n".join(lines) + "\n")
    (WRITTEN / "words.bin").write_bytes(rounded.tobytes())


if __name__ == "__main__":
    main()
