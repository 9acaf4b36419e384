import ctypes

from trtreg import _dependencies
from trtreg.manifest import CreatorKey

ONE = (CreatorKey("TrtregTestOne", "1"),)
EXPORT = 'extern "C" __attribute__((visibility("default"))) '


def test_nothing_stands_in_the_way_of_a_sound_library(compile_creators):
    obstacles = _dependencies.find_obstacles(compile_creators(ONE))
    assert (obstacles.missing, obstacles.complaints) == ((), ())


def test_a_missing_library_is_named_once_and_its_symbols_are_no_second_reason(compile_library, compile_creators):
    absent = compile_library(EXPORT + "int absent() { return 1; }", "-Wl,-soname,libtrtreg-absent.so.1")
    library = compile_creators(ONE, "-DNEEDS=absent", str(absent))
    obstacles = _dependencies.find_obstacles(library)
    assert (obstacles.missing, obstacles.complaints) == (("libtrtreg-absent.so.1",), ())


def test_a_library_that_this_process_has_loaded_is_not_missing(compile_library, compile_creators):
    resident = compile_library(EXPORT + "int resident() { return 1; }", "-Wl,-soname,libtrtreg-resident.so.1")
    library = compile_creators(ONE, "-DNEEDS=resident", str(resident))
    assert _dependencies.find_obstacles(library).missing == ("libtrtreg-resident.so.1",)
    kept = ctypes.CDLL(str(resident))
    assert _dependencies.find_obstacles(library).missing == ()
    assert kept.resident() == 1


def test_an_undefined_symbol_is_a_complaint(compile_creators):
    obstacles = _dependencies.find_obstacles(compile_creators(ONE, "-DNEEDS=trtreg_nobody_has_it"))
    assert obstacles.missing == ()
    assert any("undefined symbol: trtreg_nobody_has_it" in text for text in obstacles.complaints)


def test_the_code_of_the_library_does_not_run(compile_library, tmp_path):
    mark = tmp_path / "mark"
    source = f'#include <cstdio>\nstatic auto* file = std::fopen("{mark}", "w");'
    library = compile_library(source)
    assert _dependencies.find_obstacles(library).missing == ()
    assert not mark.exists()
    ctypes.CDLL(str(library))
    assert mark.exists(), "the library would have left its mark"
