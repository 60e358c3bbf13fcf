"""Serves each running instance its metadata on the instance's own host address."""

from __future__ import annotations

from collections.abc import Mapping

from elba.parts import Parts


class MetadataService:
    """Opens and closes listeners as instances come and go."""

    name = "ec2.metadata"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self) -> None:
        return None

    def take_requests_without_token(self) -> Mapping[str, int]:
        return {}
