import json
from dataclasses import replace

import catalogues
import onnx
import onnx.parser
import pytest

from trtreg import environment
from trtreg.errors import ManifestError
from trtreg.flavour import Flavour
from trtreg.manifest import Creator, CreatorKey, Field, Sdk
from trtreg.model import read
from trtreg.packages import catalogue
from trtreg.packages.settings import Index, Settings
from trtreg.parsing import describe
from trtreg.scan import Status, scan, scan_model

HERE = environment.Environment(flavour=Flavour.RTX, tensorrt_version="1.7.1", machine="x86_64", glibc="2.36")
KEYS = (
    CreatorKey("Foo", "1"),
    CreatorKey("Foo", "2", "space"),
    CreatorKey("InDomain", "1", "dom"),
    CreatorKey("Relu", "1"),
    CreatorKey("Relu", "1", "space"),
    CreatorKey("Func", "1"),
)


@pytest.fixture
def plugin(install):
    return install(b"never loaded", KEYS, machine="x86_64")


def proto(body, functions=""):
    text = f"""
        <ir_version: 8, opset_import: ["" : 17, "dom" : 1, "f" : 1]>
        g (float[4] x) => (float[4] y) {{ {body} }}
        {functions}"""
    return onnx.parser.parse_model(text)


def only(plugins, body, functions=""):
    (node,) = scan(proto(body, functions), plugins=plugins, environment=HERE).nodes
    return node


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ("[n] y = Foo (x)", CreatorKey("Foo", "1")),
        ("[n] y = dom.Foo (x)", CreatorKey("Foo", "1")),
        ('[n] y = Foo <plugin_version = "2", plugin_namespace = "space"> (x)', CreatorKey("Foo", "2", "space")),
        ("[n] y = dom.InDomain (x)", CreatorKey("InDomain", "1", "dom")),
        ('[n] y = dom.InDomain <plugin_namespace = "elsewhere"> (x)', CreatorKey("InDomain", "1", "dom")),
        ('[n] y = Relu <plugin_namespace = "space"> (x)', CreatorKey("Relu", "1", "space")),
        # A version that is no string is not read.
        ("[n] y = Foo <plugin_version = 2> (x)", CreatorKey("Foo", "1")),
        ('[n] y = dom.Plugin <name = "Foo", info = "{}"> (x)', CreatorKey("Foo", "1")),
    ],
)
def test_a_node_is_provided_by_the_creator_that_the_parser_would_take(plugin, body, key):
    report = scan(proto(body), plugins=[plugin], environment=HERE)
    (node,) = report.nodes
    assert (node.status, node.creator, node.plugin) == (Status.PROVIDED, key, plugin)
    assert (node.title, node.where, node.reason) == ("n", (), None)
    assert report.plugins == (plugin,)
    assert report.creators == (key,)
    assert not report.missing


@pytest.mark.parametrize(
    ("body", "reason", "nearest"),
    [
        ("y = Fooo (x)", "no installed plugin has it", ("Foo",)),
        ("y = relu (x)", "no installed plugin has it", ("Relu", "PRelu", "Elu")),
        ("y = Zzzzzz (x)", "no installed plugin has it", ()),
        ('y = Foo <plugin_version = "3"> (x)', "needs Foo 3; installed: Foo 1, space::Foo 2", ()),
        ('y = Foo <plugin_version = "2"> (x)', "needs Foo 2; installed: Foo 1, space::Foo 2", ()),
        ("y = f.InDomain (x)", "needs InDomain 1 or f::InDomain 1; installed: dom::InDomain 1", ()),
        ("y = Plugin (x)", "needs a string attribute 'name'", ()),
    ],
)
def test_a_missing_node_says_why_and_what_looks_alike(plugin, body, reason, nearest):
    node = only([plugin], body)
    assert (node.status, node.plugin, node.title) == (Status.MISSING, None, "y")
    assert reason in node.reason
    assert node.nearest == nearest


def test_native_operators_are_nobodys_business_unless_a_plugin_has_the_name(plugin):
    assert scan(proto("y = Sigmoid (x)"), plugins=[plugin], environment=HERE).nodes == ()
    for body in ("y = Relu (x)", "y = dom.Relu (x)", 'y = Relu <plugin_namespace = "nope"> (x)'):
        node = only([plugin], body)
        assert (node.status, node.plugin) == (Status.NATIVE, None)
        assert "TensorRT's parser imports this op itself" in node.reason
    assert scan(proto("y = Relu (x)"), plugins=[], environment=HERE).nodes == ()


def test_a_plugin_node_that_names_a_native_operator_is_told(plugin):
    node = only([], 'y = Plugin <name = "ScatterND", info = "{}"> (x)')
    assert (node.status, node.op, node.convention) == (Status.NATIVE, "ScatterND", "Plugin")


def test_who_asks_a_parser_has_its_word_for_what_is_native(plugin):
    model = read(proto("a = Sigmoid (x) y = Foo (a)"))
    report = scan_model(model, plugins=[plugin], environment=HERE, is_native={"Foo"}.__contains__)
    assert [(n.op, n.status) for n in report.nodes] == [("Sigmoid", Status.MISSING), ("Foo", Status.NATIVE)]


def test_bad_json_makes_a_node_invalid(plugin):
    node = only([plugin], 'y = Plugin <name = "Foo", info = "{oops"> (x)')
    assert node.status is Status.INVALID
    assert "not JSON" in node.reason


def test_a_local_function_hides_a_plugin_and_is_looked_into(plugin):
    function = '<opset_import: ["" : 17], domain: "f"> Func (x) => (y) { y = Foo (x) }'
    node = only([plugin], "y = f.Func (x)", function)
    assert (node.op, node.where) == ("Foo", ("function Func",))
    assert only([plugin], "y = f.Func (x)").op == "Func"


def test_a_package_that_does_not_fit_is_told_with_every_reason(install):
    plugin = install(b"", KEYS, machine="mips", glibc="9.9")
    report = scan(proto("y = Foo (x)"), plugins=[plugin], environment=HERE)
    (node,) = report.nodes
    assert (node.status, node.plugin) == (Status.INCOMPATIBLE, plugin)
    assert "mips" in node.reason
    assert "9.9" in node.reason
    assert report.missing == (node,)
    assert report.plugins == ()


def test_a_broken_package_is_told_with_its_problem(plugin):
    broken = replace(plugin, problem=ManifestError("it is broken"))
    node = only([broken], "y = Foo (x)")
    assert (node.status, node.reason) == (Status.INCOMPATIBLE, "it is broken")


def test_a_package_that_fits_is_preferred(install):
    misfit = install(b"", KEYS[:1], "trtplugin-a", machine="mips")
    fit = install(b"", KEYS[:1], "trtplugin-b", machine="x86_64")
    assert only([misfit, fit], "y = Foo (x)").plugin == fit


def test_defaults_are_what_this_machine_has(install, monkeypatch, site):
    plugin = install(b"", KEYS)
    monkeypatch.syspath_prepend(site)
    (node,) = scan(proto("y = Foo (x)")).nodes
    assert node.plugin == plugin


def test_every_node_is_counted(plugin):
    function = '<opset_import: ["" : 17], domain: "f"> F (x) => (y) { a = Relu (x) y = Sigmoid (a) }'
    assert scan(proto("a = f.F (x) y = Tanh (a)", function), plugins=[], environment=HERE).total == 3


def test_a_file_is_scanned_without_its_external_data(tmp_path, plugin):
    model = proto("y = Foo (x)")
    model.graph.initializer.append(onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [4], bytes(16), raw=True))
    onnx.save_model(model, tmp_path / "m.onnx", save_as_external_data=True, location="w", size_threshold=0)
    (tmp_path / "w").unlink()
    assert scan(tmp_path / "m.onnx", plugins=[plugin], environment=HERE).plugins == (plugin,)


def test_scanning_opens_no_library(run_python, plugin, site, tmp_path):
    onnx.save_model(proto("y = Foo (x)"), tmp_path / "m.onnx")
    code = """
import json, sys
sys.path.insert(0, sys.argv[1])
from trtreg.scan import scan
report = scan(sys.argv[2])
maps = open("/proc/self/maps").read()
names = [name for name in ("tensorrt", "tensorrt_rtx", "tensorrt_lean", "torch") if name in sys.modules]
print(json.dumps([len(report.nodes), names, "libplugin" in maps]))
"""
    done = run_python(code, str(site), str(tmp_path / "m.onnx"))
    assert json.loads(done.stdout) == [1, [], False], done.stderr


class TestCatalogues:
    """What installed packages lack is looked up in the indexes."""

    @pytest.fixture
    def opened(self, tmp_path):
        """Give a way to make catalogues of releases, and count how often they are opened."""
        found = []

        def make(*releases):
            (tmp_path / "catalogue.json").write_bytes(catalogues.catalogue(*releases))
            here = Settings(indexes=(Index(name="here", url=f"{tmp_path.as_uri()}/"),))

            def open_catalogues():
                found.append(catalogue.open_all(here, folder=tmp_path / "cache"))
                return found[-1]

            return open_catalogues

        make.found = found
        yield make
        for each in found:
            each.close()

    def scanned(self, body, plugins, open_catalogues):
        return scan(proto(body), plugins=plugins, environment=HERE, catalogues=open_catalogues)

    def test_a_release_that_fits_is_offered(self, opened):
        new, old = catalogues.release("p", "2.0", machine="mips"), catalogues.release("p", "1.0")
        (node,) = self.scanned("y = Foo (x)", [], opened(old, new)).nodes
        (offer,) = node.offers
        assert (node.status, offer.release.version, offer.fits) == (Status.MISSING, "1.0", True)
        assert str(offer) == "p 1.0 (index here)"
        assert "p 1.0 (index here) has it: `trtreg install p`" in describe([node])[0]

    def test_a_finished_release_goes_before_a_candidate(self, opened):
        releases = [catalogues.release("p", version) for version in ("1.0", "2.0rc1")]
        (node,) = self.scanned("y = Foo (x)", [], opened(*releases)).nodes
        assert str(node.offers[0]) == "p 1.0 (index here)"
        (node,) = self.scanned("y = Foo (x)", [], opened(releases[1])).nodes
        assert str(node.offers[0]) == "p 2.0rc1 (index here)"

    def test_what_does_not_fit_is_told_with_its_reasons(self, opened):
        bad = catalogues.release("p", machine="mips", requires_python=">=9")
        (node,) = self.scanned("y = Foo (x)", [], opened(bad)).nodes
        (offer,) = node.offers
        assert not offer.fits
        assert "p 1.0 (index here) has it, and does not fit: " in describe([node])[0]
        assert "mips" in describe([node])[0]
        assert ">=9" in describe([node])[0]

    def test_those_that_fit_come_first(self, opened):
        bad, good = catalogues.release("a", machine="mips"), catalogues.release("b")
        (node,) = self.scanned("y = Foo (x)", [], opened(bad, good)).nodes
        assert [(o.release.project, o.fits) for o in node.offers] == [("b", True), ("a", False)]
        assert "mips" not in describe([node])[0]

    @pytest.mark.parametrize(
        "changes", [{"yanked": ""}, {"status": "quarantined"}, {"file": "p-1.0-py3-none-win_amd64.whl"}]
    )
    def test_what_cannot_be_installed_does_not_fit(self, opened, changes):
        release = {**catalogues.release("p"), **changes}
        release["url"] = release["file"]
        (node,) = self.scanned("y = Foo (x)", [], opened(release)).nodes
        assert [o.fits for o in node.offers] == [False]

    def test_the_domain_is_tried_as_the_namespace(self, opened):
        release = catalogues.release("p", ops=[catalogues.op("Foo", "1", "dom")])
        (node,) = self.scanned("y = dom.Foo (x)", [], opened(release)).nodes
        assert [o.op.namespace for o in node.offers] == ["dom"]

    def test_another_version_of_the_op_is_told(self, opened):
        (node,) = self.scanned('y = Foo <plugin_version = "7"> (x)', [], opened(catalogues.release("p"))).nodes
        assert node.offers == ()
        assert node.reason == "needs Foo 7; the indexes have Foo 1 (p)"

    def test_names_of_the_indexes_are_among_the_nearest(self, opened):
        (node,) = self.scanned("y = Gridsampl (x)", [], opened(catalogues.release("p", ops=["GridSamplX"]))).nodes
        assert "GridSamplX" in node.nearest

    def test_nothing_is_opened_where_nothing_is_missing(self, opened, plugin):
        report = self.scanned("a = Foo (x) y = Sigmoid (a)", [plugin], opened(catalogues.release("p")))
        assert report.complete
        assert opened.found == []

    def test_they_are_opened_once(self, opened):
        self.scanned("a = Foo (x) b = Bar (a) y = Baz (b)", [], opened(catalogues.release("p")))
        assert len(opened.found) == 1

    def test_another_release_than_the_installed_one_may_fit(self, opened, install):
        installed = install(b"", [CreatorKey("Foo", "1")], "p", machine="mips")
        (node,) = self.scanned("y = Foo (x)", [installed], opened(catalogues.release("p", "2.0"))).nodes
        assert (node.status, [str(o) for o in node.offers]) == (Status.INCOMPATIBLE, ["p 2.0 (index here)"])

    def test_attributes_are_compared_with_the_fields_of_the_offer(self, opened):
        fields = [["stride", "int32", 2]]
        release = catalogues.release("p", ops=[catalogues.op("Foo", fields=fields)])
        (node,) = self.scanned('y = Foo <strid = 1, stride = "x"> (x)', [], opened(release)).nodes
        assert [(f.attribute, f.kind) for f in node.faults] == [("strid", "unknown"), ("stride", "type")]


def test_attributes_that_an_installed_plugin_would_refuse(install):
    library = install(b"", []).manifest.library
    creator = Creator(name="Foo", version="1", fields=(Field(name="axis", type="int32", length=1),))
    plugin = install(b"", [], "trtplugin-b", creators=(creator,), sdk=Sdk(version="1", face_abi=1), machine="x86_64")
    assert library.sdk is None
    report = scan(proto("[a] a = Foo (x) [b] y = Foo <axis = 1> (a)"), plugins=[plugin], environment=HERE)
    assert [n.status for n in report.nodes] == [Status.PROVIDED] * 2
    assert [n.name for n in report.faulty] == ["a"]
    assert (report.missing, report.complete) == ((), False)
    # Not made with trtreg's SDK: defaults are not known.
    unknown = install(b"", [], "trtplugin-c", creators=(creator,), machine="x86_64")
    assert scan(proto("y = Foo (x)"), plugins=[unknown], environment=HERE).complete
