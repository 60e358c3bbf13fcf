"""Metric math as a tree. A hand-written tokenizer and a parser by binding powers; any text gives a tree or an error.

Source: CloudWatch user guide, "Using metric math".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

EXPRESSION_MOST = 2048
DEPTH_MOST = 64
"""Nesting beyond this is refused, so that no input can exhaust the stack."""


class ExpressionError(ValueError):
    """The expression is not valid, or cannot be evaluated on these operands."""


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclass(frozen=True, slots=True)
class Name:
    """An Id of the request (begins lower-case) or a word that a function knows (REPEAT, ASC, …)."""

    value: str


@dataclass(frozen=True, slots=True)
class Array:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    arguments: tuple[Node, ...]


Node = Number | Text | Name | Array | Negation | Binary | Function

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<operator>==|!=|<=|>=|&&|\|\||[-+*/^<>(),\[\]])
    )""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)

_POWER = {"OR": 1, "AND": 2, "==": 3, "!=": 3, "<": 4, ">": 4, "<=": 4, ">=": 4, "+": 5, "-": 5, "*": 6, "/": 6, "^": 8}
_UNARY_POWER = 7
_SAME = {"&&": "AND", "||": "OR"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def _tokens(source: str) -> Iterator[_Token]:
    at, end = 0, len(source.rstrip())
    while at < end:
        match = _TOKEN.match(source, at)
        if match is None or match.lastgroup is None:
            rest = source[at:].lstrip()
            raise ExpressionError(f"Unexpected character '{rest[:1]}' at position {end - len(rest.rstrip())}")
        kind, text = match.lastgroup, match[match.lastgroup]
        if kind == "name" and text.upper() in ("AND", "OR"):
            kind, text = "operator", text.upper()
        yield _Token(kind, _SAME.get(text, text) if kind == "operator" else text, match.start(match.lastgroup))
        at = match.end()


class _Parser:
    def __init__(self, source: str) -> None:
        self._tokens = list(_tokens(source))
        self._next = 0
        self._end = len(source)

    def parse(self) -> Node:
        result = self._expression(0, 0)
        if (token := self._peek()) is not None:
            raise ExpressionError(f"Unexpected '{token.text}' at position {token.at}")
        return result

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self) -> _Token:
        token = self._peek()
        if token is None:
            raise ExpressionError(f"Unexpected end of the expression at position {self._end}")
        self._next += 1
        return token

    def _accept(self, text: str) -> bool:
        token = self._peek()
        if token is not None and token.kind == "operator" and token.text == text:
            self._next += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            token = self._peek()
            found = "the end" if token is None else f"'{token.text}' at position {token.at}"
            raise ExpressionError(f"Expected '{text}' but found {found}")

    def _expression(self, power: int, depth: int) -> Node:
        if depth > DEPTH_MOST:
            raise ExpressionError("The expression is nested too deeply")
        left = self._operand(depth)
        while True:
            token = self._peek()
            if token is None or token.kind != "operator":
                return left
            binding = _POWER.get(token.text, 0)
            if binding <= power:
                return left
            self._next += 1
            # A power binds to the right: 2^3^2 is 2^9.
            right = self._expression(binding - 1 if token.text == "^" else binding, depth + 1)
            left = Binary(token.text, left, right)

    def _operand(self, depth: int) -> Node:
        token = self._take()
        if token.kind == "number":
            value = float(token.text)
            if value == float("inf"):
                raise ExpressionError(f"The number at position {token.at} is too large")
            return Number(value)
        if token.kind == "text":
            return Text(re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL))
        if token.kind == "name":
            if self._accept("("):
                return Function(token.text.upper(), self._list(")", depth))
            return Name(token.text)
        if token.text == "(":
            inner = self._expression(0, depth + 1)
            self._expect(")")
            return inner
        if token.text == "[":
            return Array(self._list("]", depth))
        if token.text == "-":
            return Negation(self._expression(_UNARY_POWER - 1, depth + 1))
        if token.text == "+":
            return self._expression(_UNARY_POWER - 1, depth + 1)
        raise ExpressionError(f"Unexpected '{token.text}' at position {token.at}")

    def _list(self, closing: str, depth: int) -> tuple[Node, ...]:
        items: list[Node] = []
        if self._accept(closing):
            return ()
        while True:
            items.append(self._expression(0, depth + 1))
            if self._accept(closing):
                return tuple(items)
            self._expect(",")


def parse(source: str) -> Node:
    """The tree of an expression. Raises: ExpressionError."""
    if not source.strip():
        raise ExpressionError("The expression is empty")
    if len(source) > EXPRESSION_MOST:
        raise ExpressionError(f"The expression is longer than {EXPRESSION_MOST} characters")
    return _Parser(source).parse()


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    waiting: list[Node] = [node]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Array):
            waiting.extend(node.items)
        elif isinstance(node, Function):
            waiting.extend(node.arguments)
        elif isinstance(node, Binary):
            waiting += (node.left, node.right)
        elif isinstance(node, Negation):
            waiting.append(node.operand)


def names(node: Node) -> set[str]:
    """The Ids that an expression refers to (they begin with a lower-case letter)."""
    return {n.value for n in walk(node) if isinstance(n, Name) and n.value[:1].islower()}


def metrics_taken(node: Node) -> set[str]:
    """For each METRICS() the text that the Ids it takes contain, "" for all."""
    calls = (n.arguments for n in walk(node) if isinstance(n, Function) and n.name == "METRICS")
    return {first.value if isinstance(first := next(iter(args), None), Text) else "" for args in calls}


def functions(node: Node) -> set[str]:
    return {n.name for n in walk(node) if isinstance(n, Function)}
