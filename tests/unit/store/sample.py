"""A resource for tests of the store, which knows no service."""

from typing import ClassVar

from elba.resource import Resource


class Thing(Resource, frozen=True, kw_only=True):
    KIND: ClassVar[str] = "test.thing"

    value: int = 0
    owner: str | None = None

    def parent_id(self) -> str | None:
        return self.owner


def thing(id_: str, value: int = 0, owner: str | None = None) -> Thing:
    return Thing(account="000000000000", region="us-east-1", id=id_, value=value, owner=owner)
