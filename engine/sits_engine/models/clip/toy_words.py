"""A tokenizer of CLIP's kind (byte pairs) learned from a few captions, for the toy model of the demo."""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

START, END = "<|startoftext|>", "<|endoftext|>"
#: Letters, single digits, or runs of other signs: how CLIP cuts a sentence before it joins letters.
WORDS = re.compile(r"[^\W\d_]+|\d|[^\s\w]+|_+")


def write_tokenizer(folder: Path, texts: Iterable[str], max_tokens: int) -> int:
    """Write vocab.json, merges.txt and tokenizer_config.json; gives the number of tokens.

    Every word of the texts becomes one token; any other text is cut into pieces of words and letters.

    Args:
        folder: exists.
        texts: captions to learn from.
        max_tokens: longest text, with start and end.
    """
    merges = _merges(collections.Counter(word for text in texts for word in WORDS.findall(text.lower())))
    letters = _byte_letters()
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    tokens = [*dict.fromkeys(tokens), START, END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": max_tokens,
        "bos_token": START,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return len(tokens)


def _merges(words: collections.Counter[str]) -> list[tuple[str, str]]:
    """Pairs to join, the most frequent first, until each word is one token (Sennrich et al. 2016)."""
    letters = dict(zip(range(256), _byte_letters(), strict=True))
    cut = {}
    for word in words:
        parts = [letters[byte] for byte in word.encode()]
        cut[word] = [*parts[:-1], parts[-1] + "</w>"]
    merges: list[tuple[str, str]] = []
    while True:
        pairs: collections.Counter[tuple[str, str]] = collections.Counter()
        for word, parts in cut.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        # Ties go by spelling, so that the same captions give the same file.
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word, parts in cut.items():
            cut[word] = _joined(parts, best)


def _joined(parts: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    for part in parts:
        if out and (out[-1], part) == pair:
            out[-1] += part
        else:
            out.append(part)
    return out


def _byte_letters() -> list[str]:
    """The printable letter that stands for each byte 0..255, as CLIP's tokenizer has it."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
