#!/usr/bin/env python3
"""Learns what words mean when operators talk, for the built-in embedder (`make words`). This takes most of an hour, and needs Debian 12
with its package lists.

all-MiniLM-L6-v2 and all-mpnet-base-v2 say what each sentence of benches/words/sentences.txt means (the sentences were written for this),
and what each paragraph of some handbooks means that Debian packs. They say it in 384 and 768 numbers. Of these numbers together, the
directions are kept in which the texts differ most; a sentence weighs four times as much as a paragraph in this choice. Each word gets as many
numbers as directions are kept. They are learned so that the numbers of a text's words add up to the direction of the text's meaning.

The program writes two files. actors/src/embedder/words.bin has a signed byte for each number of each word. words.txt has the SHA-256 of
words.bin, then a line for each word that says how many of 4,000 texts have the word: of sentences or of paragraphs, whichever are more.
On another machine the files come out about the same, but not bit for bit.
"""

import hashlib
import math
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import endpoint
import mpnet

endpoint.into_environment()

import numpy as np  # noqa: E402, it is there now

ROOT = Path(__file__).resolve().parent.parent
SENTENCES = ROOT / "benches/words/sentences.txt"
WRITTEN = ROOT / "actors/src/embedder"
CACHE = ROOT / ".cache/words"
HANDBOOKS = """apache2-doc barbican-doc bind9-doc cinder-doc designate-doc docker-doc glance-doc heat-doc icinga2-doc ironic-doc keystone-doc
libvirt-doc manila-doc neutron-doc nova-doc octavia-doc openvswitch-doc pacemaker-doc postfix-doc postgresql-doc-15 senlin-doc slurm-wlm-doc
swift-doc watcher-doc xen-doc""".split()
MODELS = {endpoint.MODEL: lambda: endpoint.Model(endpoint.weights()), mpnet.NAME: lambda: mpnet.Mpnet(mpnet.weights())}
# Most paragraphs of a handbook, taken evenly from its whole length.
PARAGRAPHS = 1000
NUMBERS = 96
# A word is kept if this many sentences have it, or this many texts of both kinds.
IN_SENTENCES = 2
IN_TEXTS = 4
OF_TEXTS = 4000
# How often a sentence is learned from, while a paragraph is learned from once.
WEIGHT = 4
EPOCHS = 12
AT_ONCE = 512
STEP = 0.01
# How much the likeness of two texts counts beside the meaning of each, and how strongly words are held where they
# begin.
PAIRS = 8.0
HELD = 1e-4


class Paragraphs(HTMLParser):
    """The texts of paragraphs and items, without blocks of code."""

    BLOCKS = set("p li dd dt td th div section h1 h2 h3 h4 h5 h6 ul ol dl table tr br blockquote".split())
    LEFT_OUT = {"script", "style", "pre"}

    def __init__(self) -> None:
        super().__init__()
        self.texts, self.text, self.hidden = [], "", 0

    def handle_starttag(self, tag, attrs) -> None:
        self.hidden += tag in self.LEFT_OUT
        if tag in self.BLOCKS | self.LEFT_OUT:
            self.end()

    def handle_endtag(self, tag) -> None:
        self.hidden -= tag in self.LEFT_OUT and self.hidden > 0
        if tag in self.BLOCKS | self.LEFT_OUT:
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
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "-o", "APT::Sandbox::User=root", "-qq", "download", package], cwd=folder, check=True, stdout=sys.stderr)
        unpack = ["dpkg-deb", "--fsys-tarfile", next(Path(folder).glob("*.deb"))]
        with subprocess.Popen(unpack, stdout=subprocess.PIPE) as unpacked, tarfile.open(fileobj=unpacked.stdout, mode="r|") as files:
            for file in files:
                if file.isfile() and file.name.endswith(".html") and file.size < 3_000_000:
                    parser = Paragraphs()
                    parser.feed(files.extractfile(file).read().decode(errors="ignore"))
                    parser.close()
                    parser.end()
                    found.update((text, None) for text in parser.texts if is_prose(text))
    texts = list(found)
    return [texts[at * len(texts) // PARAGRAPHS] for at in range(PARAGRAPHS)] if len(texts) > PARAGRAPHS else texts


def cached(name: str, key: str, write) -> Path:
    """The file for this key. An earlier run made it, or `write` makes it now."""
    file = CACHE / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}-{name}"
    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        beside = CACHE / f"new-{name}"
        write(beside)
        beside.rename(file)
    return file


def handbooks() -> list[str]:
    def write(file: Path) -> None:
        texts = {text: None for package in HANDBOOKS for text in paragraphs(package)}
        file.write_text("\n".join(texts) + "\n")

    return cached("paragraphs.txt", f"{HANDBOOKS} {PARAGRAPHS}", write).read_text().splitlines()


def meanings(name: str, load, texts: list[str]) -> np.ndarray:
    def write(file: Path) -> None:
        model = load()
        np.save(file, np.array([model.embed(text) for text in texts], dtype=np.float32))

    return np.load(cached("meanings.npy", "\n".join([name, *texts]), write))


def words_of(texts: list[str]) -> list[Counter]:
    """The words of each text, as the embedder cuts them, and how often the text has each."""
    command = [os.environ.get("CARGO", "cargo"), "run", "--quiet", "--release", "--locked", "--example", "split_words"]
    split = subprocess.run(command, input="\n".join(texts), stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT).stdout.splitlines()
    assert len(split) == len(texts), "a line for each text"
    return [Counter(line.split()) for line in split]


def of_length_one(rows: np.ndarray) -> np.ndarray:
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6)


def where_words_begin(weighted, meant: np.ndarray, rarity: np.ndarray) -> np.ndarray:
    """The first numbers of each word: where the texts are that have the word. A rare word begins further out."""
    begin = np.zeros((len(rarity), NUMBERS), dtype=np.float32)
    for (places, weights), meaning in zip(weighted, meant, strict=True):
        begin[places] += weights[:, None] * meaning
    return (of_length_one(begin) * rarity[:, None] / 12).astype(np.float32)


def learn(weighted, meant: np.ndarray, begin: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Learns the numbers of words, from the words of texts (places and weights) and the meanings of texts (texts × numbers, of length 1)."""
    random = np.random.default_rng(1)
    words, mean, square, steps = begin.copy(), np.zeros_like(begin), np.zeros_like(begin), 0
    for epoch in range(EPOCHS):
        order = random.permutation(usable)
        for at in range(0, len(order) - AT_ONCE + 1, AT_ONCE):
            batch = order[at : at + AT_ONCE]
            x = np.zeros((AT_ONCE, len(words)), dtype=np.float32)
            for row, text in enumerate(batch):
                places, weights = weighted[text]
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
    sentences, books = SENTENCES.read_text().splitlines(), handbooks()
    texts = sentences + books
    counted = words_of(texts)
    in_sentences = Counter(word for words in counted[: len(sentences)] for word in words)
    in_books = Counter(word for words in counted[len(sentences) :] for word in words)
    in_texts = in_sentences + in_books
    kept = sorted(word for word, count in in_texts.items() if count >= IN_TEXTS or in_sentences[word] >= IN_SENTENCES)
    places = {word: place for place, word in enumerate(kept)}
    weighted = []
    for words in counted:
        known = [(places[word], 1 + math.log(count)) for word, count in words.items() if word in places]
        weighted.append((np.array([place for place, _ in known], dtype=int), np.array([weight for _, weight in known], dtype=np.float32)))

    told = [meanings(name, load, texts) for name, load in MODELS.items()]
    meant = np.hstack([of_length_one(meaning - meaning[: len(sentences)].mean(0)) for meaning in told])
    weights = np.where(np.arange(len(texts)) < len(sentences), WEIGHT, 1)
    directions = np.linalg.eigh((meant * weights[:, None]).T @ meant)[1][:, ::-1][:, :NUMBERS]
    meant = of_length_one(meant @ directions)
    rarity = np.array([math.log(len(texts) / in_texts[word]) for word in kept])
    usable = np.array([text for text, (known, _) in enumerate(weighted) for _ in range(weights[text]) if len(known) >= 3])
    words = learn(weighted, meant, where_words_begin(weighted, meant, rarity), usable)
    rounded = np.rint(words / np.abs(words).max() * 127).astype(np.int8)
    said = of_length_one(np.array([weight @ rounded[known] for known, weight in weighted]))
    print(f"{len(texts)} texts, {len(kept)} words, cosine of sum and text {(said * meant).sum(1).mean():.3f}", file=sys.stderr)

    common = (max(in_sentences[word] / len(sentences), in_books[word] / len(books)) for word in kept)
    lines = [hashlib.sha256(rounded.tobytes()).hexdigest()] + [f"{word} {share * OF_TEXTS:.0f}" for word, share in zip(kept, common)]
    (WRITTEN / "words.bin").write_bytes(rounded.tobytes())
    (WRITTEN / "words.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
