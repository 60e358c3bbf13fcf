"""SEARCH's query language: which metrics match `{Namespace,Dim} MetricName="X" term`. Pure.

Unquoted words match tokens (a name split at non-alphanumerics and at humps), quoted ones a whole name, without regard
to case and exactly, respectively. AND is the default; NOT binds closest, then AND, then OR.
Source: CloudWatch user guide, "CloudWatch search expression syntax".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from elba.cloudwatch.expressions.parser import ExpressionError
from elba.cloudwatch.metric import Metric

QUERY_MOST = 1024
DEPTH_MOST = 32
FOUND_MOST = 500

Matcher = Callable[[Metric], bool]

_TOKEN = re.compile(r"""\s*(?:(?P<mark>[(){},=])|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<word>[^\s(){},="]+))""", re.DOTALL)
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def _tokenize(query: str) -> list[_Token]:
    result: list[_Token] = []
    at, end = 0, len(query.rstrip())
    while at < end:
        match = _TOKEN.match(query, at)
        if match is None or match.lastgroup is None:
            raise ExpressionError(f"The search has an unexpected character at position {at}")
        text = match[match.lastgroup]
        result.append(_Token(match.lastgroup, re.sub(r"\\(.)", r"\1", text) if match.lastgroup == "quoted" else text))
        at = match.end()
    return result


@lru_cache(maxsize=65536)
def _parts(name: str) -> frozenset[str]:
    """The tokens a name is found by, in lower case: its humps, its pieces between punctuation, and itself."""
    pieces = [piece for piece in re.split(r"[^A-Za-z0-9]+", name) if piece]
    return frozenset(
        text.lower() for text in [name, *pieces, *(part for piece in pieces for part in _PART.findall(piece))]
    )


def _property(metric: Metric, name: str) -> list[str]:
    if name == "MetricName":
        return [metric.name]
    if name == "Namespace":
        return [metric.namespace]
    if name == ":aws.AccountId":
        return [metric.identity[0], "LOCAL"]
    return [value for dimension, value in metric.dimensions if dimension == name]


def _everything(metric: Metric) -> list[str]:
    return [metric.namespace, metric.name, *(text for pair in metric.dimensions for text in pair)]


class _Parser:
    def __init__(self, query: str) -> None:
        self._tokens = _tokenize(query)
        self._next = 0

    def parse(self) -> Matcher:
        schema = self._schema()
        terms = self._or(None, 0) if self._next < len(self._tokens) else None
        if self._next < len(self._tokens):
            raise ExpressionError(f"The search has an unexpected '{self._tokens[self._next].text}'")
        if schema is None:
            if terms is None:
                raise ExpressionError("The search is empty")
            return terms
        namespace, names = schema
        wanted = sorted(names)

        def matches(metric: Metric) -> bool:
            # Dimensions are in order of their names. A search may look at every metric there is: no sets, no copies.
            _, _, own, _, dimensions = metric.identity
            return (
                own == namespace
                and len(dimensions) == len(wanted)
                and [pair[0] for pair in dimensions] == wanted
                and (terms is None or terms(metric))
            )

        return matches

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _mark(self, text: str) -> bool:
        if self._peek() == _Token("mark", text):
            self._next += 1
            return True
        return False

    def _word(self, text: str) -> bool:
        if self._peek() == _Token("word", text):
            self._next += 1
            return True
        return False

    def _text(self) -> _Token:
        token = self._peek()
        if token is None or token.kind == "mark":
            raise ExpressionError("The search ends early" if token is None else f"Unexpected '{token.text}' in search")
        self._next += 1
        return token

    def _schema(self) -> tuple[str, set[str]] | None:
        if not self._mark("{"):
            return None
        found = [self._text().text]
        while self._mark(","):
            found.append(self._text().text)
        if not self._mark("}"):
            raise ExpressionError("The search's schema has no closing brace")
        return found[0], set(found[1:])

    def _or(self, scope: str | None, depth: int) -> Matcher:
        if depth > DEPTH_MOST:
            raise ExpressionError("The search is nested too deeply")
        choices = [self._and(scope, depth)]
        while self._word("OR"):
            choices.append(self._and(scope, depth))
        return choices[0] if len(choices) == 1 else lambda metric: any(choice(metric) for choice in choices)

    def _and(self, scope: str | None, depth: int) -> Matcher:
        needed = [self._not(scope, depth)]
        while (token := self._peek()) is not None and token not in (_Token("mark", ")"), _Token("word", "OR")):
            self._word("AND")
            needed.append(self._not(scope, depth))
        return needed[0] if len(needed) == 1 else lambda metric: all(need(metric) for need in needed)

    def _not(self, scope: str | None, depth: int) -> Matcher:
        negative = False
        while self._word("NOT"):
            negative = not negative
        matcher = self._atom(scope, depth)
        return (lambda metric: not matcher(metric)) if negative else matcher

    def _atom(self, scope: str | None, depth: int) -> Matcher:
        if self._mark("("):
            inner = self._or(scope, depth + 1)
            if not self._mark(")"):
                raise ExpressionError("The search has an unclosed parenthesis")
            return inner
        token = self._text()
        if scope is None and self._mark("="):
            return self._atom(token.text, depth)
        return _term(token, scope)


def _term(token: _Token, scope: str | None) -> Matcher:
    def texts(metric: Metric) -> list[str]:
        return _everything(metric) if scope is None else _property(metric, scope)

    if token.kind == "quoted":
        whole = token.text
        if scope is not None:
            return lambda metric: whole in _property(metric, scope)

        def anywhere(metric: Metric) -> bool:
            _, _, namespace, name, dimensions = metric.identity
            return whole in (namespace, name) or any(whole in pair for pair in dimensions)

        return anywhere
    wanted = token.text.lower()
    return lambda metric: any(wanted in _parts(text) for text in texts(metric))


@lru_cache(maxsize=256)
def parse_search(query: str) -> Matcher:
    """True for the metrics that `query` finds. Raises: ExpressionError."""
    if len(query) > QUERY_MOST:
        raise ExpressionError(f"The search is longer than {QUERY_MOST} characters")
    return _Parser(query).parse()
