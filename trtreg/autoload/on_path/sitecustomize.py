"""`trtreg run` puts this folder in front of PYTHONPATH: Python imports this module when it starts.

PYTHONPATH reaches the processes that the program starts, too. A `sitecustomize` of the environment still has its turn.
"""

# ruff: noqa: INP001 - in no package, by design
import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib is dear at the start


def _start() -> None:
    import _trtreg_autoload  # type: ignore[import-not-found]

    _trtreg_autoload.install(asked=True)


def _make_way() -> None:
    """Let the environment's own module of this name take the place of this one."""
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != _FOLDER]  # noqa: PTH100
    this = sys.modules.pop(__name__)
    try:
        __import__(__name__)
    except ModuleNotFoundError as error:
        if error.name != __name__:
            raise
    finally:
        sys.modules.setdefault(__name__, this)


_start()
_make_way()
