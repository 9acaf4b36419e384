"""What the tests of this package share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trtreg.testing import device

if TYPE_CHECKING:
    from trtreg.sdk.face import Face

sys.path.insert(0, str(Path(__file__).parent))  # dcnv2_cases


@pytest.fixture(scope="session")
def face() -> Face:
    """Open the library of the installed package."""
    return device.open_library("trtplugin_dcnv2")
