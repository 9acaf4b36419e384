"""What the tests of this package share."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from trtreg.sdk.face import Face

sys.path.insert(0, str(Path(__file__).parent))  # dcnv2_cases


@pytest.fixture(scope="session")
def face() -> Face:
    """Open the library of the installed package."""
    folder = Path(importlib.util.find_spec("trtplugin_dcnv2").origin).parent
    manifest = json.loads((folder / "trtplugin.json").read_text())
    return Face(folder / manifest["library"]["file"])
