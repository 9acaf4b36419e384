"""The rules of `trtreg check`. An id, once published, keeps its meaning; docs/publisher/check.md lists them all."""

from __future__ import annotations

from typing import Final

from trtreg.check.finding import Rule

__all__ = ["RULES"]

# The wheel.
UNREADABLE: Final = Rule(
    id="TRT001",
    name="readable",
    level="error",
    text="The wheel is a sound zip file, or the package a readable folder.",
    why="Members that lead outside, overlap or expand without measure are how archives attack who unpacks them.",
)
REFUSED: Final = Rule(
    id="TRT002",
    name="index-takes-it",
    level="error",
    text="`trtreg index build` would take the wheel.",
    why="An index refuses what contradicts itself; better to know before it is uploaded.",
)
STRUCTURE: Final = Rule(
    id="TRT003",
    name="structure",
    level="error",
    text="The file name, METADATA, WHEEL and entry_points.txt are there, can be read, and agree.",
    why="Installers take a wheel by its file name, and other tools by its metadata.",
)
PLATFORM: Final = Rule(
    id="TRT004",
    name="platform-tag",
    level="error",
    text="A wheel with a library is py3-none for manylinux and the library's machine; one without is for any.",
    why="Installers choose by the tag alone. One wheel serves every Python, so a tag for one keeps out the others.",
)
RECORD: Final = Rule(
    id="TRT005",
    name="record",
    level="error",
    text="RECORD lists every file with its sha256 and size, and no other.",
    why="What it does not list is installed unseen; a wrong hash is a file changed after the build.",
)
CONTENTS: Final = Rule(
    id="TRT006",
    name="contents",
    level="error",
    text="Only the package, its libraries and its metadata are in the wheel: no .pth, no compiled Python, no script.",
    why="A .pth file runs code at each start of Python; a second top-level folder overwrites that of another package.",
)
METADATA: Final = Rule(
    id="TRT007",
    name="metadata",
    level="warning",
    text="METADATA has a summary and Requires-Python, and requires trtreg.",
    why="Indexes and `trtreg search` show the summary; installers go by the others.",
)
LICENCE: Final = Rule(
    id="TRT008",
    name="licence",
    level="warning",
    text="METADATA names a licence, and the text of it is in the wheel.",
    why="Most licences oblige whoever passes a copy on to pass on their text.",
)
ENTRY_POINT: Final = Rule(
    id="TRT009",
    name="entry-point",
    level="error",
    text="An entry point of the group trtreg.plugins names the package that has the manifest.",
    why="It is how trtreg finds the plugin without importing anything.",
)
EMPTY: Final = Rule(
    id="TRT010",
    name="has-plugins",
    level="note",
    text="There is a plugin in the wheel.",
    why="A package that only requires others has none; one that has lost its library looks just like it.",
)
# The manifest.
MANIFEST: Final = Rule(
    id="TRT020",
    name="manifest",
    level="error",
    text="A library of plugins has a trtplugin.json beside it, which the schema accepts, and which names it.",
    why="trtreg loads a library only if its manifest describes it.",
)
DERIVED: Final = Rule(
    id="TRT021",
    name="derived-field",
    level="error",
    text="Every derived field of the manifest is what the library gives when it is derived anew.",
    why="Whoever installs goes by the manifest: whether it fits, what it provides, which file may be loaded.",
)
IDENTITY: Final = Rule(
    id="TRT022",
    name="identity",
    level="error",
    text="The manifest has the name, version and summary of METADATA.",
    why="An index lists what METADATA says, and trtreg refuses a manifest of another package.",
)
SILENT: Final = Rule(
    id="TRT023",
    name="describes-itself",
    level="error",
    text="A library made with the SDK describes itself when a child process opens it.",
    why="Its plugins are declared from that description.",
)
# The library, as a file.
DAMAGED: Final = Rule(
    id="TRT101",
    name="sound-library",
    level="error",
    text="The library is a whole ELF shared library.",
    why="The dynamic linker ends the process on a truncated one.",
)
ENTRY_FUNCTION: Final = Rule(
    id="TRT102",
    name="entry-function",
    level="error",
    text="The library exports getCreators, or registers its creators in the way that its manifest says.",
    why="TensorRT answers a library without it with a silent None.",
)
EXPORTS: Final = Rule(
    id="TRT103",
    name="exports",
    level="error",
    foreign="warning",
    text="The library exports the SDK's functions only; another one at least none of the C++ or CUDA runtime's.",
    why="A process has many plugin libraries: what one exports can take the place of what another one means.",
)
UNDEFINED: Final = Rule(
    id="TRT104",
    name="undefined-symbols",
    level="error",
    text="Every symbol that the library does not define is in a library that it needs.",
    why="Where it is not, the library does not load, or the process ends at the first call.",
)
NEEDS_TENSORRT: Final = Rule(
    id="TRT105",
    name="needs-no-tensorrt",
    level="error",
    foreign="warning",
    text="The library does not need libnvinfer or another library of TensorRT.",
    why="It would go with one major version of one kind of TensorRT only, or bring a second one into the process.",
)
NEEDS_DRIVER: Final = Rule(
    id="TRT106",
    name="needs-no-driver",
    level="error",
    foreign="warning",
    text="The library does not need libcuda or another library of the driver.",
    why="It would not load where there is no driver, so no engine could be built there.",
)
NEEDS_RUNTIME: Final = Rule(
    id="TRT107",
    name="needs-no-c++-runtime",
    level="error",
    foreign="warning",
    text="The library does not need libstdc++, libgcc_s or libc++.",
    why="It would get the copy that the process has already, be it older than what it was compiled for.",
)
NEEDS_OTHERS: Final = Rule(
    id="TRT108",
    name="needed-libraries",
    level="error",
    text="Whatever else the library needs is in the wheel, or on every Linux that the tag allows.",
    why="Elsewhere it does not load. CUDA's own libraries, which other packages bring, count as a warning in libraries "
    "not made with the SDK.",
)
FLOOR: Final = Rule(
    id="TRT109",
    name="glibc-floor",
    level="error",
    text="No symbol that the library needs is newer than the platform of the tag.",
    why="The tag promises it, and installers believe the tag.",
)
RUN_PATH: Final = Rule(
    id="TRT110",
    name="run-path",
    level="error",
    text="RPATH and RUNPATH are relative ($ORIGIN) and stay within the wheel.",
    why="An absolute one is a folder of the machine that built it; here, anybody may have put something else there.",
)
STACK: Final = Rule(
    id="TRT111",
    name="no-executable-stack",
    level="error",
    text="The library asks for no executable stack.",
    why="It would take that protection from the whole process; glibc 2.41 refuses to load such a library.",
)
RELRO: Final = Rule(
    id="TRT112",
    name="relro",
    level="error",
    foreign="warning",
    text="The tables of the linker are read-only after loading (RELRO), and symbols are bound at once (BIND_NOW).",
    why="Else a bug can overwrite addresses of functions, and a missing symbol shows at its first call only.",
)
WRITABLE_CODE: Final = Rule(
    id="TRT113",
    name="no-writable-code",
    level="error",
    text="No part of the library is both writable and executable.",
    why="It turns a write out of bounds into code; hardened systems refuse it.",
)
TEXT_RELOCATIONS: Final = Rule(
    id="TRT114",
    name="no-text-relocations",
    level="error",
    text="Loading the library does not write to its code.",
    why="It is made without -fPIC in parts; hardened systems refuse it.",
)
FIXED: Final = Rule(
    id="TRT115",
    name="unloads",
    level="warning",
    text="The library can be unloaded.",
    why="Unique symbols and -z nodelete keep it in memory for good, and with it its state, whoever unloads it.",
)
GPU_CODE: Final = Rule(
    id="TRT116",
    name="gpu-code",
    level="error",
    foreign="warning",
    text="The GPU code in the library can be read.",
    why="Where it cannot, nobody knows which GPUs it is for.",
)
PTX: Final = Rule(
    id="TRT117",
    name="ptx",
    level="warning",
    text="A library with GPU code has PTX too.",
    why="PTX lets it run on GPUs that are newer than all that it was compiled for.",
)
# In TensorRT.
LOADS: Final = Rule(
    id="TRT201",
    name="loads",
    level="error",
    text="Every TensorRT of this environment that the manifest allows takes the library, in a process of its own.",
    why="It is what the plugin is for.",
)
CREATORS: Final = Rule(
    id="TRT202",
    name="creators",
    level="error",
    text="It registers the creators that the manifest declares, and no others.",
    why="trtreg finds a package for a node by its creators, and proves after loading that they are there.",
)
FIELDS: Final = Rule(
    id="TRT203",
    name="fields",
    level="error",
    text="The creators have the attributes that the manifest declares, with their types and lengths.",
    why="`trtreg scan` checks the attributes of models against the manifest.",
)
NOT_LOADED: Final = Rule(
    id="TRT204",
    name="tried",
    level="note",
    text="The library was tried in a TensorRT.",
    why="A library that was not loaded is checked by half.",
)
# Another machine.
OTHER_TENSORRT: Final = Rule(
    id="TRT301",
    name="target-tensorrt",
    level="error",
    text="The plugin is for the TensorRT of --against.",
    why="You asked.",
)
OTHER_GLIBC: Final = Rule(
    id="TRT302",
    name="target-glibc",
    level="error",
    text="The plugin runs with the glibc of --against, by its symbols and its tag.",
    why="You asked.",
)
OTHER_PYTHON: Final = Rule(
    id="TRT303",
    name="target-python",
    level="error",
    text="The wheel installs into the Python of --against.",
    why="You asked.",
)
OTHER_GPU: Final = Rule(
    id="TRT304",
    name="target-gpu",
    level="error",
    text="The library has code for the GPUs of --sm.",
    why="You asked.",
)
OTHER_DRIVER: Final = Rule(
    id="TRT305",
    name="target-driver",
    level="error",
    text="The NVIDIA driver of --against runs the library's CUDA code.",
    why="You asked.",
)
OTHER_MACHINE: Final = Rule(
    id="TRT306",
    name="target-machine",
    level="error",
    text="The library is for the machine of --against.",
    why="You asked.",
)
BY_PTX: Final = Rule(
    id="TRT307",
    name="target-gpu-by-ptx",
    level="note",
    text="A GPU of --sm has machine code, so that nothing is compiled at its first use.",
    why="PTX is compiled by the driver, which takes seconds once, and a driver as new as the CUDA that made it.",
)

RULES: Final[tuple[Rule, ...]] = tuple(
    sorted((value for value in list(globals().values()) if isinstance(value, Rule)), key=lambda rule: rule.id)
)
