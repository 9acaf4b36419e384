import contextlib
import io
import os
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtreg import _elf
from trtreg.manifest import CreatorKey


@pytest.fixture(scope="module")
def library_path(compile_creators):
    return compile_creators([CreatorKey("TrtregTestOne", "1")], "-Wl,-soname,libone.so.1")


@pytest.fixture
def library(library_path):
    return library_path.read_bytes()


def read(content):
    return _elf.read(io.BytesIO(content))


def test_the_facts_of_a_library(library, tmp_path):
    facts = read(library)
    assert (facts.machine, facts.soname, facts.is_shared) == (os.uname().machine, "libone.so.1", True)
    assert "libc.so.6" in facts.needed
    assert facts.exports == {"getCreators", "setLoggerFinder"}
    path = tmp_path / "one.so"
    path.write_bytes(library)
    assert _elf.read(path) == facts


def test_a_library_without_section_headers(library):
    # e_shoff, e_shnum and e_shstrndx of the ELF header; the dynamic linker does without sections
    bare = bytearray(library)
    bare[0x28:0x30], bare[0x3C:0x40] = bytes(8), bytes(4)
    assert read(bytes(bare)) == read(library)


def test_an_object_file_is_not_shared(compile_library):
    facts = _elf.read(compile_library("int f() { return 1; }", "-c"))
    assert not facts.is_shared


def test_the_interpreter_of_a_program():
    assert os.access(_elf.interpreter(sys.executable), os.X_OK)


@pytest.mark.parametrize("content", [b"", b"text", b"\x7fELF", b"MZ" + bytes(100)])
def test_no_elf_file(content):
    with pytest.raises(_elf.BadElfError):
        read(content)


def test_every_truncation_is_seen(library):
    ends = range(0, read_end(library), 97)
    for end in ends:
        with pytest.raises(_elf.BadElfError):
            read(library[:end])


def read_end(library):
    """Find the last byte that the dynamic linker maps: what follows are sections that it does not need."""
    from elftools.elf.elffile import ELFFile

    return max(s["p_offset"] + s["p_filesz"] for s in ELFFile(io.BytesIO(library)).iter_segments())


def test_damage_in_the_tables_that_the_linker_reads_raises_nothing_else(library, tmp_path):
    from elftools.elf.elffile import ELFFile

    elf = ELFFile(io.BytesIO(library))
    (dynamic,) = elf.iter_segments("PT_DYNAMIC")
    hashes = elf.get_section_by_name(".gnu.hash")
    path = tmp_path / "lib.so"
    causes = set()
    for start, size in ((dynamic["p_offset"], dynamic["p_filesz"]), (hashes["sh_offset"], hashes["sh_size"])):
        for place in range(start, start + size):
            path.write_bytes(library[:place] + b"\xc3" + library[place + 1 :])
            try:
                _elf.read(path)
            except _elf.BadElfError as error:
                causes.add(type(error.__cause__).__name__)
    assert len(causes) > 1, "damage shows in many ways"


# The headers and the dynamic section are where damage tells.
places = st.integers(0, 1500) | st.integers(0, 1 << 16)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_file_raises_nothing_else(library_path, changes):
    content = bytearray(library_path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    with contextlib.suppress(_elf.BadElfError):
        read(bytes(content))
