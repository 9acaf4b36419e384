from trtreg import flavour
from trtreg._creator_origin import library_of
from trtreg.manifest import CreatorKey

ONE = (CreatorKey("TrtregTestOne", "1"),)


def test_the_library_of_a_creator_is_found(compile_creators):
    library = compile_creators(ONE)
    registry = flavour.load().get_plugin_registry()
    # What registered itself in other tests cannot be taken out again.
    own = [creator for creator in registry.all_creators if not creator.name.startswith("Trtreg")]
    before = {creator.name: library_of(creator) for creator in own}
    assert before
    assert all(path.name.startswith(("libnvinfer", "libtensorrt")) for path in before.values())
    handle = registry.load_library(str(library))
    try:
        assert library_of(registry.get_creator(*ONE[0])) == library
    finally:
        registry.deregister_library(handle)


def test_a_creator_written_in_python_is_of_the_bindings():
    tensorrt = flavour.load()

    class Creator(tensorrt.IPluginCreatorV3One):
        def __init__(self):
            tensorrt.IPluginCreatorV3One.__init__(self)
            self.name, self.plugin_version, self.plugin_namespace = "TrtregTestPython", "1", ""
            self.field_names = tensorrt.PluginFieldCollection([])

    assert flavour.select().flavour.module in str(library_of(Creator()))


class WithSlot:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


def test_what_is_no_creator_has_no_library():
    for other in (object(), None, 7, "text", 1.5, [], WithSlot(1), WithSlot(None), WithSlot(b"x" * 64)):
        path = library_of(other)
        assert path is None or path.is_file()
