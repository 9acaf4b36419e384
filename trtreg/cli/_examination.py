"""What `trtreg doctor` looks at: facts with names, and problems with remedies."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from trtreg import __version__, environment, flavour
from trtreg.cli import _plugins
from trtreg.errors import TensorRTNotFoundError, TensorRTUnusableError, TrtregError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trtreg.cli._plugins import Judged
    from trtreg.environment import Environment
    from trtreg.flavour import InstalledTensorRT

__all__ = ["Examination", "Fact", "Problem", "as_json", "examine"]

_FIRST_RTX_WITH_PLUGINS = (1, 7)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """Something that is so; `key` is for programs, `name` for people."""

    key: str
    name: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something that stands in the way, and what to do about it."""

    text: str
    remedy: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """All that was found."""

    facts: tuple[Fact, ...]
    problems: tuple[Problem, ...]
    plugins: tuple[Judged, ...]


def examine() -> Examination:
    """Look at everything; whatever is wrong becomes a problem; only a setting without meaning is raised."""
    problems: list[Problem] = []
    chosen = _chosen(problems)
    here = environment.read(chosen)
    judged = _plugins.judge_all(here)
    facts = [
        Fact(key="trtreg", name="trtreg", value=__version__),
        Fact(key="python", name="Python", value=platform.python_version()),
        Fact(
            key="platform", name="platform", value=f"{platform.system()} {here.machine}, glibc {here.glibc or 'none'}"
        ),
        *_tensorrt(chosen, problems),
        *_driver(here, problems),
        *_packages(chosen, problems),
        Fact(key="nvcc", name="nvcc", value=_nvcc()),
        *_verdicts(judged, problems),
        *_clashes(judged, chosen, problems),
        *_trust(judged, problems),
    ]
    return Examination(facts=tuple(facts), problems=tuple(problems), plugins=judged)


def as_json(found: Examination) -> dict[str, Any]:
    """The document of `trtreg doctor --json`."""
    return {
        "schema": 1,
        "healthy": not found.problems,
        "facts": [asdict(fact) for fact in found.facts],
        "problems": [asdict(problem) for problem in found.problems],
        "plugins": [_plugins.as_json(judged) for judged in found.plugins],
    }


def _chosen(problems: list[Problem]) -> InstalledTensorRT | None:
    """The TensorRT that trtreg would use, imported once to see that it can be."""
    try:
        chosen = flavour.select()
        flavour.load(chosen)
    except (TensorRTNotFoundError, TensorRTUnusableError) as e:
        problems.append(_problem(e))
        return None
    return chosen


def _tensorrt(chosen: InstalledTensorRT | None, problems: list[Problem]) -> Iterator[Fact]:
    for tensorrt in flavour.installed():
        if tensorrt != chosen:
            value = f"{tensorrt.version}, not used"
        elif os.environ.get(flavour.SETTING):
            value = f"{tensorrt.version}, used because {flavour.SETTING}={os.environ[flavour.SETTING]}"
        elif len(flavour.installed()) > 1:
            value = f"{tensorrt.version}, used because it comes first; {flavour.SETTING} chooses another"
        else:
            value = f"{tensorrt.version}, used, the only one"
        yield Fact(key=tensorrt.flavour.module, name=tensorrt.flavour.module, value=value)
    if chosen and chosen.flavour is flavour.Flavour.RTX and _release(chosen.version) < _FIRST_RTX_WITH_PLUGINS:
        problems.append(
            Problem(
                text=f"the ONNX parser of TensorRT-RTX {chosen.version} takes no plugins",
                remedy="run: pip install 'tensorrt-rtx>=1.7'",
            )
        )


def _driver(here: Environment, problems: list[Problem]) -> Iterator[Fact]:
    if here.driver is None:
        yield Fact(key="driver", name="NVIDIA driver", value=f"none ({here.driver_problem})")
        # A machine without a driver is a sound place to build engines; a driver out of order is not.
        if here.driver_problem and "not found" not in here.driver_problem.lower():
            remedy = "reinstall the driver, or reboot" if find_spec("pynvml") else "run: pip install nvidia-ml-py"
            problems.append(Problem(text=f"NVIDIA driver: {here.driver_problem}", remedy=remedy))
        return
    yield Fact(key="driver", name="NVIDIA driver", value=f"{here.driver}, CUDA {here.cuda_driver}")
    if not here.gpus:
        yield Fact(key="gpus", name="GPUs", value="none")
    for gpu in here.gpus:
        yield Fact(key=f"gpu{gpu.index}", name=f"GPU {gpu.index}", value=f"{gpu.name}, sm {gpu.sm}")


def _packages(chosen: InstalledTensorRT | None, problems: list[Problem]) -> Iterator[Fact]:
    for name, purpose in (("onnx", "to read models"), ("tqdm", "for progress bars")):
        there = find_spec(name) is not None
        yield Fact(key=name, name=name, value=_version(name) if there else f"not installed; needed {purpose}")
        if not there and name == "onnx" and (chosen is None or chosen.flavour is not flavour.Flavour.LEAN):
            problems.append(Problem(text="onnx is not installed", remedy="run: pip install 'trtreg[convert]'"))


def _nvcc() -> str:
    """Only who builds plugins needs one, so that its absence is no problem."""
    from trtreg.sdk import toolchain

    try:
        nvcc = toolchain.find().nvcc
    except TrtregError as e:
        return f"none, needed to build plugins only ({str(e).splitlines()[0]})"
    return f"{nvcc.version}, {nvcc.path}"


def _verdicts(judged: Iterable[Judged], problems: list[Problem]) -> Iterator[Fact]:
    for one in judged:
        name = one.plugin.distribution
        value = one.verdict if one.fits else "does not fit"
        yield Fact(
            key=f"plugin:{name}", name=name, value=f"{one.plugin.version}, {'fits: ' if one.fits else ''}{value}"
        )
        if one.plugin.problem is not None:
            problem = _problem(one.plugin.problem)
            problems.append(Problem(text=f"{name} is broken: {problem.text}", remedy=problem.remedy))
        # That there is no TensorRT at all is a problem of the machine, told once.
        for reason in (reason for reason in one.reasons if reason.code != "tensorrt-missing"):
            text = f"{name} does not fit: {reason.code}: found {reason.found}, expected {reason.expected}"
            problems.append(Problem(text=text, remedy=reason.remedy))


def _clashes(judged: Sequence[Judged], chosen: InstalledTensorRT | None, problems: list[Problem]) -> Iterator[Fact]:
    """Creators that several packages have, or TensorRT too: who is to have each, or that nothing says so."""
    from trtreg import _holders, load_plan, preferences
    from trtreg._nearest import remedy

    try:
        wishes = preferences.read()
    except TrtregError as e:
        problems.append(_problem(e))
        wishes = preferences.Preferences()
    plugins = [one.plugin for one in judged if one.fits or chosen is None]
    keys, registered = load_plan.all_creators(plugins), {}
    if chosen is not None and keys:
        _holders.register_own(chosen)
        registered = _holders.registered(chosen, keys, plugins)
    for collision in load_plan.make(plugins, registered=registered, preferences=wishes).collisions:
        if collision.fatal:
            problems.append(Problem(text=collision.told, remedy=collision.remedy or None))
        else:
            yield Fact(key=f"conflict:{collision.key}", name=str(collision.key), value=collision.why)
    every = [one.plugin for one in judged]
    names = [plugin.distribution for plugin in every]
    for name, near in wishes.unknown(load_plan.all_creators(every), names).items():
        text = f"{wishes.origin} prefers {wishes.winners[name]} for {name}, and no installed plugin is meant by that"
        problems.append(Problem(text=text, remedy=remedy(near)))


def _trust(judged: Sequence[Judged], problems: list[Problem]) -> Iterator[Fact]:
    """The policy, what trials have cost, and the installed plugins whose trial ended badly."""
    from trtreg.trust import policy, verdicts

    try:
        rules = policy.read()
    except TrtregError as e:
        problems.append(_problem(e))
    else:
        origins = ", ".join(dict.fromkeys(rules.origins.values())) or "the default"
        yield Fact(key="policy", name="policy", value=f"mode {rules.mode}, trial {rules.trial}, from {origins}")
    known = verdicts.read_all()
    seconds = sum(verdict.seconds for verdict in known)
    value = f"{len(known)} kept, {sum(not verdict.passed for verdict in known)} bad, {seconds:.1f} s in all"
    yield Fact(key="trials", name="trials", value=value)
    for one in judged:
        manifest = one.plugin.manifest
        for verdict in known:
            if manifest and verdict.sha256 == manifest.library.sha256 and not verdict.passed:
                name = one.plugin.distribution
                text = f"{name} is in quarantine for {verdict.flavour} {verdict.tensorrt}: {verdict.reason}"
                problems.append(Problem(text=text, remedy=f"get another build, or run: trtreg quarantine clear {name}"))


def _problem(error: TrtregError) -> Problem:
    text = str(error)
    return Problem(text=text.replace(f"; {error.remedy}", "", 1) if error.remedy else text, remedy=error.remedy)


def _release(version: str) -> tuple[int, ...]:
    from packaging.version import Version

    return Version(version).release[:2]


def _version(name: str) -> str:
    from importlib.metadata import version

    return version(name)
