"""All or nothing: what an installer did to some plugins is undone if a later step fails."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trtreg.errors import TrtregError
from trtreg.packages import _site

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trtreg.packages.installer import Installer

__all__ = ["restored_on_failure"]


@contextmanager
def restored_on_failure(names: Sequence[str], installer: Installer) -> Iterator[None]:
    """Keep copies of the distributions until the work is done."""
    before = {name: version for name, version in _site.plugin_versions().items() if name in names}
    with tempfile.TemporaryDirectory(prefix="trtreg-") as folder:
        copies = {name: _copy(name, Path(folder) / name) for name in before}
        try:
            yield
        except BaseException as error:
            after = _restore(names, before, copies, installer)
            wrong = [name for name in dict.fromkeys(names) if before.get(name) != after.get(name)]
            if isinstance(error, TrtregError):
                _append(error, _state(names, after, whole=not wrong))
            raise


def _append(error: TrtregError, text: str) -> None:
    """Say it after the facts, before the remedy."""
    remedy, error.remedy = error.remedy, None
    error.message = f"{error}\n{text}"
    error.found, error.expected, error.remedy = None, None, remedy


def _state(names: Sequence[str], after: dict[str, str], *, whole: bool) -> str:
    now = "; ".join(
        f"{name} {after[name]} is installed" if name in after else f"{name} is not installed"
        for name in dict.fromkeys(names)
    )
    return f"{'All plugins are as before' if whole else 'The plugins could not be put back as they were'}: {now}"


def _copy(name: str, folder: Path) -> list[tuple[Path, Path]]:
    """Copy the files that the distribution lists, if it is of this environment; pairs of original and copy."""
    copies: list[tuple[Path, Path]] = []
    distribution = _site.distribution(name)
    if distribution is None or not _site.is_own(distribution):
        return copies
    for number, part in enumerate(distribution.files or ()):
        original = Path(str(part.locate()))
        if original.is_file():
            folder.mkdir(exist_ok=True)
            copies.append((original, folder / str(number)))
            shutil.copy2(original, folder / str(number))
    return copies


def _restore(
    names: Sequence[str],
    before: dict[str, str],
    copies: dict[str, list[tuple[Path, Path]]],
    installer: Installer,
) -> dict[str, str]:
    """Put back what is not as before; gives what is installed then."""
    now = _site.plugin_versions()
    changed = [name for name in dict.fromkeys(names) if before.get(name) != now.get(name) or name in copies]
    for name in changed:
        if name in now and before.get(name) != now[name]:
            try:
                installer.uninstall([name])
            except TrtregError:
                continue  # the comparison of before and after tells
        for original, copy in copies.get(name, []):
            original.parent.mkdir(parents=True, exist_ok=True)
            original.unlink(missing_ok=True)  # uv links files from its cache: never write into one
            shutil.copy2(copy, original)
    return _site.plugin_versions()
