"""Our declaration of the plugin ABI is NVIDIA's: every class size, member offset, vtable slot and enum value.

Both headers are compiled by the same compiler. ``-fdump-lang-class`` tells sizes and vtable lengths; the debug
information tells members, slots and enumerators by name. NVIDIA's headers come from ``TENSORRT_ROOT/include``, else
from a wheel on PyPI that carries a copy of TensorRT 10.14's.
"""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).resolve().parents[2]
OURS = ROOT / "trtreg" / "sdk" / "include" / "trtreg" / "abi.h"


@pytest.fixture(scope="session")
def cuda_include(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the headers want of CUDA is two names: the layout does not depend on more."""
    folder = tmp_path_factory.mktemp("cuda")
    names = "typedef struct CUstream_st* cudaStream_t;\ntypedef struct CUevent_st* cudaEvent_t;\n"
    (folder / "cuda_runtime_api.h").write_text(f"#pragma once\n#include <cstddef>\n{names}")
    return folder


class Layout(NamedTuple):
    """What a compiler makes of one header; keys are names without the namespace."""

    sizes: dict[str, tuple[int, int]]  # class -> size, alignment
    vtables: dict[str, int]  # class -> entries
    members: dict[str, tuple[int, int]]  # Class.member -> offset, size
    slots: dict[str, int]  # Class::function(parameters) -> vtable slot
    enumerators: dict[str, int]  # Enum.name -> value


def layout(header: Path, namespace: str, includes: list[Path], folder: Path) -> Layout:
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "probe.cpp"
    source.write_text(f'#include "{header}"\n')
    whole = ["-g", "-femit-class-debug-always", "-fno-eliminate-unused-debug-types", "-fdump-lang-class"]
    command = ["g++", "-std=c++17", *whole, "-w", "-c", source.name, *(f"-I{path}" for path in includes)]
    subprocess.run(command, cwd=folder, check=True)
    dump = next(folder.glob("*.class")).read_text()
    name = rf"{re.escape(namespace)}::([\w:]+)"
    sizes = re.findall(rf"^Class {name}\n\s+size=(\d+) align=(\d+)", dump, re.MULTILINE)
    vtables = re.findall(rf"^Vtable for {name}\n.*: (\d+) entries", dump, re.MULTILINE)
    found = Layout(
        sizes={each: (int(size), int(align)) for each, size, align in sizes},
        vtables={each: int(entries) for each, entries in vtables},
        members={},
        slots={},
        enumerators={},
    )
    with (folder / "probe.o").open("rb") as stream:
        for unit in ELFFile(stream).get_dwarf_info().iter_CUs():
            _walk(unit.get_top_DIE(), (), tuple(namespace.split("::")), found)
    mangled = "\n".join(found.slots)
    readable = subprocess.run(["c++filt"], input=mangled, capture_output=True, text=True, check=True).stdout
    names = readable.replace(f"{namespace}::", "").splitlines()
    return found._replace(slots=dict(zip(names, found.slots.values(), strict=True)))


def _walk(die: object, path: tuple[str, ...], namespace: tuple[str, ...], found: Layout) -> None:
    for child in die.iter_children():
        kind, named = child.tag, child.attributes.get("DW_AT_name")
        if kind not in {"DW_TAG_namespace", "DW_TAG_class_type", "DW_TAG_structure_type", "DW_TAG_enumeration_type"}:
            _record(child, path, namespace, found)
        elif named is not None:
            _walk(child, (*path, named.value.decode()), namespace, found)


def _record(die: object, path: tuple[str, ...], namespace: tuple[str, ...], found: Layout) -> None:
    attributes = die.attributes
    if path[: len(namespace)] != namespace or "DW_AT_name" not in attributes:
        return
    name = "::".join(path[len(namespace) :]) + "." + attributes["DW_AT_name"].value.decode()
    if die.tag == "DW_TAG_enumerator":
        found.enumerators[name] = attributes["DW_AT_const_value"].value
    elif die.tag == "DW_TAG_member" and "DW_AT_data_member_location" in attributes:
        found.members[name] = (attributes["DW_AT_data_member_location"].value, _size(die))
    elif die.tag == "DW_TAG_subprogram" and "DW_AT_vtable_elem_location" in attributes:
        operation, slot = attributes["DW_AT_vtable_elem_location"].value
        assert operation == 0x10, "DW_OP_constu, and a slot below 128"
        found.slots[attributes["DW_AT_linkage_name"].value.decode()] = slot


def _size(die: object) -> int:
    """Bytes of the type that `die` refers to, through typedefs and arrays."""
    kind = die.get_DIE_from_attribute("DW_AT_type")
    if "DW_AT_byte_size" in kind.attributes:
        return kind.attributes["DW_AT_byte_size"].value
    bounds = [each.attributes["DW_AT_upper_bound"].value for each in kind.iter_children()]
    return _size(kind) * math.prod(bound + 1 for bound in bounds)


def differences(ours: Layout, theirs: Layout) -> list[str]:
    """Everything that we declare and that is otherwise, or absent, in NVIDIA's headers."""
    return [
        f"{kind} of {name}: {mine} here, {getattr(theirs, kind).get(name)} there"
        for kind in Layout._fields
        for name, mine in getattr(ours, kind).items()
        if getattr(theirs, kind).get(name) != mine
    ]


@pytest.fixture(scope="session")
def theirs(headers: Path, cuda_include: Path, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    folder = tmp_path_factory.mktemp("theirs")
    return layout(headers / "NvInfer.h", "nvinfer1", [headers, cuda_include], folder)


@pytest.fixture(scope="session")
def ours(cuda_include: Path, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return layout(OURS, "trtreg::abi", [cuda_include], tmp_path_factory.mktemp("ours"))


def test_declaration_is_identical(ours: Layout, theirs: Layout) -> None:
    assert differences(ours, theirs) == []


def test_everything_was_compared(ours: Layout) -> None:
    # The readers of dump and debug information found what stands in the header.
    text = re.sub(r"//.*", "", OURS.read_text())
    enumerators = re.findall(r"^\s*k\w+ = \d+|[{,] k\w+ = \d+", text, re.MULTILINE)
    assert len(ours.enumerators) == len(enumerators)
    classes = re.findall(r"^(?:class|struct) (\w+)[^;]*?\{", text, re.MULTILINE)
    assert len(ours.sizes) == len(classes)
    # Compilers give a destructor no name of its own; it shows in the slots of its neighbours and the vtable's length.
    virtuals = [line for line in text.splitlines() if re.search(r"\bvirtual\b|\boverride\b", line) and "~" not in line]
    spread = re.findall(r"\bvirtual [^;{]*\n[^;{]*override", text)
    assert len(ours.slots) == len(virtuals) - len(spread)
    assert {"PluginField.length", "DimsExprs.d", "DynamicPluginTensorDesc.opt", "IDimensionExpr.mImpl"} <= set(
        ours.members
    )


MUTATIONS = {
    "two slots swapped": (
        r"(  virtual int32_t getNbTactics\(\)[^\n]*\n)(  virtual char const\* getTimingCacheID\(\)[^\n]*\n)",
        r"\2\1",
        "slots of v_1_0::IPluginV3OneBuild::getNbTactics()",
    ),
    "a slot missing": (
        r"  virtual IPluginV3\* attachToContext[^\n]*\n",
        "",
        "slots of v_1_0::IPluginV3OneRuntime::getFieldsToSerialize()",
    ),
    "a slot too many at the end": (
        r"(  virtual ILogger\* findLogger\(\) = 0;\n)",
        r"\1  virtual void another() = 0;\n",
        "vtables of ILoggerFinder",
    ),
    "an enumerator off by one": (r"kBF16 = 7", "kBF16 = 8", "enumerators of DataType.kBF16"),
    "a member moved": (
        r"(  PluginFieldType type\{[^\n]*\n)(  int32_t length\{0\};\n)",
        r"\2\1",
        "members of PluginField.type",
    ),
    "a member grown": (r"float scale;", "double scale;", "members of PluginTensorDesc.scale"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_moved_slot_is_seen(mutation: str, theirs: Layout, cuda_include: Path, tmp_path: Path) -> None:
    pattern, replacement, expected = MUTATIONS[mutation]
    text, count = re.subn(pattern, replacement, OURS.read_text())
    assert count == 1
    copy = tmp_path / "abi.h"
    copy.write_text(text)
    found = differences(layout(copy, "trtreg::abi", [cuda_include], tmp_path / "build"), theirs)
    assert any(line.startswith(expected + ":") for line in found), found
