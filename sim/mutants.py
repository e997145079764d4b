"""Mutants of Verilog: one small mistake each, at a place that the syntax tree gives.

| kind | the mistake |
|---|---|
| `operator` | another operator; `!` or `~` dropped |
| `operand` | one side of `&&` or `||` dropped |
| `condition` | of an `if` or of `?:` negated |
| `enable` | an `if` always or never taken |
| `reset` | never taken, an assignment in it dropped, or left out of a condition |
| `constant` | a number one more or one less |
| `slice` | the same inside `[...]`, or one place further |
| `register` | an assignment `<=` dropped, or its value inverted |
| `assign` | the value of an assignment `=` inverted |

Left alone: what a bench sets or cannot see (defaults of parameters, widths of declarations), loops,
which might never end, `initial` blocks, and the checks of illegal parameters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pyverilog.vparser import ast

from .syntax import Node, Tree, load, walk

KINDS = (
    "operator", "operand", "condition", "enable", "reset", "constant", "slice", "register", "assign"
)  # fmt: skip
_SWAPS = {
    ast.Plus: "-", ast.Minus: "+", ast.Times: "+", ast.Divide: "*", ast.Mod: "/",
    ast.And: "|", ast.Or: "&", ast.Xor: "~^", ast.Land: "||", ast.Lor: "&&",
    ast.Eq: "!=", ast.NotEq: "==", ast.LessThan: "<=", ast.LessEq: "<",
    ast.GreaterThan: ">=", ast.GreaterEq: ">", ast.Sll: ">>", ast.Srl: "<<",
}  # fmt: skip
_LEFT_ALONE = (ast.Paramlist, ast.Width, ast.Dimensions, ast.Length, ast.Initial, ast.Ioport)
_LOOPS = (ast.ForStatement, ast.WhileStatement)
_ILLEGAL = "stoic_illegal_parameter"
_RESET = "rst_i"


@dataclass(frozen=True, order=True)
class Mutant:
    """One mistake: `text[start:end]`, which is `old`, becomes `new`.

    Attributes:
        file: name of the Verilog file.
        kind: one of KINDS.
        line: from 1.
    """

    file: str
    start: int
    end: int
    kind: str
    line: int
    old: str
    new: str

    def apply(self, text: str) -> str:
        """The text of the file with the mistake."""
        assert text[self.start : self.end] == self.old, f"{self.file} is not the one of the mutant"
        return text[: self.start] + self.new + text[self.end :]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.kind}: {self.old!r} -> {self.new!r}"


def mutants_of(path: Path) -> list[Mutant]:
    """All mutants of a file, in the order of their places."""
    tree = load(path)
    found = {
        Mutant(path.name, start, end, kind, tree.line(start), tree.text[start:end], new)
        for node, above in _sites(tree.root, ())
        for kind, start, end, new in _changes(tree, node, above)
    }
    return sorted(found)


def sample(mutants: Sequence[Mutant], n: int, seed: int) -> list[Mutant]:
    """`n` mutants drawn without replacement, in order of their places; the same for a seed."""
    chosen = Random(seed).sample(sorted(mutants), min(n, len(mutants)))
    return sorted(chosen)


def _sites(node: Node, above: tuple[Node, ...]) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    """Nodes that may be changed, with those above them."""
    if node is None or isinstance(node, _LEFT_ALONE) or _is_check(node):
        return
    yield node, above
    for child in [node.statement] if isinstance(node, _LOOPS) else node.children():
        yield from _sites(child, (*above, node))


def _is_check(node: Node) -> bool:
    """Whether this is an `if` around what stops elaboration at illegal parameters, and no more."""
    if not isinstance(node, ast.IfStatement) or node.false_statement is not None:
        return False
    return any(isinstance(n, ast.Instance) and n.module == _ILLEGAL for n, _ in walk(node))


Change = tuple[str, int, int, str]  # kind, start, end, new text


def _changes(tree: Tree, node: Node, above: tuple[Node, ...]) -> Iterator[Change]:
    text = tree.text
    if type(node) in _SWAPS:
        operator = tree.before(node.right)
        yield "operator", operator.start, operator.end, _SWAPS[type(node)]
        if isinstance(node, ast.Land | ast.Lor):
            start, end = tree.span(node)
            left = text[start : operator.start].rstrip()
            right = text[operator.end : end].lstrip()
            for kept, dropped in ((left, node.right), (right, node.left)):
                yield "reset" if _names(dropped, _RESET) else "operand", start, end, kept
    elif isinstance(node, ast.Ulnot | ast.Unot):
        kind = "reset" if _names(node, _RESET) else "operator"
        yield kind, node.lineno, node.lineno + 1, ""
    elif isinstance(node, ast.IfStatement):
        start = tree.token(node.lineno + 1).start
        end = tree.closing(start).end
        is_reset = _names(node.cond, _RESET)
        yield "condition", start, end, f"(!{text[start:end]})"
        yield "reset" if is_reset else "enable", start, end, "(1'b0)"
        yield "reset" if is_reset else "enable", start, end, "(1'b1)"
    elif isinstance(node, ast.Cond):
        start, end = tree.span(node)[0], tree.before(node.true_value).start
        yield "condition", start, end, f"!({text[start:end].rstrip()}) "
    elif isinstance(node, ast.IntConst):
        kind = "slice" if any(isinstance(n, ast.Pointer | ast.Partselect) for n in above) else ""
        for new in _neighbours(node.value):
            yield kind or "constant", node.lineno, node.lineno + len(node.value), new
    elif isinstance(node, ast.Pointer) and not isinstance(node.ptr, ast.IntConst):
        start, end = tree.span(node.ptr)
        yield "slice", start, end, f"{text[start:end]} + 1"
    elif isinstance(node, ast.NonblockingSubstitution):
        start, end = tree.span(node.right.var)
        in_reset = any(isinstance(n, ast.IfStatement) and _names(n.cond, _RESET) for n in above)
        yield "register", start, end, f"~({text[start:end]})"
        stop = text.index(";", end)
        yield "reset" if in_reset else "register", node.lineno, stop, ""
    elif isinstance(node, ast.BlockingSubstitution | ast.Assign):
        start, end = tree.span(node.right.var)
        yield "assign", start, end, f"~({text[start:end]})"


def _names(node: Node, name: str) -> bool:
    """Whether an expression is or holds an identifier."""
    return any(isinstance(n, ast.Identifier) and n.name == name for n, _ in walk(node))


def _neighbours(number: str) -> list[str]:
    """A Verilog number one more and one less, in its own width and base.

    >>> _neighbours("3"), _neighbours("1'b0"), _neighbours("2'd3")
    (['4', '2'], ["1'b1"], ["2'd2"])
    """
    width, tick, digits = number.rpartition("'")
    base = {"b": 2, "o": 8, "d": 10, "h": 16}[digits[0].lower()] if tick else 10
    shown = {2: "b", 8: "o", 10: "d", 16: "x"}[base]
    value = int(digits[1:] if tick else digits, base)
    most = 2 ** int(width) - 1 if width else 2**31 - 1
    head = f"{width}'{digits[0]}" if tick else ""
    return [f"{head}{new:{shown}}" for new in (value + 1, value - 1) if 0 <= new <= most]
