"""Exceptions of the kit: one class per thing a caller can do about it."""


class StoicError(Exception):
    """Anything the kit refuses; the message says what was wrong, its value, and what is right."""


class ArtefactError(StoicError):
    """A file is corrupt, truncated, foreign or too new: make it again or update the kit."""


class ToolError(StoicError):
    """A simulator, synthesis tool or package is missing or failed: install it or read its log."""


class BoardError(StoicError):
    """A board, port or virtual board does not answer as it should: check port and bitstream."""


class InputError(StoicError):
    """An argument, name or array has an illegal value: pass one of the legal ones."""
