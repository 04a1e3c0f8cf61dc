"""`python -m retain`: the command `retain`."""

import sys

from retain._command import main

if __name__ == "__main__":
    sys.exit(main())
