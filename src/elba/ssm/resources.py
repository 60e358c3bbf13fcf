"""Parameter Store's resources."""

from __future__ import annotations

from typing import ClassVar

from elba.resource import Resource


class Parameter(Resource, frozen=True, kw_only=True):
    """A parameter at its latest version. `id` is its name."""

    KIND: ClassVar[str] = "ssm.parameter"

    type: str
    value: str
    version: int
    last_modified: float
    modified_by: str
    description: str = ""
    key_id: str = ""
    allowed_pattern: str = ""
    tier: str = "Standard"
    data_type: str = "text"
    tags: dict[str, str] = {}

    @property
    def arn(self) -> str:
        return f"arn:aws:ssm:{self.region}:{self.account}:parameter/{self.id.removeprefix('/')}"


class ParameterVersion(Resource, frozen=True, kw_only=True):
    """What a parameter was at one version. `id` is its name, a colon and the version."""

    KIND: ClassVar[str] = "ssm.parameter_version"

    parameter: Parameter

    def parent_id(self) -> str:
        return self.parameter.id
