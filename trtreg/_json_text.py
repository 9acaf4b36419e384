"""JSON in and out without the package `json`, which imports `re`: half of what `trtreg list` may take.

What is done here is done by the same C code; whatever is unusual, all errors among it, is left to `json`.
"""

TYPE_CHECKING = False  # `typing` takes longer to import than `trtreg list` may take
if TYPE_CHECKING:
    from typing import Any

__all__ = ["dumps", "loads"]

_SPACE = " \t\n\r"


class _Usual:
    """The settings of `json.loads`, but that NaN and its like are unusual."""

    strict = True
    object_hook = object_pairs_hook = parse_constant = None
    parse_float = float
    parse_int = int


def loads(text: str) -> "Any":
    """Decode a document, as `json.loads` does."""
    try:
        from _json import make_scanner

        scan: Any = make_scanner(_Usual)  # type: ignore[arg-type]  # any object with these attributes
        value, end = scan(text, len(text) - len(text.lstrip(_SPACE)))
        if not text[end:].strip(_SPACE):
            return value
    except Exception:  # noqa: BLE001, S110 - told by what follows
        pass
    import json

    return json.loads(text)


def dumps(value: "Any", margin: str = "\n") -> str:
    """Encode dicts, lists, texts, integers, booleans and None, as `json.dumps` does with an indent of two."""
    inner = margin + "  "
    if isinstance(value, str):
        return _quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        items = [f"{_quoted(key)}: {dumps(one, inner)}" for key, one in value.items()]
        return f"{{{inner}{f',{inner}'.join(items)}{margin}}}" if items else "{}"
    if isinstance(value, list):
        items = [dumps(one, inner) for one in value]
        return f"[{inner}{f',{inner}'.join(items)}{margin}]" if items else "[]"
    raise TypeError(f"a {type(value).__name__} in a document")


def _quoted(text: str) -> str:
    try:
        from _json import encode_basestring_ascii as quoted
    except ImportError:  # another Python
        from json.encoder import encode_basestring_ascii as quoted
    return quoted(text)
