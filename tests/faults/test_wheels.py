"""Broken wheels, read by an index and by a client in a process that has to stay alive, and installed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import broken_libraries as libraries
import broken_wheels
import pytest

from trtreg import errors

HERE = Path(__file__).parent


def loss(wheel, answer):
    """What is wrong with how a wheel was met; None where all is well."""
    if "died" in answer:
        return f"the process ended ({answer['died']}): {answer['reason']}"
    for what, may in (("published", wheel.may_publish), ("fetched", wheel.may_fetch)):
        found = answer[what]
        if "raised" in found:
            return f"{what}: no error of trtreg's: {found['raised']}"
        if "refused" not in found and not may:
            return f"it was {what}"
        if len(found.get("reason", "a reason")) < 8:
            return f"{what}: no reason"
    if "refused" in answer["published"] and answer["published"]["files"]:
        return f"it was refused, and has left {answer['published']['files']}"
    return None


def read(wheels, folder, environ):
    """Let the process read them, again from the next one on if it dies."""
    left = {}
    for number, wheel in enumerate(wheels):
        path = folder / str(number) / broken_wheels.FILE
        path.parent.mkdir(parents=True)
        path.write_bytes(wheel.content)
        left[str(number)] = wheel
    while left:
        jobs = [
            {"id": n, "wheel": str(folder / n / broken_wheels.FILE), "folder": str(folder / n / "site")} for n in left
        ]
        done = subprocess.run(
            [sys.executable, HERE / "wheel_host.py"], input="".join(json.dumps(job) + "\n" for job in jobs), text=True,
            env={**environ, "XDG_CACHE_HOME": str(folder / "cache")}, capture_output=True, check=False, timeout=600,
        )  # fmt: skip
        begun = None
        for line in done.stdout.splitlines():
            facts = json.loads(line)
            begun = facts.get("begun")
            if "id" in facts:
                yield left.pop(facts.pop("id")), facts
        if begun is not None:
            yield left.pop(begun), {"died": done.returncode, "reason": done.stderr[-300:]}
        assert begun is not None or done.returncode == 0, done.stderr


def parts(sources):
    library = libraries.doing(sources, "none")
    return libraries.described(library, name=broken_wheels.NAME), library


@pytest.mark.parametrize("table", ["of_archives", "of_contents"])
def test_broken_wheels_are_read(table, sources, quiet, tmp_path, tally, full):
    wheels = [wheel for wheel in getattr(broken_wheels, table)(*parts(sources)) if full or wheel.quick]
    for wheel, answer in read(wheels, tmp_path, quiet):
        tally.add(wheel.kind, wheel.name, loss(wheel, answer))
    assert sum(tally.tried.values()) == len(wheels)


def test_a_sound_wheel_is_none_of_them(sources, quiet, tmp_path):
    whole = broken_wheels.BrokenWheel(kind="k", name="n", content=broken_wheels.sound(*parts(sources)))
    ((_, answer),) = read([whole], tmp_path, quiet)
    assert answer["fetched"] == {}
    assert answer["published"]["files"], answer
    assert loss(whole, answer)


INSTALLED_IN_CI = {"the last byte", "no manifest", "a RECORD with another hash", "no library"}


def test_broken_wheels_are_installed(sources, pip_room, market, host, tmp_path, tally, full):
    """Of those that a client cannot tell by reading: the installer refuses them, or the loader does."""
    manifest, library = parts(sources)
    table = [*broken_wheels.of_contents(manifest, library), *broken_wheels.of_archives(manifest, library)]
    flipped = [wheel for wheel in table if wheel.kind == "wheel with flipped bits"][:20]
    table = [wheel for wheel in table if wheel.kind == "no sound wheel" or wheel.name in INSTALLED_IN_CI] + flipped
    market.add(broken_wheels.NAME, "1.0", libraries.OP)
    (line,) = market.lines
    (place,) = (market.folder / "files").glob("*/*.whl")
    kept, packages = tmp_path / "kept", pip_room.packages
    shutil.copytree(packages, kept, symlinks=True)
    for wheel in table if full else [wheel for wheel in table if wheel.name in INSTALLED_IN_CI]:
        place.write_bytes(wheel.content)
        line.update(sha256=hashlib.sha256(wheel.content).hexdigest(), size=len(wheel.content))
        market.save()
        done = pip_room.run("-m", "trtreg", "install", broken_wheels.NAME, "--index", market.url, "--refresh")
        tally.add("installing a broken wheel", wheel.name, installed_loss(wheel, done, pip_room, host))
        if pip_room.leftovers or pip_room.installed:
            shutil.rmtree(packages)
            shutil.copytree(kept, packages, symlinks=True)


def installed_loss(wheel, done, room, host):
    if done.returncode != 0:
        known = {found.exit_code for found in vars(errors).values()
                 if isinstance(found, type) and issubclass(found, errors.TrtregError)}  # fmt: skip
        if done.returncode not in known or "Traceback" in done.stderr:
            return f"it ended with {done.returncode}: {done.stderr[-300:]}"
        left = room.leftovers | set(room.installed)
        return f"it was refused, and has left {sorted(left)}" if left else None
    site = room.packages
    shutil.copytree(site / "trtplugin_fault", room.folder / "alone" / "trtplugin_fault", dirs_exist_ok=True)
    for info in site.glob("trtplugin_fault*.dist-info"):
        shutil.copytree(info, room.folder / "alone" / info.name, dirs_exist_ok=True)
    ((_, answer),) = host.run([("0", room.folder / "alone")])
    shutil.rmtree(room.folder / "alone")
    if "died" in answer or "harm" in answer or "raised" in answer:
        return f"it was installed, and then: {answer}"
    return None if wheel.may_fetch else f"it was installed, and then: {answer}"
