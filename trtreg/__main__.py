"""`python -m trtreg`."""

import sys

from trtreg.cli import main

if __name__ == "__main__":
    sys.exit(main())
