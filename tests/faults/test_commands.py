"""The command line beside broken plugins: it says what is wrong, and an engine that is there stays as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import broken_libraries as libraries
import pytest

from trtreg import errors

pytest.importorskip("tensorrt_rtx")

CODES = {
    found.exit_code
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, errors.TrtregError)
}
QUICK = {"initialiser-aborts", "creators-null", "another library", "a library that is not there", "no JSON"}


@pytest.fixture
def folder(tmp_path, quiet):
    """Make a folder with a model that needs the broken plugin, and an engine with its lock."""
    from onnx import TensorProto, helper, save

    from trtreg import engine, model

    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node(libraries.OP, ["x"], ["y"])], "graph", tensors[:1], tensors[1:])
    made = tmp_path / "made"
    made.mkdir()
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), made / "model.onnx")
    old = engine.Engine(plan=b"an engine" * 999, flavour="rtx", tensorrt_version="1.7.1", creators=(), plugins=(),
                        layers=(), inputs=(), outputs=(), model=model.ModelDigest(sha256="0" * 64, size=1)
                        if hasattr(model.ModelDigest, "size") else None)  # fmt: skip
    engine.save_trt_engine(old, made / "model.engine")
    return made


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_conversion_with_a_broken_plugin(folder, sources, quiet, scratch, tally, full):
    """`onnx2trt` over an engine, and `list`, `info` and `doctor`, beside each fault."""
    tables = (libraries.of_behaviour, libraries.changed_files, libraries.of_dependencies, libraries.of_manifests)
    faults = [fault for table in tables for fault in table(sources) if not fault.may_load and not fault.hangs]
    # One of the hash's is as good as another.
    faults = [fault for fault in faults if not fault.name.startswith(("cut off", "flipped"))]
    before = contents(folder)
    for number, fault in enumerate(faults if full else [fault for fault in faults if fault.name in QUICK]):
        site = scratch / str(number)
        fault.write(site)
        environ = {**quiet, "PYTHONPATH": os.pathsep.join([str(site), quiet["PYTHONPATH"]])}
        for command, good in (
            (["onnx2trt", "model.onnx", "-o", "model.engine"], CODES),
            (["list"], {0}),
            (["doctor"], CODES | {0}),
        ):
            tally.add(f"trtreg {command[0]} beside a broken plugin", fault.name, loss(folder, command, good, environ))
            if contents(folder) != before:
                tally.add(
                    f"trtreg {command[0]} beside a broken plugin", fault.name, f"it left {sorted(contents(folder))}"
                )
        shutil.rmtree(site)


def loss(folder, command, good, environ):
    done = subprocess.run(
        [sys.executable, "-m", "trtreg", *command], cwd=folder, env=environ, capture_output=True, text=True,
        errors="replace", check=False, timeout=100,
    )  # fmt: skip
    if done.returncode not in good or "Traceback" in done.stderr:
        return f"it ended with {done.returncode}: {done.stdout[-300:]}{done.stderr[-600:]}"
    return None if done.returncode == 0 or "error" in done.stderr or done.stdout else "it says nothing"


def test_the_model_needs_nothing_but_the_plugin(folder, sources, quiet, scratch):
    """With a plugin that is whole, the parser goes on: what is refused above is refused for the fault."""
    library = libraries.doing(sources, "none")
    libraries.write(scratch / "0", library)
    environ = {**quiet, "PYTHONPATH": os.pathsep.join([str(scratch / "0"), quiet["PYTHONPATH"]])}
    command = [sys.executable, "-m", "trtreg", "scan", "model.onnx"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
