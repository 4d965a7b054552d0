"""`python -m babyaipp`: the command `babyaipp`."""

import sys

from babyaipp.cli import main

if __name__ == "__main__":
    sys.exit(main())
