"""What the tests of this package share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trtreg.testing import device
from trtreg.testing.device import DevicePlugin
from trtreg.testing.host import HostPlugin

if TYPE_CHECKING:
    from trtreg.sdk.face import Face

sys.path.insert(0, str(Path(__file__).parent))  # nms_cases


@pytest.fixture(scope="session")
def face() -> Face:
    return device.open_library("trtplugin_nms")


@pytest.fixture(scope="session")
def on_host() -> HostPlugin:
    return HostPlugin(Path(__file__).parents[1])


@pytest.fixture(scope="session")
def on_device() -> DevicePlugin:
    return DevicePlugin("trtplugin_nms")
