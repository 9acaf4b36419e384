"""Build a TensorRT engine from an ONNX model, with just the plugins that the model needs.

Examples:
  trtreg onnx2trt model.onnx -o model.engine
  trtreg onnx2trt model.onnx -o model.engine --shapes input:1x3x224x224
  trtreg onnx2trt model.onnx -o model.engine --shapes input:1x3x64x64/1x3x224x224/8x3x512x512
  trtreg onnx2trt model.onnx -o model.engine --targets 8.6,sm_89 --workspace 1GiB
  trtreg onnx2trt model.onnx -o model.engine --prefer-plugin ScatterND    a plugin instead of TensorRT's own ScatterND
  trtreg onnx2trt model.onnx -o model.engine --embed       plugin libraries inside the engine
  trtreg onnx2trt model.onnx -t model.txt                  only the text, needs no TensorRT

Beside the engine lies its lock, model.engine.lock.json: what it was built with. `trtreg info model.engine` shows it.
"""

from __future__ import annotations

import argparse
import logging
import re
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from trtreg.cli import _terminal
from trtreg.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtreg.engine import Engine, Tensor

__all__ = ["configure_parser", "execute"]

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_LEVELS = (logging.CRITICAL, logging.INFO, logging.DEBUG)


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("model", metavar="MODEL", help="an ONNX file, with its external data beside it")
    parser.add_argument("-o", "--output", metavar="ENGINE", help="write the engine to this file")
    parser.add_argument("-t", "--text", metavar="TEXT", help="write the model as readable text, without weights")
    parser.add_argument(
        "--shapes",
        metavar="NAME:SHAPE,...",
        action="append",
        default=[],
        help="shape of each dynamic input, as input:1x3x224x224, or its min/opt/max with slashes between",
    )
    parser.add_argument(
        "--targets", metavar="CC,...", default="", help="GPU architectures to build for, as 8.6,sm_89 (TensorRT-RTX)"
    )
    parser.add_argument(
        "--workspace", metavar="SIZE", type=_byte_count, default=0, help="most memory for a layer's scratch, as 1GiB"
    )
    parser.add_argument("--fp16", action="store_true", help="allow float16 layers, where TensorRT has such a mode")
    parser.add_argument("--bf16", action="store_true", help="allow bfloat16 layers, where TensorRT has such a mode")
    parser.add_argument(
        "--prefer-plugin",
        metavar="OP[=NAME]",
        action="append",
        default=[],
        help="let a plugin compute the nodes of this op although TensorRT could; repeatable",
    )
    parser.add_argument(
        "--embed", action="store_true", help="write the plugin libraries into the engine, which then runs without them"
    )
    parser.add_argument("--device", metavar="N", type=int, default=0, help="CUDA device to build on")
    talk = parser.add_mutually_exclusive_group()
    talk.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    talk.add_argument("-v", "--verbose", action="count", default=0, help="show TensorRT's log; twice for all of it")
    parser.set_defaults(usage_error=parser.error)


def execute(arguments: argparse.Namespace) -> int:
    """Build, save and report."""
    from trtreg import engine_lock, output
    from trtreg import model as models
    from trtreg.engine import save_trt_engine

    if not (arguments.output or arguments.text):
        arguments.usage_error("nothing to do: give -o ENGINE, -t TEXT, or both")
    # Before the long work, not after it.
    used = {Path(arguments.model).resolve()}
    lock = engine_lock.path_of(arguments.output) if arguments.output else None
    for path in filter(None, (arguments.output, lock, arguments.text)):
        output.check_writable(path)
        if Path(path).resolve() in used:
            raise OutputError(
                f"{path} is named twice", remedy="give the model, the engine and the text names of their own"
            )
        used.add(Path(path).resolve())
    if arguments.text:
        output.write(arguments.text, models.to_text(models.read(arguments.model)).encode())
    if arguments.output:
        start = monotonic()
        engine = _build(arguments)
        save_trt_engine(engine, arguments.output)
        if not arguments.quiet:
            print("\n".join(_report(engine, arguments, monotonic() - start)))
    return 0


def _build(arguments: argparse.Namespace) -> Engine:
    from trtreg import shapes
    from trtreg.cli import _progress
    from trtreg.convert import onnx2trt

    given = shapes.parse_option(",".join(arguments.shapes))
    logging.basicConfig(format="%(name)s: %(message)s")
    with _progress.shown(quiet=arguments.quiet) as on_progress:
        return onnx2trt(
            Path(arguments.model),
            given,
            # TensorRT's errors come in the report too; its warnings about defaults of attributes are no news.
            log_level=_LEVELS[min(arguments.verbose, len(_LEVELS) - 1)],
            fp16_mode=arguments.fp16,
            bf16_mode=arguments.bf16,
            max_workspace_size=arguments.workspace,
            device_id=arguments.device,
            targets=[target for target in arguments.targets.split(",") if target.strip()],
            prefer_plugins=arguments.prefer_plugin,
            embed_plugins=arguments.embed,
            on_progress=on_progress,
        )


def _report(engine: Engine, arguments: argparse.Namespace, seconds: float) -> Iterator[str]:
    path: str = arguments.output
    targets = f", for {', '.join(engine.targets)}" if engine.targets else ""
    yield (
        f"{_terminal.good(path)}: {_terminal.size(len(engine.plan))},"
        f" TensorRT {engine.flavour} {engine.tensorrt_version}{targets}, {seconds:.1f} s"
    )
    yield f"  inputs   {_tensors(engine.inputs)}"
    yield f"  outputs  {_tensors(engine.outputs)}"
    plugin_layers = engine.plugin_layers
    yield f"  layers   {len(engine.layers)}, {len(plugin_layers) or 'none'} of them from plugins"
    for layer in plugin_layers:
        yield f"           {layer.type}  {layer.name}"
    names = [f"{plugin.package} {plugin.version}" for plugin in engine.plugins]
    embedded = ", in the engine" if any(plugin.embedded for plugin in engine.plugins) else ""
    yield f"  plugins  {', '.join(names) or 'none'}" + (f" ({_creators(engine)}){embedded}" if names else "")
    for wish in arguments.prefer_plugin:
        op = wish.partition("=")[0].strip()
        taken = [f"'{node.title}' by {node.creator}" for node in engine.taken if node.op == op]
        yield f"  taken    {op}: {', '.join(taken) or 'the model has no such node'}"


def _creators(engine: Engine) -> str:
    return ", ".join(map(str, engine.creators))


def _tensors(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(
        f"{tensor.name} {tensor.dtype} {'x'.join('?' if size < 0 else str(size) for size in tensor.shape)}".rstrip()
        for tensor in tensors
    )


def _byte_count(text: str) -> int:
    """Read 1073741824, 512MiB, 1GiB, 1.5G or 1GB (the last is decimal)."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *([kmgt]?)(i?b)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected one as 1GiB or 512MiB")
    number, unit, suffix = match.groups()
    base = 1000 if suffix and suffix.lower() == "b" and unit else 1024
    return int(float(number) * base ** _UNITS[unit.lower()])
