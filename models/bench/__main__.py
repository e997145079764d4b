"""`python -m stoic.models.bench`; by this name processes that it spawns do not import it again."""

import sys

from .campaign import main

if __name__ == "__main__":
    sys.exit(main())
