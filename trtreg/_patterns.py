"""Regular expressions of what is read from JSON; texts of the usual kind are recognised without `re`.

Importing that takes half as long as the start of Python, and `trtreg list` may take no more than that start again.
A quick test may say no of a text that matches; never yes of one that does not.
"""

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ANY",
    "DIGEST",
    "FILE",
    "IDENTIFIER",
    "INTERFACE",
    "LONGEST",
    "MACHINE",
    "PACKAGE",
    "REGISTRATION",
    "RELEASE",
    "SM",
    "SOME",
    "SONAME",
    "TENSOR",
    "UNSPACED",
    "VERSION",
    "WORD",
    "matches",
]

LONGEST = 1000  # of what is read as a version: Python makes no numbers of thousands of digits

ANY = r"[\s\S]*"
SOME = r"[\s\S]+"
WORD = r"[a-z][a-z0-9]*"
TENSOR = r"[a-z][a-z0-9]*(:[a-z][a-z0-9_]*)?"
MACHINE = r"[a-z0-9_]+"
PACKAGE = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
UNSPACED = r"\S+"
RELEASE = rf"\S{{1,{LONGEST}}}"
VERSION = r"[0-9]{1,4}\.[0-9]{1,4}"
SM = r"[1-9][0-9]{0,3}\.[0-9]{1,4}[af]?"
DIGEST = r"[0-9a-f]{64}"
# A plain file name beside the manifest: a manifest must not reach outside of its package.
FILE = r"(?!\.{1,2}$)[^/\x00]+"
IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
SONAME = r"[^/\x00]+"
REGISTRATION = "dynamic|static|init"
INTERFACE = "v2|v3"


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern matches the whole text."""
    if pattern in _USUAL and _USUAL[pattern](text):
        return True
    import re

    return re.fullmatch(pattern, text) is not None


def _is_word(text: str) -> bool:
    return text.isascii() and text.isalnum() and text.islower() and text[0].isalpha()


def _is_tensor(text: str) -> bool:
    kind, _, layout = text.partition(":")
    return _is_word(kind) and (kind == text or (_is_word(layout.replace("_", "")) and layout[0] != "_"))


def _is_package(text: str) -> bool:
    return _is_plain(text, "-_.") and text[0].isalnum() and text[-1].isalnum()


def _is_plain(text: str, marks: str) -> bool:
    for mark in marks:
        text = text.replace(mark, "")
    return text.isascii() and text.isalnum()


def _is_version(text: str) -> bool:
    major, _, minor = text.partition(".")
    return text.isascii() and major.isdigit() and minor.isdigit() and max(len(major), len(minor)) <= 4  # noqa: PLR2004


def _is_sm(text: str) -> bool:
    return _is_version(text[:-1] if text.endswith(("a", "f")) else text) and text[0] != "0"


_USUAL: "dict[str, Callable[[str], bool]]" = {
    ANY: lambda _: True,
    SOME: bool,
    WORD: _is_word,
    TENSOR: _is_tensor,
    MACHINE: lambda text: _is_plain(text, "_") and text == text.lower(),
    PACKAGE: _is_package,
    UNSPACED: lambda text: _is_plain(text, "-_.+!"),
    RELEASE: lambda text: _is_plain(text, ".+!") and len(text) <= LONGEST,
    VERSION: _is_version,
    SM: _is_sm,
    DIGEST: lambda text: len(text) == 64 and not text.strip("0123456789abcdef"),  # noqa: PLR2004
    FILE: lambda text: _is_plain(text, "-_.+"),
    IDENTIFIER: lambda text: text.isascii() and text.isidentifier(),
    SONAME: lambda text: _is_plain(text, "-_.+"),
    REGISTRATION: REGISTRATION.split("|").__contains__,
    INTERFACE: INTERFACE.split("|").__contains__,
}
