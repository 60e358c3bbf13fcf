"""Composite alarms: the rule's grammar and value, and what a suppressor does with their actions. Pure.

Source: CloudWatch API reference, PutCompositeAlarm; user guide, "Composite alarm action suppression".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from elba.cloudwatch.resources import CompositeAlarm

CHILDREN_MOST = 100
ELEMENTS_MOST = 500
DEPTH_MOST = 100
STATES = ("ALARM", "OK", "INSUFFICIENT_DATA")


class RuleError(ValueError):
    """The text is not an alarm rule."""


@dataclass(frozen=True, slots=True)
class InState:
    """True while the alarm (a name or an ARN) is in the state."""

    state: str
    alarm: str


@dataclass(frozen=True, slots=True)
class Constant:
    value: bool


@dataclass(frozen=True, slots=True)
class Not:
    operand: Rule


@dataclass(frozen=True, slots=True)
class AnyOf:
    operands: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    operands: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class AtLeast:
    """True while `least` of the conditions, or as many percent of them, hold."""

    least: int
    percent: bool
    operands: tuple[Rule, ...]


Rule = InState | Constant | Not | AnyOf | AllOf | AtLeast

_TOKEN = re.compile(r'\s*(?:(?P<mark>[(),])|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<word>[^\s()",]+))', re.DOTALL)
_BEGINNINGS = "'(', 'NOT', AT_LEAST, TRUE or FALSE, ALARM, OK, or INSUFFICIENT_DATA"
_AMOUNT = re.compile(r"([1-9]\d{0,2})(%?)")


class _Parser:
    def __init__(self, source: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._places: list[int] = []
        at, end = 0, len(source.rstrip())
        while at < end:
            match = _TOKEN.match(source, at)
            if match is None or match.lastgroup is None:
                raise RuleError(f"Unsupported token '{source[at:].lstrip()[:1]}' at char {at}")
            text = match[match.lastgroup]
            if match.lastgroup == "quoted":
                text = re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
            self._tokens.append((match.lastgroup, text))
            self._places.append(match.start(match.lastgroup))
            at = match.end()
        self._next = 0
        self._elements = 0

    def parse(self) -> Rule:
        rule = self._or(0)
        if self._elements > ELEMENTS_MOST:
            raise RuleError(f"more than {ELEMENTS_MOST} elements")
        if self._next < len(self._tokens):
            raise self._unsupported(self._next, "'AND' or 'OR'")
        return rule

    def _accept(self, kind: str, text: str) -> bool:
        if self._next < len(self._tokens) and self._tokens[self._next] == (kind, text):
            self._next += 1
            return True
        return False

    def _take(self) -> tuple[str, str]:
        if self._next == len(self._tokens):
            raise RuleError("unexpected end")
        self._next += 1
        return self._tokens[self._next - 1]

    def _or(self, depth: int) -> Rule:
        if depth > DEPTH_MOST:
            raise RuleError("too deeply nested")
        operands = [self._and(depth)]
        while self._accept("word", "OR"):
            operands.append(self._and(depth))
        return operands[0] if len(operands) == 1 else AnyOf(tuple(operands))

    def _and(self, depth: int) -> Rule:
        operands = [self._not(depth)]
        while self._accept("word", "AND"):
            operands.append(self._not(depth))
        return operands[0] if len(operands) == 1 else AllOf(tuple(operands))

    def _not(self, depth: int) -> Rule:
        negative = False
        while self._accept("word", "NOT"):
            negative = not negative
        atom = self._atom(depth)
        return Not(atom) if negative else atom

    def _atom(self, depth: int) -> Rule:
        kind, text = self._take()
        # Alarms, TRUE and FALSE, and pairs of parentheses.
        self._elements += 1
        if (kind, text) == ("mark", "("):
            rule = self._or(depth + 1)
            self._close()
            return rule
        if kind == "word" and text in ("TRUE", "FALSE"):
            return Constant(text == "TRUE")
        if kind == "word" and text in STATES:
            self._expect("(")
            kind, name = self._take()
            if kind == "mark" or not name:
                raise self._unsupported(self._next - 1, "an alarm")
            self._close()
            return InState(text, name)
        if (kind, text) == ("word", "AT_LEAST"):
            return self._at_least()
        raise self._unsupported(self._next - 1, _BEGINNINGS)

    def _at_least(self) -> Rule:
        """`AT_LEAST(2, NOT OK, (a, b, c))`: a number or a percentage, a state, and alarms."""
        self._expect("(")
        _, text = self._take()
        amount = _AMOUNT.fullmatch(text)
        if amount is None or (amount[2] and int(amount[1]) > 100):
            raise self._unsupported(self._next - 1, "a number or a percentage")
        self._expect(",")
        negative = self._accept("word", "NOT")
        kind, state = self._take()
        if kind != "word" or state not in STATES:
            raise self._unsupported(self._next - 1, "ALARM, OK, or INSUFFICIENT_DATA")
        self._expect(",")
        self._expect("(")
        operands: list[Rule] = []
        while not operands or self._accept("mark", ","):
            kind, name = self._take()
            if kind == "mark" or not name:
                raise self._unsupported(self._next - 1, "an alarm")
            operands.append(Not(InState(state, name)) if negative else InState(state, name))
        self._elements += len(operands)
        self._close()
        self._close()
        if not amount[2] and int(amount[1]) > len(operands):
            raise RuleError(f"AT_LEAST of {amount[1]} needs as many alarms")
        return AtLeast(int(amount[1]), bool(amount[2]), tuple(operands))

    def _unsupported(self, token: int, expected: str) -> RuleError:
        """The service's own text."""
        text, place = self._tokens[token][1], self._places[token]
        return RuleError(f"Unsupported token '{text}' at char {place}, must be: {expected}")

    def _expect(self, mark: str) -> None:
        if self._next == len(self._tokens):
            raise RuleError(f"unexpected end, must be: '{mark}'")
        if not self._accept("mark", mark):
            raise self._unsupported(self._next, f"'{mark}'")

    def _close(self) -> None:
        self._expect(")")


@lru_cache(maxsize=4096)
def parse_rule(source: str) -> Rule:
    """The rule. Raises: RuleError."""
    rule = _Parser(source).parse()
    if len(children(rule)) > CHILDREN_MOST:
        raise RuleError(f"more than {CHILDREN_MOST} alarms")
    return rule


def walk(rule: Rule) -> Iterator[Rule]:
    waiting: list[Rule] = [rule]
    while waiting:
        rule = waiting.pop(0)
        yield rule
        if isinstance(rule, Not):
            waiting.append(rule.operand)
        elif isinstance(rule, AnyOf | AllOf | AtLeast):
            waiting.extend(rule.operands)


def children(rule: Rule) -> list[str]:
    """The alarms named, as they are named, without repetition."""
    return list(dict.fromkeys(r.alarm for r in walk(rule) if isinstance(r, InState)))


def alarm_name(reference: str) -> str:
    """The name in a reference, which may be an ARN."""
    return reference.split(":", 6)[6] if reference.startswith("arn:") and reference.count(":") >= 6 else reference


def holds(rule: Rule, state_of: Callable[[str], str | None]) -> bool:
    """The rule's value; an alarm that is gone (`state_of` gives None) is in no state."""
    if isinstance(rule, Constant):
        return rule.value
    if isinstance(rule, InState):
        return state_of(alarm_name(rule.alarm)) == rule.state
    if isinstance(rule, Not):
        return not holds(rule.operand, state_of)
    if isinstance(rule, AnyOf):
        return any(holds(operand, state_of) for operand in rule.operands)
    if isinstance(rule, AtLeast):
        held = sum(holds(operand, state_of) for operand in rule.operands)
        return held * 100 >= rule.least * len(rule.operands) if rule.percent else held >= rule.least
    return all(holds(operand, state_of) for operand in rule.operands)


def long_date(time: float) -> str:
    """`Friday 14 August, 2020 15:56:41 UTC`."""
    return f"{datetime.fromtimestamp(time, UTC):%A %d %B, %Y %H:%M:%S UTC}"


def suppress(alarm: CompositeAlarm, suppressor_state: str | None, now: float) -> tuple[CompositeAlarm, bool]:
    """The alarm with its suppression brought up to date, and whether the actions of its state are to be run now.

    `actions_due` is set when the alarm changed its state, which also dropped any timer.
    """
    if alarm.actions_suppressor is None:
        return _released(alarm), alarm.actions_due
    by = alarm.actions_suppressed_by
    if not alarm.actions_due:
        return alarm, False
    if suppressor_state == "ALARM":
        return _held(alarm, "Alarm", None), False
    if by == "Alarm":
        ends = now + (alarm.actions_suppressor_extension_period or 0)
        alarm = _held(alarm, "ExtensionPeriod", ends)
    elif by is None:
        ends = now + (alarm.actions_suppressor_wait_period or 0)
        alarm = _held(alarm, "WaitPeriod", ends)
    if alarm.suppression_ends is not None and now >= alarm.suppression_ends:
        return _released(alarm), True
    return alarm, False


def _held(alarm: CompositeAlarm, by: str, ends: float | None) -> CompositeAlarm:
    reason = {
        "Alarm": f"Actions suppressed by {alarm.actions_suppressor}, which is in ALARM",
        "WaitPeriod": f"Actions suppressed while waiting for {alarm.actions_suppressor} to go into ALARM",
        "ExtensionPeriod": f"Actions suppressed for a while after {alarm.actions_suppressor} left ALARM",
    }[by]
    return msgspec.structs.replace(
        alarm, actions_suppressed_by=by, actions_suppressed_reason=reason, suppression_ends=ends
    )


def _released(alarm: CompositeAlarm) -> CompositeAlarm:
    return msgspec.structs.replace(
        alarm,
        actions_due=False,
        actions_suppressed_by=None,
        actions_suppressed_reason=None,
        suppression_ends=None,
    )
