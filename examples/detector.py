"""A small object detector with deformable convolutions, exported to ONNX: `python detector.py detector.onnx`.

The shape is that of CenterNet with a DCN neck (Zhou et al. 2019, arXiv:1904.07850) on a backbone in the manner of
MobileNetV3 (arXiv:1905.02244). Two of its operators are none of ONNX: the hard swish with its own slope, and the
modulated deformable convolution. Their nodes are what TensorRT needs plugins for. The weights are random: what is shown
is the way from a model to an engine, not a detection.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from trtplugin_dcnv2 import ModulatedDeformConv2dPack
from trtplugin_hswish import hswish


class HSwish(nn.Module):
    """The plugin's hard swish as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it."""
        return hswish(x)


def conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    """Convolution, normalisation, activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), HSwish()
    )


def deformable(inputs: int, outputs: int) -> nn.Sequential:
    """Deformable convolution, normalisation, activation."""
    layer = ModulatedDeformConv2dPack(inputs, outputs, 3, padding=1, bias=False)
    nn.init.normal_(layer.conv_offset.weight, std=0.05)  # training starts at zero, which would deform nothing
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class Detector(nn.Module):
    """Images to class scores, box sizes and centre offsets, at a quarter of the resolution."""

    def __init__(self, classes: int = 20, width: int = 32) -> None:
        super().__init__()
        w = width
        self.stem = conv(3, w, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(conv(inputs, outputs, stride=2), conv(outputs, outputs))
            for inputs, outputs in ((w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w))
        )
        # From the coarsest map to the finest: add the coarser one, then align by deformation.
        self.lateral = nn.ModuleList(nn.Conv2d(channels, 2 * w, 1) for channels in (2 * w, 4 * w, 8 * w))
        self.align = nn.ModuleList(deformable(2 * w, 2 * w) for _ in range(3))
        self.heads = nn.ModuleList(
            nn.Sequential(conv(2 * w, 2 * w), nn.Conv2d(2 * w, outputs, 1)) for outputs in (classes, 2, 2)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores [N, classes, H/4, W/4], sizes and offsets [N, 2, H/4, W/4]."""
        x = self.stem(image)
        maps = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            maps.append(lateral(x))
        x = self.align[2](maps[2])
        for level in (1, 0):
            x = self.align[level](maps[level] + functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        scores, sizes, offsets = (head(x) for head in self.heads)
        return scores.sigmoid(), sizes.exp(), offsets


def export(path: Path, exporter: str, size: int) -> None:
    """Write the model; the batch size stays open."""
    torch.manual_seed(0)
    model = Detector().eval()
    image = torch.rand(2, 3, size, size)
    names = {"input_names": ["image"], "output_names": ["scores", "sizes", "offsets"]}
    with torch.no_grad():
        if exporter == "dynamo":
            batch = torch.export.Dim("batch", min=1, max=64)
            program = torch.onnx.export(
                model, (image,), dynamo=True, dynamic_shapes=({0: batch},), opset_version=18, verbose=False, **names
            )
            program.save(path)
        else:
            axes = {name: {0: "batch"} for group in names.values() for name in group}
            torch.onnx.export(model, (image,), path, dynamo=False, dynamic_axes=axes, opset_version=18, **names)
    print(f"{path}: image batch x 3 x {size} x {size}, {exporter} exporter, {path.stat().st_size / 2**20:.1f} MiB")


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path, help="the ONNX file to write")
    parser.add_argument("--exporter", choices=("dynamo", "torchscript"), default="dynamo")
    parser.add_argument("--size", type=int, default=256, help="height and width of the image, a multiple of 16")
    arguments = parser.parse_args()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of packages that are not needed here
    warnings.filterwarnings("ignore", category=FutureWarning)  # PyTorch's own, of its own code
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    export(arguments.path, arguments.exporter, arguments.size)


if __name__ == "__main__":
    main()
