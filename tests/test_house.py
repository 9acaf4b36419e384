"""The house is in order: formatting, style, types, workflows, versions, and no path of anybody's machine."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import trtreg

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent  # the environment's own, whatever PATH says
NATIVE = {".h", ".cu", ".cuh", ".cpp"}


def files() -> list[Path]:
    """Every file that is in the repository or would go into it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip(f"not a git checkout: {listed.stderr.strip()}")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def check(tool: str, *arguments: str | Path) -> None:
    if not (TOOLS / tool).exists():
        reason = f"{tool} is not in this environment; requirements/test.txt has it"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    done = subprocess.run([TOOLS / tool, *arguments], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_check():
    check("ruff", "check", ".")


def test_ruff_format():
    check("ruff", "format", "--check", "--diff", ".")


def test_mypy():
    check("mypy")


def test_clang_format():
    check("clang-format", "--dry-run", "-Werror", *(path for path in files() if path.suffix in NATIVE))


def test_workflows():
    # No ShellCheck and no pyflakes, whether or not the machine has them.
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert {path.stem for path in workflows} >= {"tests", "docs", "wheels", "release", "index"}
    check("actionlint", "-shellcheck=", "-pyflakes=", *workflows)


def test_plugin_packages_are_found_and_not_listed():
    # A new package needs no edit here: these find plugin-packages/*/pyproject.toml by themselves.
    packages = [path.parent.name for path in sorted((ROOT / "plugin-packages").glob("*/pyproject.toml"))]
    assert "trtplugin-hswish" in packages
    finders = [ROOT / "Makefile", ROOT / "tests" / "test_flavours.py", *(ROOT / ".github" / "workflows").glob("*.yml")]
    listed = [f"{path.relative_to(ROOT)}: {name}" for path in finders for name in packages if name in path.read_text()]
    assert listed == []


def test_versions_agree():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    header = (ROOT / "trtreg" / "sdk" / "include" / "trtreg" / "plugin.h").read_text()
    released = re.findall(r"^## \[?(\d[^\s\]]*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert {
        "trtreg.__version__": trtreg.__version__,
        "TRTREG_SDK_VERSION": re.findall(r'define TRTREG_SDK_VERSION "([^"]+)"', header)[0],
        "CHANGELOG.md": released[0],
    } == dict.fromkeys(["trtreg.__version__", "TRTREG_SDK_VERSION", "CHANGELOG.md"], version)


def test_links_between_documents_lead_somewhere():
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert broken == []


# Folders that belong to somebody's machine; each in pieces, so that this file does not hold what it looks for.
FOREIGN = re.compile(
    "(?<![\\w.~])/(?:"
    + "|".join(["ro" + "ot/", "wo" + "rk/", "ho" + r"me/\w", "Us" + r"ers/\w", "opt/" + "wheels", "tmp/" + r"\w"])
    + ")"
)


@pytest.mark.parametrize("text", ["/ro" + "ot/x", "see /wo" + "rk/main", "'/tm" + "p/w/x'", "path=/ho" + "me/ann"])
def test_a_machine_path_is_recognised(text):
    assert FOREIGN.search(text)


@pytest.mark.parametrize(
    "text", ["https://example.org/home/x", "~/work/x", "build/tmp/x", "/project/build", "a/root/b"]
)
def test_other_paths_are_let_pass(text):
    assert not FOREIGN.search(text)


def test_no_path_of_a_machine_in_any_file():
    found = []
    for path in files():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line}" for number, line in enumerate(lines, 1) if FOREIGN.search(line)
        ]
    assert found == []


def test_every_python_file_parses_on_the_oldest_python():
    for path in files():
        if path.suffix == ".py":
            ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 10))
