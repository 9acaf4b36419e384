"""Search the indexes for plugins, by words or by the name of an op.

Each word must begin a word of the package's name, of an op's or of the summary; parts of an op's name count as words.
A package is taken from the first index that has its name, and from no other.

Examples:
  trtreg search deformable conv
  trtreg search --op DCNv2
  trtreg search --op DCNv2 --json
  trtreg search hswish --index https://plugins.example.com/trt/
  trtreg search hswish --offline               from cached catalogues
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtreg.cli import _indexes, _terminal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from trtreg.packages.catalogue import Catalogues
    from trtreg.packages.offers import Offer, Shelf

__all__ = ["configure_parser", "execute"]

_LIMIT = 20


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("words", metavar="WORD", nargs="*", help="a word, or its beginning")
    parser.add_argument("--op", metavar="NAME", help="find the packages that provide this op")
    parser.add_argument("--limit", metavar="N", type=int, default=_LIMIT, help=f"show at most N (default: {_LIMIT})")
    parser.add_argument("--json", action="store_true", help="print JSON (schema: trtreg/schema/search.schema.json)")
    _indexes.add_options(parser)
    parser.set_defaults(usage_error=parser.error)


def execute(arguments: argparse.Namespace) -> int:
    """Print a table of what was found."""
    from trtreg.packages.offers import Shelf

    words = " ".join(arguments.words).split()
    if bool(words) == bool(arguments.op):
        arguments.usage_error("give either words or --op NAME")
    if arguments.limit < 1:
        arguments.usage_error("--limit: expected 1 or more")
    with _indexes.open_catalogues(arguments).require() as catalogues:
        offers = _find(Shelf(catalogues), words, arguments.op, arguments.limit)
        nearest = () if offers else _nearest(catalogues, words, arguments.op)
        states = catalogues.states
    if arguments.json:
        _terminal.print_json(
            {
                "schema": 1,
                "words": words,
                "op": arguments.op,
                "indexes": _indexes.as_json(states),
                "packages": [_as_json(offer) for offer in offers],
                "nearest": [*nearest],
            }
        )
        return 0
    if offers:
        _terminal.print_table(("PACKAGE", "VERSION", "INDEX", "FITS", "OPS", "SUMMARY"), map(_row, offers))
        _print_reasons(offers)
    else:
        print(f"Nothing found for {arguments.op or ' '.join(words)!r}.")
        if nearest:
            print(f"Did you mean {' or '.join(nearest)}?")
    print(_terminal.dim(f"\n{_indexes.describe(states)}"))
    return 0


def _find(shelf: Shelf, words: Sequence[str], op: str | None, limit: int) -> list[Offer]:
    found: Sequence[Offer | None]
    if op is None:
        found = [shelf.of_project(project.name) for project in shelf.catalogues.search(words, limit=limit)]
    else:
        found = shelf.with_op(op)[:limit]
    return [offer for offer in found if offer is not None]


def _nearest(catalogues: Catalogues, words: Sequence[str], op: str | None) -> tuple[str, ...]:
    if op is not None:
        return catalogues.ops_named_like(op)
    name = "-".join(words)
    return tuple(dict.fromkeys([*catalogues.projects_named_like(name), *catalogues.ops_named_like("".join(words))]))


def _row(offer: Offer) -> tuple[str, ...]:
    release = offer.release
    ops = ", ".join(dict.fromkeys(creator.name for creator in release.ops))
    fits = "yes" if offer.fits else "no"
    return release.project, release.version, release.index, fits, _shortened(ops) or "-", release.summary


def _shortened(text: str, most: int = 40) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _print_reasons(offers: Iterable[Offer]) -> None:
    for offer in offers:
        for reason in offer.reasons:
            print(f"- {offer.release.project}: {reason}")


def _as_json(offer: Offer) -> dict[str, Any]:
    release = offer.release
    return {
        "package": release.project,
        "version": release.version,
        "index": release.index,
        "summary": release.summary,
        "fits": offer.fits,
        "reasons": [*offer.reasons],
        "ops": [{"name": c.name, "version": c.version, "namespace": c.namespace} for c in release.ops],
        "file": release.file,
        "size": release.size,
        "sha256": release.sha256,
        "uploaded": release.uploaded,
        "status": release.status,
    }
