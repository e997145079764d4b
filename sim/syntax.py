"""Syntax trees of the kit's Verilog by pyverilog, every node with its place in the text.

pyverilog keeps only lines, and what it writes back is sometimes other Verilog than it read (`+:`,
`function integer`, `casez`). So a tree here only finds places, and whoever changes a source changes
its text there. Offsets of tokens are handed to the parser as line numbers, so `node.lineno` is the
offset of the first character of a node.
"""

import re
import tempfile
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pyverilog.vparser import ast
from pyverilog.vparser.parser import ParseError, VerilogParser

from .exceptions import InputError

_DEPTH = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
Node = Any  # of pyverilog, which has no types
_BLANKED = (
    re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL),
    re.compile(r"`ifdef\b.*?(?:`else|`endif)", re.DOTALL),  # nothing is defined
    re.compile(r"`[^\n]*"),
)


@dataclass(frozen=True)
class Token:
    """A token and its place, `text[start:end]`."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Tree:
    """One Verilog file.

    Attributes:
        text: as it is in the file.
        root: of the syntax tree of what is left once no macro is defined.
        tokens: of the same, in order.
    """

    text: str
    root: Node
    tokens: tuple[Token, ...]

    def line(self, offset: int) -> int:
        """Number of a line, from 1."""
        return self.text.count("\n", 0, offset) + 1

    def token(self, offset: int) -> Token:
        """The token that starts here or is the next one to start."""
        return self.tokens[self._index(offset)]

    def before(self, node: Node) -> Token:
        """The token before a node and the parentheses around it, e.g. its operator."""
        i = self._index(node.lineno) - 1
        while self.tokens[i].text == "(":
            i -= 1
        return self.tokens[i]

    def closing(self, offset: int) -> Token:
        """The bracket that closes the first one at or after an offset."""
        i = self._index(offset)
        depth = 0
        while True:
            depth += _DEPTH.get(self.tokens[i].text, 0)
            if depth == 0 and self.tokens[i].text in ")]}":
                return self.tokens[i]
            i += 1

    def span(self, node: Node) -> tuple[int, int]:
        """Where the text of an expression starts and ends, without parentheses around all of it."""
        last = _last(node)
        i = self._index(node.lineno)
        while (
            self.tokens[i - 1].text == "(" and self.closing(self.tokens[i - 1].start).start < last
        ):
            i -= 1
        start, depth = self.tokens[i].start, 0
        while True:
            token, after = self.tokens[i], self.tokens[i + 1].text
            depth += _DEPTH.get(token.text, 0)
            if token.start >= last and depth == 0 and token.text != "." and after not in ".([":
                return start, token.end
            i += 1

    def _index(self, offset: int) -> int:
        return bisect_left(self.tokens, offset, key=lambda t: t.start)


class _Lexer:
    """pyverilog's lexer, with offsets in place of line numbers; keeps what it gave."""

    def __init__(self, lexer: Any) -> None:
        self._lexer = lexer
        self.tokens: list[Token] = []

    def input(self, text: str) -> None:
        self.tokens.clear()
        self._lexer.input(text)

    def token(self) -> Any:
        token = self._lexer.token()
        if token is not None:
            token.lineno = token.lexpos
            self.tokens.append(Token(token.value, token.lexpos, token.lexpos + len(token.value)))
        return token


@cache
def _parser() -> VerilogParser:
    with tempfile.TemporaryDirectory() as folder:  # for tables that ply writes down
        return VerilogParser(outputdir=folder, debug=False)  # type: ignore[no-untyped-call]


def parse(text: str, name: str = "text") -> Tree:
    """Syntax tree of Verilog-2005.

    Raises:
        InputError: it is not in the subset that pyverilog reads.
    """
    blanked = text
    for pattern in _BLANKED:
        blanked = pattern.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), blanked)
    parser = _parser()
    lexer = _Lexer(parser.lexer)
    try:
        root = parser.parser.parse(blanked, lexer=lexer)
    except ParseError as error:
        found = re.search(r"line:(\d+): (.*)", str(error))
        where = text.count("\n", 0, int(found[1])) + 1 if found else "the end"
        raise InputError(f"{name}: pyverilog does not read line {where}: {error}") from error
    return Tree(text, root, tuple(lexer.tokens))


def load(path: Path) -> Tree:
    """Syntax tree of a file, as `parse`."""
    return parse(path.read_text(encoding="utf-8"), path.name)


def _last(node: Node) -> int:
    """Where the last node of a subtree starts."""
    below = [_last(child) for child in node.children() if child is not None]
    return max([int(node.lineno), *below])


def walk(node: Node, above: tuple[Node, ...] = ()) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    """Every node with the nodes above it, root first."""
    if node is None:
        return
    yield node, above
    for child in node.children():
        yield from walk(child, (*above, node))


def memories(tree: Tree) -> dict[str, Node]:
    """Registers with dimensions, by name."""
    return {
        node.name: node
        for node, _ in walk(tree.root)
        if isinstance(node, ast.Reg) and node.dimensions is not None
    }
