"""How a module that measures ends: what it refuses is one line and status 2."""

import sys
from collections.abc import Callable
from typing import NoReturn

from .exceptions import StoicError


def exit_with(main: Callable[[], int | None]) -> NoReturn:
    """End the process with the status of `main`, None for 0; 2 for what the kit refuses."""
    try:
        sys.exit(main())
    except StoicError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
