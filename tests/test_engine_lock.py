"""The lock beside an engine, and what loading says of an engine that does not go with it (NVIDIA/TensorRT#955)."""

import json
import os
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files

import jsonschema
import pytest

from trtreg import engine_lock, save_trt_engine
from trtreg.discovery import InstalledPlugin
from trtreg.engine import Engine, UsedPlugin
from trtreg.engine_lock import EngineLock
from trtreg.environment import Environment, Gpu
from trtreg.errors import EngineLockError, OutputError
from trtreg.flavour import Flavour
from trtreg.manifest import Creator, CreatorKey, Library, Manifest
from trtreg.model import ModelDigest

PLAN = b"a plan"
FOO, BAR = CreatorKey("Foo", "1"), CreatorKey("Bar", "2", "space")
HERE = Environment(
    flavour=Flavour.RTX, tensorrt_version="1.7.1.116", machine="x86_64", glibc="2.36", driver="580", cuda_driver="13.0"
)
HASH = "ab" * 32


def lock(**changes):
    fields = {
        "plan_sha256": sha256(PLAN).hexdigest(),
        "plan_size": len(PLAN),
        "flavour": "rtx",
        "tensorrt_version": "1.7.1.116",
        "plugins": (UsedPlugin(package="trtplugin-foo", version="1.0", sha256=HASH, creators=(FOO,)),),
        "targets": ("8.6", "12.0"),
        "model": ModelDigest(sha256="cd" * 32, external_data=True),
        "trtreg": "0.1.0",
    }
    return EngineLock(**{**fields, **changes})


def plugin(name="trtplugin-foo", version="1.0", digest=HASH, keys=(FOO,), machine="x86_64", tmp="plugin-folder"):
    library = Library(
        file="lib.so",
        sha256=digest,
        size=1,
        machine=machine,
        creators=tuple(Creator(name=key.name, version=key.version, namespace=key.namespace) for key in keys),
    )
    manifest = Manifest(package=name, version=version, library=library, tensorrt={"rtx": ">=1.7"})
    return InstalledPlugin(
        distribution=name, version=version, package=name, folder=tmp, manifest=manifest, problem=None
    )


def check(known, *plugins, plan=PLAN, here=HERE):
    return engine_lock.check(known, plan, here, plugins)


def codes(found):
    return [(mismatch.code, mismatch.hard) for mismatch in found]


def test_what_was_built_here_matches():
    assert check(lock(), plugin()) == ()
    assert check(lock(plugins=())) == ()
    gpu = Gpu(index=0, name="RTX", sm="8.6")
    assert check(lock(), plugin(), here=replace(HERE, gpus=(gpu,))) == ()


def test_a_lock_of_another_engine_tells_nothing_else():
    found = check(lock(flavour="full"), plan=b"b plan")
    assert codes(found) == [("plan", True)]
    text = str(found[0])
    assert f"was sha256 {sha256(PLAN).hexdigest()[:12]} (6 bytes), is sha256 " in text
    assert "build the engine again, or delete the lock" in text


@pytest.mark.parametrize(
    ("changes", "here", "expected", "text"),
    [
        (
            {"flavour": "full", "tensorrt_version": "10.16.1"},
            HERE,
            ("flavour", True),
            "TensorRT: was full 10.16.1, is rtx 1.7.1.116; pip install tensorrt==10.16.1 and set TRTREG_TENSORRT=full",
        ),
        (
            {},
            replace(HERE, flavour=None, tensorrt_version=None),
            ("flavour", True),
            "TensorRT: was rtx 1.7.1.116, is not installed; pip install tensorrt-rtx==1.7.1.116",
        ),
        (
            {"tensorrt_version": "1.8"},
            HERE,
            ("version", False),
            "TensorRT: was rtx 1.8, is rtx 1.7.1.116; pip install tensorrt-rtx==1.8, or build the engine again",
        ),
        (
            {},
            replace(HERE, gpus=(Gpu(index=0, name="H200", sm="9.0"),)),
            ("gpu", False),
            "GPU: was built for 8.6, 12.0, is H200 (9.0); build the engine again for 9.0",
        ),
    ],
)
def test_another_tensorrt_or_gpu(changes, here, expected, text):
    found = check(lock(plugins=(), **changes), here=here)
    assert codes(found) == [expected]
    assert text in str(found[0])


FOO_REMEDY = "; trtreg install trtplugin-foo==1.0"


@pytest.mark.parametrize(
    ("plugins", "expected", "text"),
    [
        (
            [],
            ("creator", True),
            "creator Foo 1: was trtplugin-foo 1.0, is no installed plugin that has it" + FOO_REMEDY,
        ),
        (
            [plugin(version="2.0", keys=[BAR])],
            ("creator", True),
            "creator Foo 1: was trtplugin-foo 1.0, is trtplugin-foo 2.0, which has it not" + FOO_REMEDY,
        ),
        (
            [plugin(machine="mips")],
            ("unfit", True),
            "plugin: was trtplugin-foo 1.0, is trtplugin-foo 1.0, which does not fit: machine",
        ),
        (
            [plugin("trtplugin-other", "3.0")],
            ("package", False),
            "plugin: was trtplugin-foo 1.0, is trtplugin-other 3.0" + FOO_REMEDY,
        ),
        (
            [plugin(version="1.1", digest="ef" * 32)],
            ("build", False),
            "plugin: was trtplugin-foo 1.0 (sha256 abababababab), is trtplugin-foo 1.1 (sha256 efefefefefef)"
            + FOO_REMEDY,
        ),
        (
            [plugin(digest="ef" * 32)],
            ("build", False),
            "is trtplugin-foo 1.0 (sha256 efefefefefef); install the same wheel of trtplugin-foo",
        ),
    ],
)
def test_another_plugin(plugins, expected, text):
    found = check(lock(), *plugins)
    assert codes(found) == [expected]
    assert text in str(found[0])


def test_the_package_of_the_lock_is_meant_where_others_have_its_creator_too():
    assert check(lock(), plugin("trtplugin-a"), plugin("TrtPlugin_Foo")) == ()


def test_an_embedded_plugin_needs_no_package():
    used = UsedPlugin(package="trtplugin-foo", version="1.0", sha256=HASH, creators=(FOO,), embedded=True)
    assert check(lock(plugins=(used,))) == ()


def test_every_difference_is_given_and_the_hard_ones_first():
    found = check(lock(tensorrt_version="1.8"))
    assert codes(found) == [("creator", True), ("version", False)]


def test_written_and_read_it_is_the_same():
    known = lock(
        plugins=(*lock().plugins, UsedPlugin(package="b", version="1", sha256="", creators=(BAR,), embedded=True))
    )
    text = engine_lock.to_json(known)
    assert text.endswith("}\n")
    assert engine_lock.parse(json.loads(text)) == known
    assert engine_lock.to_json(engine_lock.parse(json.loads(text))) == text
    assert known.creators == (BAR, FOO)
    bare = lock(plugins=(), model=None, targets=())
    assert engine_lock.parse(json.loads(engine_lock.to_json(bare))) == bare


SCHEMA = json.loads(files("trtreg").joinpath("schema/engine-lock.schema.json").read_text(encoding="utf-8"))


def test_the_schema_describes_it():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for known in (lock(), lock(plugins=(), model=None, targets=())):
        jsonschema.validate(json.loads(engine_lock.to_json(known)), SCHEMA, cls=jsonschema.Draft202012Validator)


def broken():
    """Every way to spoil one value of a good lock."""
    good = json.loads(engine_lock.to_json(lock()))
    for path in (
        ("schema",),
        ("plan",),
        ("plan", "sha256"),
        ("plan", "size"),
        ("tensorrt", "flavour"),
        ("tensorrt", "version"),
        ("targets", 0),
        ("model", "sha256"),
        ("model", "external_data"),
        ("plugins", 0, "package"),
        ("plugins", 0, "sha256"),
        ("plugins", 0, "embedded"),
        ("plugins", 0, "creators", 0, "name"),
    ):
        for value in (7.5, "", [], "x y"):
            document = json.loads(json.dumps(good))
            place = document
            for key in path[:-1]:
                place = place[key]
            if (
                value == place[path[-1]]
                or (path[-1] in {"package", "name"} and value == "x y")
                or (path, value) == (("plugins", 0, "sha256"), "")
            ):
                continue
            place[path[-1]] = value
            yield pytest.param(document, id=f"{'.'.join(map(str, path))}={value!r}")


@pytest.mark.parametrize("document", [*broken()])
def test_reading_refuses_what_the_schema_refuses(document):
    with pytest.raises(EngineLockError) as caught:
        engine_lock.parse(document)
    assert "'" in caught.value.message
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(document)


def test_a_newer_lock_asks_for_a_newer_trtreg(tmp_path):
    (tmp_path / "e.lock.json").write_text('{"schema": 2}', encoding="utf-8")
    with pytest.raises(EngineLockError, match=r"e\.lock\.json: .*'schema': found 2, expected 1; upgrade trtreg"):
        engine_lock.read(tmp_path / "e")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"[" * 100_000])
def test_a_damaged_lock_is_named(tmp_path, content):
    (tmp_path / "e.lock.json").write_bytes(content)
    with pytest.raises(EngineLockError, match=r"e\.lock\.json.*build the engine again, or delete the lock"):
        engine_lock.read(tmp_path / "e")


def test_a_lock_that_is_a_folder(tmp_path):
    (tmp_path / "e.lock.json").mkdir()
    with pytest.raises(EngineLockError, match="cannot read"):
        engine_lock.read(tmp_path / "e")
    with pytest.raises(OutputError, match="it is a directory"):
        save_trt_engine(engine(), tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_no_lock_is_none(tmp_path):
    assert engine_lock.read(tmp_path / "e") is None


def engine(plan=PLAN):
    return Engine(
        plan=plan,
        flavour="rtx",
        tensorrt_version="1.7.1.116",
        creators=(FOO,),
        plugins=lock().plugins,
        layers=(),
        inputs=(),
        outputs=(),
        targets=("8.6",),
    )


def test_saving_an_engine_writes_its_lock(tmp_path):
    save_trt_engine(engine(), tmp_path / "m.engine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.engine", "m.engine.lock.json"]
    known = engine_lock.read(tmp_path / "m.engine")
    assert known == engine_lock.of(engine())
    assert (known.plan_sha256, known.plan_size) == (sha256(PLAN).hexdigest(), len(PLAN))
    assert (known.targets, known.creators) == (("8.6",), (FOO,))


def test_saving_bytes_takes_a_strange_lock_away_and_keeps_its_own(tmp_path):
    path = tmp_path / "m.engine"
    save_trt_engine(engine(), path)
    save_trt_engine(PLAN, path)
    assert engine_lock.read(path) == engine_lock.of(engine())
    save_trt_engine(b"other", path)
    assert engine_lock.read(path) is None
    (tmp_path / "m.engine.lock.json").write_text("{", encoding="utf-8")
    save_trt_engine(PLAN, path)
    assert [*tmp_path.iterdir()] == [path]


def test_a_link_has_the_lock_of_its_engine(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "link").symlink_to("deep/real")
    save_trt_engine(engine(), tmp_path / "link")
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["real", "real.lock.json"]
    assert engine_lock.read(tmp_path / "link") == engine_lock.read(tmp_path / "deep" / "real") is not None


class Crash(BaseException):
    """Power failure."""


@pytest.mark.parametrize("step", range(7))
def test_a_crash_never_leaves_an_engine_with_the_lock_of_another(tmp_path, monkeypatch, step):
    path = tmp_path / "m.engine"
    save_trt_engine(engine(b"old"), path)
    steps = iter(range(100))

    def failing(real):
        def call(*arguments, **options):
            if next(steps) == step:
                raise Crash
            return real(*arguments, **options)

        return call

    for name in ("fsync", "rename", "replace", "unlink"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    try:
        save_trt_engine(engine(b"new"), path)
        crashed = False
    except Crash:
        crashed = True
    monkeypatch.undo()
    plan, known = path.read_bytes(), engine_lock.read(path)
    assert plan in (b"old", b"new")
    assert known is None or known.plan_sha256 == sha256(plan).hexdigest()
    assert crashed or (plan == b"new" and known is not None)
    assert crashed == (step < STEPS)


STEPS = 6  # two files written, the old lock gone, its folder written, two names given


def test_a_full_disk_leaves_engine_and_lock_as_they_were(tmp_path, monkeypatch):
    path = tmp_path / "m.engine"
    save_trt_engine(engine(b"old"), path)
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        save_trt_engine(engine(b"new"), path)
    assert path.read_bytes() == b"old"
    assert engine_lock.read(path).plan_sha256 == sha256(b"old").hexdigest()
    assert len([*tmp_path.iterdir()]) == 2


def test_checking_opens_no_file(monkeypatch):
    monkeypatch.setattr("builtins.open", lambda *arguments, **options: pytest.fail("a file was opened"))
    assert codes(check(lock())) == [("creator", True)]
