"""From an ONNX model to a TensorRT engine, with just the plugins that the model needs."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trtreg import (
    _adoption,
    _complaints,
    _cuda_device,
    _holders,
    discovery,
    embedded,
    environment,
    load_plan,
    loader,
    override,
    parsing,
    preferences,
    shapes,
    targets,
)
from trtreg import flavour as flavours
from trtreg import model as models
from trtreg.collision import tell
from trtreg.engine import Engine, Layer, Tensor, UsedPlugin
from trtreg.errors import EngineBuildError, SettingError, TensorRTNotFoundError
from trtreg.progress import Reporter
from trtreg.scan import ScanReport, scan_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from trtreg.discovery import InstalledPlugin
    from trtreg.engine import TakenNode
    from trtreg.flavour import InstalledTensorRT, Message
    from trtreg.manifest import CreatorKey
    from trtreg.packages.catalogue import Catalogues
    from trtreg.progress import OnProgress

__all__ = ["onnx2trt"]

_log = logging.getLogger("trtreg.tensorrt")
_SCANNING, _LOADING, _IMPORTING = "Scanning the model", "Loading plugins", "Importing the model"


def onnx2trt(
    onnx_model: models.ModelSource,
    opt_shape_dict: shapes.ShapeDict | None = None,
    *,
    log_level: Any = None,
    fp16_mode: bool = False,
    bf16_mode: bool = False,
    max_workspace_size: int = 0,
    device_id: int = 0,
    targets: Iterable[str | int] = (),
    plugins: Iterable[InstalledPlugin] | None = None,
    prefer_plugins: Iterable[str] = (),
    embed_plugins: bool = False,
    on_progress: OnProgress | None = None,
) -> Engine:
    """Build an engine from a path (with external data beside it), bytes or a ModelProto.

    `opt_shape_dict` gives [min, opt, max], or one shape, for each dynamic input. `log_level` is a level of the Python
    logger "trtreg.tensorrt" while this runs. `max_workspace_size` is in bytes, 0 for TensorRT's default. `device_id` 0
    leaves the current CUDA device. `targets` are compute capabilities ("8.6", "sm_89"), on TensorRT-RTX. `plugins` are
    the packages to choose from (default: all that are installed). `prefer_plugins` are ops that a plugin shall compute
    although TensorRT could: "ScatterND", or "ScatterND=MyScatter" for a plugin of another name. `embed_plugins` writes
    the plugin libraries into the engine, which then runs where the packages are not installed.
    """
    build = _Build(flavours.select(), on_progress)
    build.choose_targets(targets)
    build.choose_plugins(prefer_plugins, embed=embed_plugins)
    with _log_level(log_level), _cuda_device.current(device_id), flavours.capture() as said:
        build.said = said
        build.configure(max_workspace_size, {"FP16": fp16_mode, "BF16": bf16_mode})
        model = models.read(onnx_model)
        digest = models.digest(onnx_model, model)
        build.import_model(model, plugins)
        build.set_shapes(opt_shape_dict)
        return build.run(digest)


class _Build:
    """One build: TensorRT's objects of it, and what has been found out so far."""

    def __init__(self, tensorrt: InstalledTensorRT, on_progress: OnProgress | None) -> None:
        self.said: Sequence[Message] = ()
        self._tensorrt = tensorrt
        self._trt: Any = flavours.load(tensorrt)
        if not hasattr(self._trt, "OnnxParser"):
            raise TensorRTNotFoundError(
                f"{tensorrt.flavour.module} {tensorrt.version} runs engines, and cannot build them",
                expected="tensorrt or tensorrt_rtx",
                remedy="run: pip install 'trtreg[rtx]'",
            )
        self._reporter = Reporter(on_progress)
        self._targets: tuple[str, ...] = ()
        self._preferred: Mapping[str, str] = {}
        self._embed = False
        self._report: ScanReport = ScanReport(label="", total=0, nodes=())
        self._taken: tuple[TakenNode, ...] = ()

    def choose_targets(self, wanted: Iterable[str | int]) -> None:
        self._targets = targets.normalise(wanted)

    def choose_plugins(self, prefer: Iterable[str], *, embed: bool) -> None:
        self._preferred = override.read(prefer)
        self._embed = embed

    def configure(self, max_workspace_size: int, precisions: dict[str, bool]) -> None:
        trt, logger = self._trt, flavours.logger(self._tensorrt)
        _holders.register_own(self._tensorrt)
        try:
            self._builder = trt.Builder(logger)
        except TypeError as e:  # pybind11's answer to a null pointer
            raise EngineBuildError(
                f"{trt.__name__} cannot create a builder", found=self._complaints(), remedy="see `trtreg doctor`"
            ) from e
        self._network = self._builder.create_network(0)
        self._config = self._builder.create_builder_config()
        targets.apply(trt, self._config, self._targets)
        if max_workspace_size < 0:
            raise SettingError("max_workspace_size is negative", found=str(max_workspace_size))
        if max_workspace_size:
            self._config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, max_workspace_size)
        for flag, wanted in precisions.items():
            if wanted:
                self._config.set_flag(self._precision(flag))

    def import_model(self, model: models.Model, plugins: Iterable[InstalledPlugin] | None) -> None:
        parser = self._trt.OnnxParser(self._network, flavours.logger(self._tensorrt))
        packages = tuple(discovery.discover() if plugins is None else plugins)
        wishes = preferences.read()
        with self._phase(_SCANNING):
            registered = self._registered()
            report = self._report = scan_model(
                model,
                plugins=packages,
                environment=environment.read(self._tensorrt),
                is_native=parser.supports_operator,
                catalogues=_cached_catalogues,
                preferred=self._preferred,
                preferences=wishes,
                own=registered.difference(*(known.creators for known in loader.loaded())),
            )
            parsing.check_nodes(report, registered, self._preferred)
            override.check_names(self._preferred, report, registered | load_plan.all_creators(packages))
            targets.check_plugins(report.plugins, self._targets)
            to_load = self._planned(packages, wishes)
        if to_load:
            with self._phase(_LOADING):
                for plugin in to_load:
                    loader.load(plugin, tensorrt=self._tensorrt)
                if self._embed:
                    embedded.request(self._trt, self._config, report.plugins)
        with self._phase(_IMPORTING):
            self._parse(parser, model)

    def _planned(
        self, packages: Sequence[InstalledPlugin], wishes: preferences.Preferences
    ) -> tuple[InstalledPlugin, ...]:
        """The packages to load, none of which keeps another one out."""
        report = self._report
        plan = load_plan.make(
            report.plugins,
            needed={node.creator: node.plugin for node in report.provided if node.creator and node.plugin},
            registered=_holders.registered(self._tensorrt, load_plan.all_creators(report.plugins), packages),
            preferences=wishes,
        )
        tell((*plan.collisions, *(one for one in report.collisions if one.outcome == "passed-over")))
        return plan.require(report.label)

    def _parse(self, parser: Any, model: models.Model) -> None:
        """Run the parser, and see to it that the preferred plugins take their nodes."""
        report, registered, is_native = self._report, self._registered(), parser.supports_operator
        taken = self._taken = override.taken(report, self._preferred, registered)
        takers = override.takers(report, self._preferred, registered)
        if takers and override.flag_suffices(self._trt, model, report, taken, registered, is_native):
            override.set_flag(self._trt, parser)
            takers = {}
        named = parsing.with_named_nodes(model, report, lambda op: op in self._preferred or is_native(op), takers)
        parsing.import_model(parser, named, report, unmodified=named is model, said=self.said)
        override.prove(self._trt, self._network, taken, sum(node.plugin is not None for node in report.provided))

    def set_shapes(self, given: shapes.ShapeDict | None) -> None:
        ranges = shapes.resolve(self._input_shapes(), given)
        if not ranges:
            return
        profile = self._builder.create_optimization_profile()
        for tensor in _inputs(self._network):
            if tensor.name in ranges:
                shape = ranges[tensor.name]
                put = profile.set_shape_input if tensor.is_shape_tensor else profile.set_shape
                put(tensor.name, shape.minimum, shape.optimum, shape.maximum)
        if self._config.add_optimization_profile(profile) < 0:
            raise EngineBuildError("TensorRT refuses the shapes", found=self._complaints())

    def run(self, digest: models.ModelDigest) -> Engine:
        monitor = self._reporter.monitor(self._trt)
        self._config.progress_monitor = monitor
        # Before the build: the optimiser takes the network to pieces.
        layers = tuple(
            Layer(name=layer.name, type=layer.type.name)
            for layer in map(self._network.get_layer, range(self._network.num_layers))
        )
        plan = self._builder.build_serialized_network(self._network, self._config)
        self._reporter.check()
        if plan is None:
            raise EngineBuildError("TensorRT could not build the engine", found=self._complaints())
        data = bytes(plan)
        if self._embed:
            embedded.prove(self._trt, data, self._report.plugins)
        return Engine(
            plan=data,
            flavour=self._tensorrt.flavour.value,
            tensorrt_version=self._tensorrt.version,
            creators=self._report.creators,
            plugins=tuple(_used(plugin, self._report, embed=self._embed) for plugin in self._report.plugins),
            layers=layers,
            inputs=tuple(map(_tensor, _inputs(self._network))),
            outputs=tuple(_tensor(self._network.get_output(index)) for index in range(self._network.num_outputs)),
            targets=self._targets,
            model=digest,
            taken=self._taken,
        )

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self._reporter.start(name)
        self._reporter.check()
        yield
        self._reporter.finish(name)
        self._reporter.check()

    def _precision(self, flag: str) -> Any:
        members = self._trt.BuilderFlag.__members__
        if flag not in members:
            raise SettingError(
                f"{self._trt.__name__} {self._trt.__version__} has no {flag} mode: its networks are strongly typed",
                remedy=f"convert the model itself to {flag}, and leave {flag.lower()}_mode out",
            )
        return members[flag]

    def _registered(self) -> frozenset[CreatorKey]:
        return frozenset(_adoption.registered(self._trt.get_plugin_registry()))

    def _input_shapes(self) -> list[shapes.Input]:
        return [
            shapes.Input(
                name=tensor.name,
                shape=tuple(tensor.shape),
                dimension_names=tuple(tensor.get_dimension_name(axis) for axis in range(len(tensor.shape))),
                is_shape_tensor=tensor.is_shape_tensor,
            )
            for tensor in _inputs(self._network)
        ]

    def _complaints(self) -> str:
        return "; ".join(_complaints.errors(self.said)) or "no reason given"


def _cached_catalogues() -> Catalogues | None:
    """What is in the cache, to name the package that a model lacks: a conversion never asks the network."""
    from trtreg.packages import catalogue

    return catalogue.cached()


def _inputs(network: Any) -> list[Any]:
    return [network.get_input(index) for index in range(network.num_inputs)]


def _tensor(tensor: Any) -> Tensor:
    return Tensor(name=tensor.name, shape=tuple(tensor.shape), dtype=tensor.dtype.name.lower())


def _used(plugin: InstalledPlugin, report: ScanReport, *, embed: bool) -> UsedPlugin:
    return UsedPlugin(
        package=plugin.distribution,
        version=plugin.version,
        sha256=plugin.manifest.library.sha256 if plugin.manifest else "",
        creators=tuple(sorted({node.creator for node in report.provided if node.plugin is plugin and node.creator})),
        embedded=embed,
    )


@contextmanager
def _log_level(level: Any) -> Iterator[None]:
    """Set the level of TensorRT's Python logger for a while; TensorRT's own severities go too, as MMCV gives them."""
    if level is None:
        yield
        return
    name = getattr(level, "name", level)
    name = {"INTERNAL_ERROR": "CRITICAL", "VERBOSE": "DEBUG"}.get(name, name)
    before = _log.level
    try:
        _log.setLevel(name.upper() if isinstance(name, str) else name)
    except (ValueError, TypeError) as e:
        raise SettingError("log_level is no level", found=repr(level), expected="one of Python's logging") from e
    try:
        yield
    finally:
        _log.setLevel(before)
