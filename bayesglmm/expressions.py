"""Expressions of a formula: text to a tree that is data and is never run as Python.

Precedence is R's, loosest first: ``~``, ``|`` and ``||``, ``+ -``, ``* /``, ``:``, unary minus,
``^`` (also written ``**``). What the operators mean is decided by whoever reads the tree:
``formula`` (sets of terms) or ``columns`` (arithmetic).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .errors import FormulaError

MAX_LENGTH = 65_536  # characters; the longest honest formula is a list of column names
MAX_DEPTH = 50  # nested brackets
# Nodes from the root of a tree to a leaf. It bounds every recursion over a tree far below
# Python's own limit, also when called from deep inside a notebook.
MAX_TREE_DEPTH = 150

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<name>[^\W\d][\w.\u0300-\u036f]*)
      | (?P<quoted>`(?:[^`]|``)+`)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<operator>\|\||\*\*|[-+*/:^~|(),=])""",
    re.VERBOSE | re.DOTALL,
)
_BARE_NAME = re.compile(r"[^\W\d][\w.]*")

_BINDING = {"~": 1, "|": 2, "||": 2, "+": 3, "-": 3, "*": 4, "/": 4, ":": 5, "^": 7}
_UNARY_BINDING = 6
_TIGHT = ("/", "^", ":")  # written without spaces, as R prints them


class Token(NamedTuple):
    """A piece of the text: its kind, what it says, where it starts."""

    kind: str
    value: str
    position: int


@dataclass(frozen=True, slots=True)
class Name:
    """A column of the data."""

    name: str
    position: int
    depth: int = 1

    def __str__(self) -> str:
        if _BARE_NAME.fullmatch(self.name):
            return self.name
        return "`" + self.name.replace("`", "``") + "`"


@dataclass(frozen=True, slots=True)
class Number:
    """A constant, kept as it was written."""

    text: str
    position: int
    depth: int = 1

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted text: the level in ``ref(f, "level")``."""

    value: str
    position: int
    depth: int = 1

    def __str__(self) -> str:
        return '"' + self.value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(frozen=True, slots=True)
class Call:
    """``function(arguments, name=option)``."""

    function: str
    arguments: tuple["Expression", ...]
    options: tuple[tuple[str, "Expression"], ...]
    position: int
    depth: int

    def __str__(self) -> str:
        options = [f"{name} = {value}" for name, value in self.options]
        return f"{self.function}({', '.join([*map(str, self.arguments), *options])})"


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator and its operands.

    ``+`` has any number of operands, ``-`` and ``()`` (brackets the user wrote) have one: ``a - b``
    is the sum of ``a`` and ``-b``. The others have two.
    """

    operator: str
    operands: tuple["Expression", ...]
    position: int
    depth: int

    def __str__(self) -> str:
        if self.operator == "()":
            return f"({self.operands[0]})"
        if self.operator == "-":
            return f"-{self.operands[0]}"
        if self.operator == "+":
            text = str(self.operands[0])
            for operand in self.operands[1:]:
                negative = isinstance(operand, Operation) and operand.operator == "-"
                text += f" - {str(operand)[1:]}" if negative else f" + {operand}"
            return text
        left, right = map(str, self.operands)
        space = "" if self.operator in _TIGHT else " "
        return f"{left}{space}{self.operator}{space}{right}"


Expression = Name | Number | Text | Call | Operation


def walk(node: Expression) -> Iterator[Expression]:
    """Every node of a tree, the root first."""
    yield node
    if isinstance(node, Operation):
        for operand in node.operands:
            yield from walk(operand)
    elif isinstance(node, Call):
        for argument in (*node.arguments, *(value for _, value in node.options)):
            yield from walk(argument)


def names(node: Expression) -> list[str]:
    """Columns that an expression uses, in order, once each."""
    return list(dict.fromkeys(n.name for n in walk(node) if isinstance(n, Name)))


def parse(formula: str) -> Expression:
    """Read one expression.

    Raises
    ------
    FormulaError
        If the text is too long, too deeply nested, or not an expression.
    """
    if len(formula) > MAX_LENGTH:
        raise FormulaError(
            f"the formula has {len(formula):,} characters; the limit is {MAX_LENGTH:,}", formula, 0
        )
    return _Parser(formula).whole()


def _tokens(formula: str) -> list[Token]:
    tokens = []
    position = 0
    while position < len(formula):
        match = _TOKEN.match(formula, position)
        if match is None:
            character = formula[position]
            unclosed = {"`": "this backtick is not closed", "'": "this quote is not closed"}
            unclosed['"'] = unclosed["'"]
            unclosed["."] = "'.' stands for nothing here: name the columns"
            reason = unclosed.get(character, f"{character!r} has no meaning in a formula")
            raise FormulaError(reason, formula, position)
        kind = str(match.lastgroup)
        value = match.group()
        if kind == "quoted":
            kind, value = "name", value[1:-1].replace("``", "`")
        elif kind == "text":
            value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
        elif value == "**":
            value = "^"
        if kind != "space":
            tokens.append(Token(kind, value, position))
        position = match.end()
    tokens.append(Token("end", "", len(formula)))
    return tokens


class _Parser:
    """Precedence climbing over the tokens of one formula."""

    def __init__(self, formula: str) -> None:
        self.formula = formula
        self.tokens = _tokens(formula)
        self.at = 0
        self.brackets = 0
        self.recursion = 0

    def fail(self, reason: str, position: int) -> FormulaError:
        return FormulaError(reason, self.formula, position)

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def sees(self, operator: str) -> bool:
        token = self.tokens[self.at]
        return token.kind == "operator" and token.value == operator

    def whole(self) -> Expression:
        if self.tokens[0].kind == "end":
            raise self.fail("the formula is empty; write it like y ~ x + (1 | g)", 0)
        node = self.expression(0)
        token = self.tokens[self.at]
        if token.kind != "end":
            raise self.unexpected(token)
        return node

    def unexpected(self, token: Token) -> FormulaError:
        hint = ""
        if token.kind == "name":
            hint = "; a column whose name has a space is written in backticks, `my column`"
        return self.fail(f"unexpected {token.value!r}{hint}", token.position)

    def operation(
        self, operator: str, operands: tuple[Expression, ...], position: int
    ) -> Operation:
        depth = 1 + max(operand.depth for operand in operands)
        self.limit(depth, position)
        return Operation(operator, operands, position, depth)

    def limit(self, depth: int, position: int) -> None:
        if depth > MAX_TREE_DEPTH:
            raise self.fail("the formula is nested too deeply", position)

    def expression(self, binding: int) -> Expression:
        """Everything from here on whose operators bind tighter than `binding`."""
        self.recursion += 1
        self.limit(self.recursion, self.tokens[self.at].position)
        left = self.operand()
        while True:
            token = self.tokens[self.at]
            strength = _BINDING.get(token.value, 0) if token.kind == "operator" else 0
            if strength <= binding:
                break
            if strength == _BINDING["+"]:
                left = self.sum(left)
                continue
            self.at += 1
            # The power is the only operator that groups to the right: 2^3^2 is 2^(3^2).
            right = self.expression(strength - 1 if token.value == "^" else strength)
            left = self.operation(token.value, (left, right), token.position)
        self.recursion -= 1
        return left

    def sum(self, first: Expression) -> Expression:
        """``first + b - c``, as one node however long, so that length is not depth."""
        operands = [first]
        position = self.tokens[self.at].position
        while self.sees("+") or self.sees("-"):
            sign = self.take()
            term = self.expression(_BINDING["+"])
            if sign.value == "-":
                term = self.operation("-", (term,), sign.position)
            operands.append(term)
        return self.operation("+", tuple(operands), position)

    def operand(self) -> Expression:
        token = self.take()
        if token.kind == "number":
            return Number(token.value, token.position)
        if token.kind == "text":
            return Text(token.value, token.position)
        if token.kind == "name":
            if self.sees("("):
                return self.call(token)
            return Name(token.value, token.position)
        if token.value in ("-", "+"):
            inner = self.expression(_UNARY_BINDING)
            if token.value == "+":
                return inner
            return self.operation("-", (inner,), token.position)
        if token.value == "(" and token.kind == "operator":
            self.open(token.position)
            inner = self.expression(0)
            self.close(token.position)
            return self.operation("()", (inner,), token.position)
        if token.kind == "end":
            raise self.fail("the formula ends where a term is expected", token.position)
        raise self.fail(f"a term is expected before {token.value!r}", token.position)

    def open(self, position: int) -> None:
        self.brackets += 1
        if self.brackets > MAX_DEPTH:
            raise self.fail(f"brackets are nested more than {MAX_DEPTH} deep", position)

    def close(self, position: int) -> None:
        token = self.tokens[self.at]
        if not self.sees(")"):
            if token.kind == "end":
                raise self.fail("this bracket is not closed", position)
            raise self.unexpected(token)
        self.at += 1
        self.brackets -= 1

    def call(self, function: Token) -> Call:
        opening = self.take()
        self.open(opening.position)
        arguments: list[Expression] = []
        options: list[tuple[str, Expression]] = []
        while not self.sees(")"):
            if arguments or options:
                if not self.sees(","):
                    break
                self.at += 1
            name, equals = self.tokens[self.at], self.tokens[min(self.at + 1, len(self.tokens) - 1)]
            if name.kind == "name" and equals.kind == "operator" and equals.value == "=":
                self.at += 2
                options.append((name.value, self.expression(0)))
            elif options:
                raise self.fail("an argument without a name follows one with", name.position)
            else:
                arguments.append(self.expression(0))
        self.close(opening.position)
        inner = [*arguments, *(value for _, value in options)]
        depth = 1 + max((node.depth for node in inner), default=0)
        self.limit(depth, function.position)
        return Call(function.value, tuple(arguments), tuple(options), function.position, depth)
