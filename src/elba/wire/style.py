"""What differs between services that speak the same protocol, and the wire layer's own exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

QUERY = "query"
EC2 = "ec2"
JSON = "json"
REST_JSON = "rest-json"
REST_XML = "rest-xml"
CBOR = "smithy-rpc-v2-cbor"


@dataclass(frozen=True, slots=True)
class Style:
    """How one service words and reads what the protocol leaves open.

    `validation_code` answers broken model constraints, `missing_code` (if any) absent required members.
    `empty_is_absent`: an empty query parameter means that it was not sent, but for members named in
    `keep_empty`. `unchecked_enums` are shapes whose enum the service's own commands judge, `unchecked_operations`
    operations of which they judge everything.
    `milliseconds` tells whether its XML timestamps carry them, but for those of the structures in `whole_seconds`.
    `query_codes`: the old query codes of errors, by their
    present names, for a service whose JSON model no longer has them. `root_names`: the root elements of REST-XML
    answers, by operation, where the model does not name them.
    """

    validation_code: str = "ValidationError"
    missing_code: str = ""
    empty_is_absent: bool = False
    keep_empty: frozenset[str] = frozenset()
    unchecked_enums: frozenset[str] = frozenset()
    unchecked_operations: frozenset[str] = frozenset()
    milliseconds: bool = True
    whole_seconds: frozenset[str] = frozenset()
    query_codes: Mapping[str, str] = field(default_factory=dict, hash=False)
    root_names: Mapping[str, str] = field(default_factory=dict, hash=False)


class Malformed(Exception):
    """Bytes or a value that cannot be what the model says. Turned into an ApiError by `Operation.parse`.

    `path` are the members' wire names and list indices that lead to the value, outermost first.
    """

    def __init__(self, message: str, path: tuple[str | int, ...] = (), value: object = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.value = value

    def under(self, *outer: str | int) -> Malformed:
        """The same, seen from further out."""
        self.path = (*outer, *self.path)
        return self


class AnswerError(TypeError):
    """An operation's answer that its model does not allow: a programming error of ours."""
