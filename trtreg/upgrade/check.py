"""Gathering what an upgrade check judges: the installed plugins, files, catalogues, and this machine."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trtreg.errors import EngineLockError, ModelError
from trtreg.upgrade import plan_header, rules
from trtreg.upgrade.builtin_plugins import read as read_builtin_plugins

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trtreg.discovery import InstalledPlugin
    from trtreg.environment import Environment
    from trtreg.packages.catalogue import Catalogues
    from trtreg.packages.offers import Offer
    from trtreg.upgrade.finding import Finding, Target

__all__ = ["check"]


def check(
    target: Target,
    files: Iterable[str] = (),
    *,
    version_compatible: bool = False,
    plugins: Sequence[InstalledPlugin] | None = None,
    environment: Environment | None = None,
    catalogues: Catalogues | None = None,
) -> tuple[Finding, ...]:
    """Find what would not work with `target`: what breaks first, then what is deprecated.

    `files` are ONNX models and engines; `version_compatible` says that the engines were built so. Catalogues, which the
    caller closes, say what replaces a package or an op. Nothing is loaded, and no TensorRT imported. Raises ModelError
    for a file that is neither.
    """
    from trtreg import discovery
    from trtreg import environment as environments

    installed = discovery.discover() if plugins is None else tuple(plugins)
    here = environments.read() if environment is None else environment
    shop = _Shop(target, installed, here, catalogues)
    found = [*shop.judge_plugins()]
    for file in files:
        found += shop.judge_file(file, version_compatible=version_compatible)
    return tuple(sorted(found, key=lambda finding: not finding.breaks))


class _Shop:
    """The machine as it would be, and what could be installed on it."""

    def __init__(
        self,
        target: Target,
        installed: Sequence[InstalledPlugin],
        here: Environment,
        catalogues: Catalogues | None,
    ) -> None:
        from trtreg.packages.offers import Shelf

        self._target = target
        self._installed = installed
        self._here = here
        self._there = rules.environment_for(target, here)
        self._catalogues = catalogues
        self._shelf = None if catalogues is None else Shelf(catalogues, self._there)

    def judge_plugins(self) -> Iterator[Finding]:
        for plugin in self._installed:
            for finding in rules.judge_plugin(plugin, self._target, self._here):
                offers = self._offers(plugin) if finding.breaks else ()
                yield replace(finding, replacements=tuple(map(str, offers)))

    def judge_file(self, file: str, *, version_compatible: bool) -> Iterator[Finding]:
        from trtreg.scan import scan

        try:
            with Path(file).open("rb") as opened:
                header = plan_header.parse(opened.read(plan_header.SIZE))
        except OSError as e:
            raise ModelError(f"cannot read {file}", found=e.strerror, expected="a model or an engine") from e
        if header is not None:
            yield from rules.judge_engine(
                file, _completed(file, header), self._target, version_compatible=version_compatible or None
            )
            return
        report = scan(file, plugins=self._installed, environment=self._there, catalogues=lambda: self._catalogues)
        for finding in rules.judge_model(report, self._target, read_builtin_plugins()):
            # A release that does not fit the other TensorRT replaces nothing.
            fitting = {str(offer) for node in report.nodes for offer in node.offers if offer.fits}
            yield replace(finding, replacements=tuple(r for r in finding.replacements if r in fitting))

    def _offers(self, plugin: InstalledPlugin) -> tuple[Offer, ...]:
        """Releases that fit: a newer one of the package itself, then other packages with one of its ops."""
        if self._shelf is None or plugin.manifest is None:
            return ()
        own = self._shelf.of_project(plugin.distribution)
        keys = plugin.manifest.library.keys
        found = {str(offer): offer for offer in (own, *self._shelf.offers(keys)) if offer is not None and offer.fits}
        return tuple(found.values())


def _completed(file: str, header: plan_header.PlanHeader) -> plan_header.PlanHeader:
    """Take the version from the lock beside the engine where the header has none."""
    if header.version is None:
        from trtreg import engine_lock

        with suppress(EngineLockError):
            lock = engine_lock.read(file)
            if lock is not None and lock.plan_size == Path(file).stat().st_size:
                return replace(header, version=lock.tensorrt_version)
    return header
