"""Formulas in lme4's language: text to a record of products, bars and a response.

``y | trials(n) ~ x * f + offset(log(t)) + (x | g)`` has a response, fixed effects, which are
products of factors (``x``, ``f``, ``x:f``), an offset, and bars. A formula is data: names mean
columns, functions come from the tables below or from the user's own, and nothing is evaluated
here. Products are ordered as in R, main effects first.

``(x || g)`` gives uncorrelated effects. As in lme4, a categorical factor on its left keeps the
columns of its own levels correlated with each other: ``(f || g)`` is ``(1 | g) + (0 + f | g)``.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from . import dialects
from .errors import FormulaError
from .expressions import Call, Expression, Name, Number, Operation, Text, names, parse

MAX_TERMS = 10_000  # products of one side; no more than the columns a design may have
MAX_ORDER = 8  # factors in one product: the coding of categorical factors is exponential in it
MAX_POWER = 8  # (a + b)^8 already holds every product that MAX_ORDER allows
MAX_BASIS = 99  # columns of one poly() or bs()
_SIZES = frozenset(map(str, range(1, MAX_BASIS + 1)))
_MAX_PAIRS = 200_000  # products formed by one operator before repeats are removed

ELEMENTWISE = ("log", "log1p", "exp", "sqrt", "abs")
STATEFUL = ("center", "scale")
BASES = {"poly": ("degree",), "bs": ("df", "degree")}
CATEGORICAL = ("factor", "C", "ref")
RESPONSES = ("cbind", "prop")
ADDITIONS = ("trials", "weights", "se")
FUNCTIONS = (*ELEMENTWISE, *STATEFUL, *BASES, *CATEGORICAL, "I", "offset")

Product = tuple[Expression, ...]  # the factors of one term; empty for the intercept
_Products = dict[frozenset[str], Product]
_INTERCEPT: _Products = {frozenset(): ()}


@dataclass(frozen=True)
class ResponsePart:
    """Left of ``~``: the response, what is added to it where given, and its name in tables."""

    y: Expression
    trials: Expression | None
    weights: Expression | None
    se: Expression | None
    name: str


@dataclass(frozen=True)
class Bar:
    """``(products | group)`` or ``(products || group)``; ``group`` lists the columns of a:b."""

    products: tuple[Product, ...]
    group: tuple[str, ...]
    correlated: bool
    text: str
    position: int


@dataclass(frozen=True)
class Formula:
    """A formula that has been read; ``products`` holds ``()`` if there is an intercept."""

    text: str
    response: ResponsePart
    products: tuple[Product, ...]
    bars: tuple[Bar, ...]
    offsets: tuple[Expression, ...]

    def columns(self, *, with_response: bool = True) -> list[str]:
        """Names of the columns of the data that the formula uses, in order."""
        parts = self.response
        used: list[Expression] = []
        if with_response:
            given = (parts.y, parts.trials, parts.weights, parts.se)
            used += [part for part in given if part is not None]
        used += [factor for product in self.products for factor in product]
        used += self.offsets
        found = [name for node in used for name in names(node)]
        for bar in self.bars:
            found += [name for product in bar.products for f in product for name in names(f)]
            found += bar.group
        return list(dict.fromkeys(found))


def read(text: str, functions: Collection[str] = ()) -> Formula:
    """Read a formula.

    Parameters
    ----------
    text : str
        The formula, like ``"y ~ x + (x | g)"``.
    functions : collection of str
        Names of functions of one or more columns that the user adds to the table.

    Raises
    ------
    FormulaError
        With the place and the reason, whatever the text is.
    """
    if not isinstance(text, str):
        raise FormulaError(
            f"a formula is a text, not {type(text).__name__}; it comes before the data", "", 0
        )
    return _Reader(text, functions).formula()


class _Reader:
    """Reads one formula; kept as a class for the text that every error has to quote."""

    def __init__(self, text: str, functions: Collection[str]) -> None:
        self.text = text
        self.functions = functions
        self.root = parse(text)

    def fail(self, reason: str, node: Expression) -> FormulaError:
        return FormulaError(reason, self.text, node.position)

    def formula(self) -> Formula:
        root = self.root
        if not (isinstance(root, Operation) and root.operator == "~"):
            position = root.position if isinstance(root, Operation) else len(self.text)
            raise FormulaError("a formula is: response ~ terms", self.text, position)
        left, right = root.operands
        response = self.response(left)
        fixed: list[Expression] = []
        bars: list[Bar] = []
        offsets: list[Expression] = []
        for term in _summands(right):
            bar = _inside(term)
            if isinstance(bar, Operation) and bar.operator in ("|", "||"):
                if bar is term:
                    raise self.fail("put the bar in brackets, like (1 | g)", bar)
                bars += self.bars(bar)
            elif isinstance(term, Call) and term.function == "offset":
                offsets.append(self.numeric(self.argument(term)))
            else:
                fixed.append(term)
        products = self.side(fixed)
        self.not_twice(bars)
        formula = Formula(self.text, response, products, tuple(bars), tuple(offsets))
        self.response_stays_left(formula, right)
        return formula

    def response_stays_left(self, formula: Formula, right: Expression) -> None:
        predictors = formula.columns(with_response=False)
        for name in names(formula.response.y):
            if name in predictors:
                raise self.fail(f"the response {name!r} is also a predictor", right)

    # --- left of ~ -------------------------------------------------------------------------

    def response(self, left: Expression) -> ResponsePart:
        additions: dict[str, Expression] = {}
        if isinstance(left, Operation) and left.operator == "|":
            left, right = left.operands
            for term in _summands(right):
                if not (isinstance(term, Call) and term.function in ADDITIONS):
                    hint = dialects.function(term.function) if isinstance(term, Call) else ""
                    raise self.fail(
                        "after the response's bar come trials(n), weights(w) and se(s), joined by "
                        f"+{hint}",
                        term,
                    )
                if term.function in additions:
                    raise self.fail(f"{term.function}() is given twice", term)
                additions[term.function] = self.numeric(self.argument(term))
        trials, weights, se = map(additions.get, ADDITIONS)
        name = str(left)
        if isinstance(left, Call) and left.function in RESPONSES:
            if trials is not None:
                raise self.fail(f"{left.function}() already gives the trials", left)
            if len(left.arguments) != 2 or left.options:
                wanted = {
                    "cbind": "cbind(successes, failures)",
                    "prop": "prop(successes, trials)",
                }
                raise self.fail(f"write {wanted[left.function]}", left)
            y, other = map(self.numeric, left.arguments)
            if left.function == "cbind":
                other = Operation("+", (y, other), left.position, 1 + max(y.depth, other.depth))
            return ResponsePart(y, other, weights, se, name)
        if isinstance(left, Operation):
            remedy = "write counts of trials as y | trials(n), arithmetic as I(...)"
            raise self.fail(f"the response is one column; {remedy}", left)
        if isinstance(left, Name):
            return ResponsePart(left, trials, weights, se, left.name)
        if not names(left):
            raise self.fail("the response has to be a column of the data", left)
        return ResponsePart(self.numeric(left), trials, weights, se, name)

    # --- right of ~ ------------------------------------------------------------------------

    def side(self, terms: Iterable[Expression]) -> tuple[Product, ...]:
        """Products of a sum of terms with its implied intercept, in R's order."""
        products = dict(_INTERCEPT)
        for term in terms:
            self.add(products, term)
        return tuple(sorted(products.values(), key=len))

    def add(self, products: _Products, term: Expression) -> None:
        """Add a term of a sum, or take it away."""
        if isinstance(term, Operation) and term.operator == "-":
            inner = term.operands[0]
            removed = _INTERCEPT if _is_number(inner, "1") else self.expand(inner)
            for key in removed:
                products.pop(key, None)
        elif _is_number(term, "0"):
            products.pop(frozenset(), None)
        else:
            for key, product in self.expand(term).items():
                products.setdefault(key, product)
            if len(products) > MAX_TERMS:
                raise self.fail(f"the formula has more than {MAX_TERMS:,} terms", term)

    def expand(self, node: Expression) -> _Products:
        """Products that a term stands for: the algebra of ``+ - * / : ^``."""
        if _is_number(node, "1"):
            return dict(_INTERCEPT)
        if isinstance(node, Number):
            raise self.fail("only 0 and 1 mean something here; write arithmetic as I(...)", node)
        if isinstance(node, Name | Call):
            return {frozenset((str(node),)): (self.factor(node),)}
        if isinstance(node, Text):
            raise self.fail("a quoted text is no term; write a column's name without quotes", node)
        inner = _inside(node)
        if isinstance(inner, Operation) and inner.operator in ("|", "||"):
            raise self.fail("a bar has to be a term of its own, joined by +", inner)
        if node.operator == "~":
            raise self.fail("a formula has one ~", node)
        if node.operator == "()":
            return self.expand(node.operands[0])
        if node.operator in ("+", "-"):
            products: _Products = {}
            for term in node.operands if node.operator == "+" else (node,):
                self.add(products, term)
            return products
        left, right = node.operands
        if node.operator == "^":
            return self.power(node, self.expand(left), right)
        first, second = self.expand(left), self.expand(right)
        if node.operator == ":":
            return self.cross(node, first, second)
        if node.operator == "*":
            return {**first, **second, **self.cross(node, first, second)}
        everything = tuple(dict.fromkeys(f for product in first.values() for f in product))
        key = frozenset(map(str, everything))
        return {**first, **self.cross(node, {key: everything}, second)}

    def cross(self, node: Operation, first: _Products, second: _Products) -> _Products:
        if len(first) * len(second) > _MAX_PAIRS:
            raise self.fail(f"the formula has more than {MAX_TERMS:,} terms", node)
        products: _Products = {}
        for left_key, left in first.items():
            for right_key, right in second.items():
                key = left_key | right_key
                if key not in products:
                    products[key] = (*left, *(f for f in right if str(f) not in left_key))
                if len(key) > MAX_ORDER:
                    raise self.fail(f"a product of more than {MAX_ORDER} factors", node)
        if len(products) > MAX_TERMS:
            raise self.fail(f"the formula has more than {MAX_TERMS:,} terms", node)
        return products

    def power(self, node: Operation, base: _Products, exponent: Expression) -> _Products:
        allowed = {str(k): k for k in range(1, MAX_POWER + 1)}
        if str(exponent) not in allowed:
            remedy = f"a whole number from 1 to {MAX_POWER}; for arithmetic write I(x^2)"
            raise self.fail(f"the power of a sum of terms is {remedy}", exponent)
        if len(base) == 1 and str(exponent) != "1":
            # R takes it silently for the term itself, where people mean the square.
            factors = next(iter(base.values()))
            one = " : ".join(map(str, factors))
            meant = f"write I({one}^{exponent})" if len(factors) == 1 else "leave it out"
            raise self.fail(f"this power is {one} crossed with itself: {one}; {meant}", node)
        products = base
        for _ in range(allowed[str(exponent)] - 1):
            products = {**products, **self.cross(node, products, base)}
        return products

    # --- factors ---------------------------------------------------------------------------

    def factor(self, node: Name | Call) -> Expression:
        """A factor of a product, checked: a column, a categorical, a basis or a number."""
        if isinstance(node, Name):
            return node
        if node.function in CATEGORICAL:
            return self.categorical(node)
        if node.function in BASES:
            return self.basis(node)
        if node.function == "offset":
            raise self.fail("offset() has to be a term of its own, joined by +", node)
        self.numeric(node)
        if not names(node):
            raise self.fail("this term uses no column of the data", node)
        return node

    def categorical(self, node: Call) -> Call:
        wants_level = node.function == "ref"
        wanted = 'ref(f, "level")' if wants_level else f"{node.function}(column)"
        kinds: tuple[type, ...] = (Name, Text) if wants_level else (Name,)
        given = node.arguments
        if wants_level and given and isinstance(given[0], Call):
            inner = given[0]
            if inner.function in ("factor", "C"):
                self.categorical(inner)
                given = (*inner.arguments, *given[1:])
        fits = len(given) == len(kinds) and all(map(isinstance, given, kinds))
        if not fits or node.options:
            raise self.fail(f"write {wanted}", node)
        return Call(node.function, given, (), node.position, 2)

    def basis(self, node: Call) -> Call:
        allowed = BASES[node.function]
        if not node.arguments or len(node.arguments) > 1 + len(allowed):
            raise self.fail(f"write {node.function}(x, {allowed[0]})", node)
        x, *rest = node.arguments
        options = dict(zip(allowed, rest, strict=False))
        for name, value in node.options:
            if name not in allowed or name in options:
                raise self.fail(f"{node.function}() has the options {', '.join(allowed)}", value)
            options[name] = value
        for value in options.values():
            if str(value) not in _SIZES:
                raise self.fail(f"this has to be a whole number from 1 to {MAX_BASIS}", value)
        self.numeric(x)
        return node

    def numeric(self, node: Expression) -> Expression:
        """An arithmetic expression, checked: columns, numbers, operators, functions of the tables.

        A function that is in no table is refused here, which is what keeps a formula from
        reaching anything but the data.
        """
        if isinstance(node, Text):
            raise self.fail("a quoted text has no place in arithmetic", node)
        if isinstance(node, Operation):
            if node.operator in ("~", "|", "||", ":"):
                raise self.fail(f"{node.operator!r} has no place in arithmetic", node)
            for operand in node.operands:
                self.numeric(operand)
        elif isinstance(node, Call):
            if node.function in self.functions:
                arguments = node.arguments
                if not arguments or node.options:
                    raise self.fail(f"{node.function}() takes columns, without names", node)
            elif node.function in (*ELEMENTWISE, *STATEFUL, "I"):
                arguments = (self.argument(node),)
            else:
                raise self.unknown(node)
            for argument in arguments:
                self.numeric(argument)
        return node

    def unknown(self, node: Call) -> FormulaError:
        if node.function in (*CATEGORICAL, *BASES, "offset"):
            return self.fail(f"{node.function}() has no place inside arithmetic", node)
        if node.function in (*RESPONSES, *ADDITIONS):
            return self.fail(f"{node.function}() belongs to the response, left of ~", node)
        table = ", ".join((*FUNCTIONS, *self.functions))
        remedy = f"there are {table}; add your own with functions={{...}}"
        hint = dialects.function(node.function)
        remedy = f"{hint}. T{remedy[1:]}" if hint else f": {remedy}"
        return self.fail(f"function {node.function!r} is not allowed{remedy}", node)

    def argument(self, node: Call) -> Expression:
        if len(node.arguments) != 1 or node.options:
            raise self.fail(f"{node.function}() takes one argument", node)
        return node.arguments[0]

    # --- bars ------------------------------------------------------------------------------

    def bars(self, bar: Operation) -> list[Bar]:
        """``(1 | a/b)`` is two bars, ``(1 | a)`` and ``(1 | a:b)``."""
        left, right = bar.operands
        for term in _summands(left):
            if isinstance(term, Call) and term.function == "offset":
                raise self.fail("an offset belongs to the fixed effects", term)
        products = self.side(_summands(left))
        if not products:
            raise self.fail("there is nothing left of this bar", bar)
        separator = bar.operator
        shown = str(left)
        return [
            Bar(products, group, separator == "|", f"({shown} {separator} {':'.join(group)})", at)
            for group, at in self.groups(right)
        ]

    def groups(self, node: Expression) -> list[tuple[tuple[str, ...], int]]:
        inner = _inside(node)
        if isinstance(inner, Call) and inner.function in ("factor", "C"):
            inner = self.categorical(inner).arguments[0]
        if isinstance(inner, Name):
            return [((inner.name,), inner.position)]
        if isinstance(inner, Operation) and inner.operator in ("/", ":"):
            left, right = map(self.groups, inner.operands)
            outer = left[-1][0]
            crossed = [(tuple(dict.fromkeys(outer + g)), at) for g, at in right]
            return crossed if inner.operator == ":" else [*left, *crossed]
        remedy = "g, a:b or a/b; for two groupings write (1 | a) + (1 | b)"
        raise self.fail(f"right of a bar is a column of groups: {remedy}", inner)

    def not_twice(self, bars: list[Bar]) -> None:
        seen: set[tuple[frozenset[str], frozenset[str]]] = set()
        for bar in bars:
            for product in bar.products:
                key = (frozenset(bar.group), frozenset(map(str, product)))
                if key in seen:
                    what = ":".join(map(str, product)) or "the intercept"
                    group = ":".join(bar.group)
                    raise FormulaError(
                        f"the term {bar.text} is given twice: {what} already varies by {group}",
                        self.text,
                        bar.position,
                    )
                seen.add(key)


def _summands(node: Expression) -> tuple[Expression, ...]:
    return node.operands if isinstance(node, Operation) and node.operator == "+" else (node,)


def _inside(node: Expression) -> Expression:
    while isinstance(node, Operation) and node.operator == "()":
        node = node.operands[0]
    return node


def _is_number(node: Expression, text: str) -> bool:
    return isinstance(node, Number) and node.text == text
