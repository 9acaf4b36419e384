"""What install, upgrade, sync and lock have in common: options, the way to a plan, and showing and carrying it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trtreg.cli import _indexes, _terminal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from trtreg.discovery import InstalledPlugin
    from trtreg.manifest import CreatorKey
    from trtreg.packages.attestations import Publisher
    from trtreg.packages.catalogue import Catalogues
    from trtreg.packages.release import Release
    from trtreg.packages.resolve import Choice, Kept, PassedOver, Plan, Target, Wanted
    from trtreg.packages.wheels import Fetched, Wheel
    from trtreg.scan import ScanReport
    from trtreg.trust.policy import Policy

__all__ = [
    "Indexes",
    "Outcome",
    "action",
    "add_choice_options",
    "add_model_options",
    "add_output_options",
    "attested",
    "attester",
    "carry_out",
    "chosen",
    "facts",
    "fetch",
    "of_models",
    "shown",
]


def add_choice_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which releases may be chosen."""
    parser.add_argument("--pre", action="store_true", help="allow pre-releases")
    _indexes.add_options(parser)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what names packages by the models that need them."""
    parser.add_argument(
        "--for", dest="models", metavar="MODEL", nargs="+", default=[], help="the packages that these ONNX models need"
    )
    parser.add_argument(
        "--prefer",
        metavar="NAME",
        action="append",
        default=[],
        help="of several packages that provide an op, take this one; may be given again",
    )


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add what says how much is done and how it is told."""
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--json", action="store_true", help="print JSON (schema: trtreg/schema/install.schema.json)")


class Indexes:
    """The catalogues, opened when they are first asked: what is installed already needs none."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._catalogues: Catalogues | None = None

    def __enter__(self) -> Indexes:  # noqa: PYI034 - typing has Self since Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        if self._catalogues is not None:
            self._catalogues.close()

    def releases(self, project: str) -> Sequence[Release]:
        """The project's releases."""
        return self._open().releases(project)

    def providing(self, key: CreatorKey) -> Sequence[Release]:
        """The releases that have the creator."""
        return self._open().providing(key)

    def similar_projects(self, name: str) -> Sequence[str]:
        """Projects of nearly this name."""
        return self._open().projects_named_like(name)

    def similar_ops(self, name: str) -> Sequence[str]:
        """Ops of nearly this name."""
        return self._open().ops_named_like(name)

    def site(self, project: str) -> str | None:
        """The URL of the index that owns the project."""
        index = self._open().owner(project)
        return index.url if index else None

    def _open(self) -> Catalogues:
        if self._catalogues is None:
            self._catalogues = _indexes.open_catalogues(self._arguments).require()
        return self._catalogues


def facts() -> tuple[Target, tuple[InstalledPlugin, ...]]:
    """What plugins are chosen for, and the installed ones."""
    from trtreg import discovery
    from trtreg.packages import _release_fit

    return _release_fit.read(), discovery.discover()


def of_models(
    models: Sequence[str],
    indexes: Indexes,
    target: Target,
    installed: Sequence[InstalledPlugin],
    preferred: Sequence[str],
) -> tuple[list[ScanReport], tuple[Wanted, ...]]:
    """Scan the models, and name a package for each op that nothing installed provides."""
    from trtreg.errors import UnsupportedNodesError
    from trtreg.packages import providers
    from trtreg.scan import Status, scan

    reports = [scan(model, plugins=installed, environment=target.environment) for model in models]
    missing = [node for report in reports for node in report.missing]
    invalid = [node for node in missing if node.status is Status.INVALID]
    if invalid:
        lines = [f"- node '{node.title}' ({node.op}): {node.reason}" for node in invalid]
        raise UnsupportedNodesError("\n".join(["No package can provide:", *lines]))
    if not missing:
        return reports, ()
    return reports, providers.choose(
        providers.needs(missing),
        providing=indexes.providing,
        installed=installed,
        target=target,
        preferred=preferred,
        similar=indexes.similar_ops,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What is to be done or was done, for people and for programs."""

    actions: list[dict[str, Any]]
    dry_run: bool
    installer: str | None = None
    requirements: list[str] = field(default_factory=list)

    def show(self, *, as_json: bool) -> None:
        """Print it."""
        if as_json:
            _terminal.print_json(
                {
                    "schema": 1,
                    "dry_run": self.dry_run,
                    "installer": self.installer,
                    "actions": self.actions,
                    "requirements": self.requirements,
                }
            )
            return
        for action in self.actions:
            _print_action(action, dry_run=self.dry_run)
        if all(action["action"] == "keep" for action in self.actions):
            print("Nothing to do." if self.actions else "Nothing is needed.")


def shown(plan: Plan) -> list[dict[str, Any]]:
    """The plan's actions, sorted by package."""
    actions = [*map(chosen, plan.choices), *map(_kept, plan.kept)]
    return sorted(actions, key=lambda action: str(action["package"]))


def action(  # the keys are those of the schema
    kind: str, package: str, version: str, *, wheel: Wheel | None = None, replaces: str | None = None
) -> dict[str, Any]:
    """One action as JSON."""
    from trtreg.packages.settings import public

    return {
        "action": kind,
        "package": package,
        "version": version,
        "replaces": replaces,
        "file": wheel.file if wheel else None,
        "url": public(wheel.url) if wheel else None,
        "sha256": wheel.sha256 if wheel else None,
        "size": wheel.size if wheel else None,
        "index": None,
        "because": [],
        "notes": [],
        "attested_by": [],
        "passed_over": [],
    }


def carry_out(
    actions: list[dict[str, Any]], wheels: Iterable[Wheel], arguments: argparse.Namespace, target: Target
) -> Outcome:
    """Fetch, check and install the wheels, unless it is a dry run."""
    from trtreg import discovery
    from trtreg.packages import admission, install, installer
    from trtreg.trust import policy as policies

    wanted = [*wheels]
    if not wanted:
        return Outcome(actions=actions, dry_run=arguments.dry_run)
    policy = policies.read()
    admission.require(wanted, policy)
    found = installer.find()
    found.check_environment()
    if arguments.dry_run:
        return Outcome(actions=actions, dry_run=True, installer=found.name)
    attested(actions, wanted, policy, offline=arguments.offline)
    fetched = fetch(wanted, offline=arguments.offline)
    admission.require_libraries(fetched, policy)
    install.check(fetched, target.environment, discovery.discover())
    further = install.apply(fetched, found, on_step=_terminal.print_line)
    return Outcome(actions=actions, dry_run=False, installer=found.name, requirements=[*further])


def attested(
    actions: Iterable[dict[str, Any]], wheels: Iterable[Wheel], policy: Policy, *, offline: bool
) -> dict[str, tuple[Publisher, ...]]:
    """Verify what is offered in attestations, and put the publishers into the actions; gives them by file name."""
    from dataclasses import asdict

    from trtreg.packages import admission

    def on_note(text: str) -> None:
        _terminal.print_line(f"trtreg: note: {text}")

    publishers = admission.attested(wheels, policy, offline=offline, on_note=on_note)
    for one in actions:
        one["attested_by"] = [asdict(publisher) for publisher in publishers.get(one["file"], ())]
    return publishers


def fetch(wanted: Iterable[Wheel], *, offline: bool) -> list[Fetched]:
    """Get the wheels, telling of each that is not in the cache."""
    from trtreg.packages import wheels

    fetched = []
    for wheel in wanted:
        if wheels.cached(wheel) is None and not offline:
            size = f" ({_terminal.size(wheel.size)})" if wheel.size is not None else ""
            _terminal.print_line(f"Downloading {wheel.file}{size}")
        with _indexes.progress(wheel.project) as on_progress:
            fetched.append(wheels.fetch(wheel, offline=offline, on_progress=on_progress))
    return fetched


def chosen(choice: Choice) -> dict[str, Any]:
    from trtreg.packages.wheels import Wheel

    release = choice.release
    wheel = Wheel.of(release)
    return {
        **action(choice.action, release.project, release.version, wheel=wheel, replaces=choice.replaces),
        "index": release.index or None,
        "because": [*choice.because],
        "notes": [*choice.notes],
        "passed_over": [*map(_passed, choice.passed_over)],
    }


def _kept(kept: Kept) -> dict[str, Any]:
    return {
        **action("keep", kept.project, kept.version),
        "because": [*kept.because],
        "passed_over": [*map(_passed, kept.passed_over)],
    }


def _passed(passed: PassedOver) -> dict[str, Any]:
    reasons = [{"code": obstacle.code, "text": obstacle.text} for obstacle in passed.obstacles]
    return {"version": passed.version, "file": passed.file, "reasons": reasons}


def attester(publisher: dict[str, Any]) -> str:
    """A publisher of an action in one line."""
    from trtreg.packages.attestations import Publisher

    return str(Publisher(**publisher))


_PAST = {
    "install": "installed",
    "upgrade": "upgraded",
    "downgrade": "downgraded",
    "reinstall": "reinstalled",
    "uninstall": "uninstalled",
    "keep": "is installed already",
}


def _print_action(action: dict[str, Any], *, dry_run: bool) -> None:
    kind = action["action"]
    done = f"would be {_PAST[kind]}" if dry_run and kind != "keep" else _PAST[kind]
    before = f", instead of {action['replaces']}" if action["replaces"] not in {None, action["version"]} else ""
    origin = f" from {action['index']}" if action["index"] else ""
    reasons = [because for because in action["because"] if because != "named"]
    because = f" ({'; '.join(reasons)})" if reasons else ""
    name = f"{action['package']} {action['version']}"
    print(f"{_terminal.good(name) if kind != 'keep' else name} {done}{origin}{before}{because}")
    for publisher in action["attested_by"]:
        print(f"  attested by {attester(publisher)}")
    for note in action["notes"]:
        print(f"  note: {note}")
    for passed in action["passed_over"]:
        # That a version was not asked for, the user knows.
        reasons = [reason["text"] for reason in passed["reasons"] if reason["code"] != "specifier"]
        if len(reasons) == len(passed["reasons"]):
            print(f"  {passed['version']} passed over: {'; '.join(reasons)}")
