"""The parts of the reference that the code itself tells: commands, errors, JSON schemas, the Python interface."""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trtreg
from trtreg import errors
from trtreg.check.table import RULES
from trtreg.cli._parser import exit_codes, make_parser

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "trtreg"
_WIDTH: Final = 100  # what a page shows without scrolling


def commands() -> str:
    """Every command, as its parser has it."""
    return "\n\n".join(_command(parser, 2) for _, parser in _subparsers(make_parser()))


def _subparsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            yield from action.choices.items()


def _command(parser: argparse.ArgumentParser, level: int) -> str:
    options = [action for action in parser._actions if action.help != argparse.SUPPRESS]  # noqa: SLF001
    rows = [row for row in map(_option, options) if row]
    parts = [
        f"{'#' * level} {parser.prog}",
        parser.description or "",
        f"```\n{_usage(parser)}\n```",
        "| argument | |\n| --- | --- |\n" + "\n".join(rows) if rows else "",
        _prose(parser.epilog or ""),
        *(_command(inner, level + 1) for _, inner in _subparsers(parser)),
    ]
    return "\n\n".join(filter(None, parts))


def _usage(parser: argparse.ArgumentParser) -> str:
    formatter = argparse.HelpFormatter(parser.prog, width=_WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")  # noqa: SLF001
    return formatter.format_help().strip()


def _option(action: argparse.Action) -> str | None:
    if isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)):  # noqa: SLF001
        return None
    value = action.metavar if isinstance(action.metavar, str) else None
    if action.choices is not None and action.metavar is None:
        value = ", ".join(map(str, action.choices))
    if action.option_strings:
        takes = action.nargs != 0 and (value or action.dest.upper())
        name = ", ".join(f"{option} {takes}" if takes else option for option in action.option_strings)
    else:
        name = value or action.dest
    return f"| `{_cell(name)}` | {_cell(action.help or '')} |"


def _prose(text: str) -> str:
    """Turn the text of a help, in which indented lines are examples, to Markdown."""
    parts: list[str] = []
    for is_code, lines in _runs(text.splitlines()):
        block = textwrap.dedent("\n".join(lines)).strip("\n")
        if block:
            parts.append(f"```\n{block}\n```" if is_code else _escaped(block))
    return "\n\n".join(parts)


def _runs(lines: Iterable[str]) -> Iterator[tuple[bool, list[str]]]:
    run: list[str] = []
    was_code = False
    for line in lines:
        is_code = line.startswith("  ") if line.strip() else was_code
        if is_code != was_code and run:
            yield was_code, run
            run = []
        was_code = is_code
        run.append(line)
    if run:
        yield was_code, run


def error_table() -> str:
    """Every exit code, the class that has it, and what it means."""
    classes = {
        c.exit_code: c for c in (getattr(errors, name) for name in errors.__all__) if c is not errors.TrtregError
    }
    rows = ["| code | error | meaning |", "| --- | --- | --- |"]
    for code, meaning in exit_codes().items():
        name = f"`{classes[code].__name__}`" if code in classes else ""
        rows.append(f"| {code} | {name} | {_cell(meaning)} |")
    return "\n".join(rows)


def rules() -> str:
    """Every rule of `trtreg check`, by its id."""
    rows = ["| rule | level | what has to be so, and why |", "| --- | --- | --- |"]
    for rule in RULES:
        level = f"{rule.level}; {rule.foreign} without the SDK" if rule.foreign else rule.level
        words = f"{_escaped(rule.text)} *{_escaped(rule.why)}*"
        rows.append(f"| {rule.id} {rule.name} | {level} | {_cell(words)} |")
    return "\n".join(rows)


def operators() -> str:
    """Every plugin package of the repository, by its own pyproject.toml and sources."""
    rows = ["| package | ops | |", "| --- | --- | --- |"]
    for file in sorted(ROOT.glob("plugin-packages/*/README.md")):
        project = tomllib.loads(file.with_name("pyproject.toml").read_text(encoding="utf-8"))["project"]
        sources = "\n".join(source.read_text(encoding="utf-8") for source in sorted(file.parent.glob("native/*.cu")))
        ops = ", ".join(f"`{name}`" for name in re.findall(r'char const\* name = "(\w+)"', sources))
        link = f"[{project['name']}](../../plugin-packages/{file.parent.name}/README.md)"
        rows.append(f"| {link} | {ops} | {_cell(project['description'])} |")
    return "\n".join(rows)


def schemas() -> list[Path]:
    """The schemas of all JSON that trtreg writes."""
    return sorted((PACKAGE / "schema").glob("*.json"))


def schema_list() -> str:
    """Every schema: what it describes, and its first keys."""
    rows = ["| what | keys | schema |", "| --- | --- | --- |"]
    for path in schemas():
        schema = json.loads(path.read_text(encoding="utf-8"))
        keys = ", ".join(f"`{key}`" for key in schema.get("properties", {}))
        rows.append(
            f"| {_cell(schema.get('title', path.stem))} | {keys} | [{path.name}](../../trtreg/schema/{path.name}) |"
        )
    return "\n".join(rows)


def manifest_keys() -> str:
    """The keys of the manifest, by its schema."""
    schema = json.loads((PACKAGE / "schema" / "trtplugin.schema.json").read_text(encoding="utf-8"))
    rows = ["| key | type | meaning |", "| --- | --- | --- |"]
    rows += [f"| `{name}` | {_cell(kind)} | {_cell(text)} |" for name, kind, text in _keys(schema, schema, "")]
    return "\n".join(rows)


def _keys(schema: dict[str, Any], part: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, raw in part.get("properties", {}).items():
        value = _resolved(schema, raw)
        yield f"{prefix}{name}", _type(schema, value), value.get("description", raw.get("description", ""))
        for alternative in (value, *value.get("anyOf", ()), *value.get("oneOf", ())):
            inner = _resolved(schema, alternative)
            yield from _keys(schema, inner, f"{prefix}{name}.")
            if isinstance(inner.get("items"), dict):
                yield from _keys(schema, _resolved(schema, inner["items"]), f"{prefix}{name}[].")


def _resolved(schema: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    found: Any = schema
    if "$ref" not in value:
        return value
    for step in value["$ref"].lstrip("#/").split("/"):
        found = found[step]
    return {**found, **{key: own for key, own in value.items() if key != "$ref"}}


def _type(schema: dict[str, Any], value: dict[str, Any]) -> str:
    if "const" in value:
        return json.dumps(value["const"])
    if "enum" in value:
        return " or ".join(json.dumps(one) for one in value["enum"])
    for key in ("anyOf", "oneOf"):
        if key in value:
            return " or ".join(_type(schema, _resolved(schema, one)) for one in value[key])
    kind = value.get("type", "")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def python_api() -> str:
    """What `import trtreg` offers, from the sources: nothing heavy is imported."""
    return "\n\n".join(_described(name) for name in trtreg.__all__ if name != "__version__")


def _described(name: str) -> str:
    module = trtreg._MODULES[name]  # noqa: SLF001 - where the name is from
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
            return "\n\n".join(_definition(node, 2, ""))
    # A class of another module that this one hands on.
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            inner = ast.parse((ROOT / (node.module.replace(".", "/") + ".py")).read_text(encoding="utf-8"))
            for found in inner.body:
                if isinstance(found, (ast.ClassDef, ast.FunctionDef)) and found.name == name:
                    return "\n\n".join(_definition(found, 2, ""))
    raise LookupError(f"{name} is not defined in trtreg/{module}.py")


def _definition(node: ast.ClassDef | ast.FunctionDef, level: int, owner: str) -> Iterator[str]:
    yield f"{'#' * level} {owner}{node.name}"
    if isinstance(node, ast.FunctionDef):
        is_property = any(ast.unparse(decorator) == "property" for decorator in node.decorator_list)
        yield f"```python\n{_signature(node, node.name, is_property=is_property)}\n```"
    yield from filter(None, [_docstring(node)])
    if isinstance(node, ast.ClassDef):
        fields = [line for line in map(_field, node.body) if line]
        if fields:
            yield "```python\n" + "\n".join(fields) + "\n```"
        members = [member for member in node.body if isinstance(member, ast.FunctionDef)]
        for member in members:
            if member.name == "__init__":
                yield f"```python\n{_signature(member, node.name)}\n```"
                yield from filter(None, [_docstring(member)])
        for member in members:
            if not member.name.startswith("_"):
                yield from _definition(member, level + 1, f"{node.name}.")


def _field(node: ast.stmt) -> str | None:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return f"{node.target.id}: {ast.unparse(node.annotation)}"
    return None


def _signature(node: ast.FunctionDef, name: str, *, is_property: bool = False) -> str:
    result = f" -> {ast.unparse(node.returns)}" if node.returns and name == node.name else ""
    if is_property:
        return f"{name}{result.replace(' -> ', ': ')}"
    text = re.sub(r"^self(, |$)", "", ast.unparse(node.args))
    text = re.sub(r"(?<=[\w\])])=(?=\S)", " = ", text)
    line = f"{name}({text}){result}"
    if len(line) <= _WIDTH:
        return line
    # Only at the commas of the arguments, not in their types.
    lines = re.sub(r", (?=\*?[a-z_]*(: | = |, |$))", ",\n    ", text)
    return f"{name}(\n    {lines},\n){result}"


def _docstring(node: ast.ClassDef | ast.FunctionDef) -> str:
    """Turn a docstring of Google's style to Markdown."""
    text = inspect.cleandoc(ast.get_docstring(node) or "")
    parts = []
    for block in re.split(r"\n\s*\n", text):
        head, _, rest = block.partition("\n")
        if head in {"Args:", "Raises:", "Returns:", "Yields:"}:
            if head in {"Returns:", "Yields:"}:
                parts.append(f"{head} {_escaped(' '.join(rest.split()))}")
                continue
            items = re.split(r"\n(?=    \S)", "\n" + rest)[1:]
            parts.append(f"{head}\n\n" + "\n".join(f"- {_named(' '.join(item.split()))}" for item in items))
        else:
            parts.append(_escaped(block))
    return "\n\n".join(parts)


def _named(line: str) -> str:
    name, colon, rest = line.partition(": ")
    return f"`{name}`{colon}{rest}" if colon else line


def _escaped(text: str) -> str:
    """Keep what is not Markdown from being read as such; words between backticks stay code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<>\[\]])", r"\\\1", part) for part in parts)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


MAKERS: Final[dict[str, Callable[[], str]]] = {
    "commands": commands,
    "errors": error_table,
    "rules": rules,
    "operators": operators,
    "json": schema_list,
    "manifest": manifest_keys,
    "python": python_api,
}
"""What stands in a page as `<!-- made: NAME -->`."""
