"""A built engine: its plan and what is known of it. Saving one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trtreg import output

if TYPE_CHECKING:
    import os

    from trtreg.manifest import CreatorKey
    from trtreg.model import ModelDigest

__all__ = ["Engine", "Layer", "TakenNode", "Tensor", "UsedPlugin", "save_trt_engine"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A layer of the network before TensorRT's optimiser fused it; the type is TensorRT's name, as PLUGIN_V3."""

    name: str
    type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """An input or output; -1 is a dynamic dimension, the type TensorRT's name in lower case."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True, slots=True)
class UsedPlugin:
    """A plugin package that the engine needs, the hash of the library that was loaded, and what is used of it.

    Where the library is `embedded` in the plan, the engine needs no package.
    """

    package: str
    version: str
    sha256: str
    creators: tuple[CreatorKey, ...] = ()
    embedded: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenNode:
    """A node that a preferred plugin took, which TensorRT's parser would have imported by itself."""

    title: str
    op: str
    creator: CreatorKey
    package: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """A serialised engine (`plan`) and where it came from; `targets` is () for TensorRT's own choice."""

    plan: bytes = field(repr=False)
    flavour: str
    tensorrt_version: str
    creators: tuple[CreatorKey, ...]
    plugins: tuple[UsedPlugin, ...]
    layers: tuple[Layer, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    targets: tuple[str, ...] = ()
    model: ModelDigest | None = None
    taken: tuple[TakenNode, ...] = ()

    @property
    def plugin_layers(self) -> tuple[Layer, ...]:
        """The layers that plugins compute."""
        return tuple(layer for layer in self.layers if layer.type.startswith("PLUGIN"))


def save_trt_engine(engine: Engine | bytes | Any, path: str | os.PathLike[str]) -> None:
    """Write an Engine, plan bytes, TensorRT's IHostMemory or ICudaEngine to `path`, whole or not at all.

    An Engine gets its lock beside it, `PATH.lock.json`. Of the others too little is known for one: a lock of another
    engine that stands there is removed.
    """
    from trtreg import engine_lock

    about = None
    if isinstance(engine, Engine):
        about = engine_lock.to_json(engine_lock.of(engine)).encode()
        engine = engine.plan
    elif hasattr(engine, "serialize"):
        engine = engine.serialize()
    plan = memoryview(engine)
    if about is None:
        about = engine_lock.kept(path, plan)
    output.write_pair(path, plan, engine_lock.path_of(path), about)
