"""Fuzz one reader guided by coverage, with Atheris: `make fuzz` runs this for each of them.

    python -m fuzz.coverage_guided READER [libFuzzer's options]

libFuzzer holds an input to -timeout and -rss_limit_mb; what breaks the rule is left in a file crash-... .
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

__all__: list[str] = []

_INSTRUMENTED = ["trtreg", "elftools", "packaging", "zipfile", "importlib.metadata", "configparser", "tomllib"]
_LONGEST_WORD = 100

with atheris.instrument_imports(include=_INSTRUMENTED, enable_loader_override=False):
    from fuzz import readers


def main() -> None:
    """Fuzz until libFuzzer ends it; seeds and the inputs themselves go to the current folder."""
    name, options = sys.argv[1], sys.argv[2:]
    target, place = readers.TARGETS[name], Path.cwd()
    seeds, words, inputs = place / "seeds", place / "words.dict", place / "inputs"
    for folder in (seeds, inputs):
        folder.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (seeds / str(number)).write_bytes(seed)
    known = [word for word in readers.words_of(target) if len(word) < _LONGEST_WORD]
    lines = ["".join(f"\\x{byte:02x}" for byte in word) for word in known]
    words.write_text("".join(f'"{line}"\n' for line in lines), encoding="ascii")
    # What a reader imports only when it is asked is to be instrumented too.
    with atheris.instrument_imports(include=_INSTRUMENTED, enable_loader_override=False):
        readers.attempt(target, target.seeds()[0], inputs, measure=False)
    atheris.Setup(
        [sys.argv[0], f"-dict={words}", *options, str(seeds)],
        lambda data: readers.attempt(target, data, inputs, measure=False),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
