"""Lambda's stored resources. Types only; the code itself is kept by `lambda_.interface.Functions`, by its digest."""

from __future__ import annotations

from typing import Any, ClassVar

from elba.resource import Resource

LATEST = "$LATEST"


class Function(Resource, frozen=True, kw_only=True):
    """One version of a function. `id` is the name for $LATEST, `<name>:<number>` for a published version."""

    KIND: ClassVar[str] = "lambda.function"

    name: str
    version: str = LATEST
    role: str
    runtime: str
    handler: str
    code_sha256: str
    """Base64 of the zip file's digest, as the API shows it."""
    code_size: int
    timeout: int = 3
    memory_size: int = 128
    description: str = ""
    environment: dict[str, str] | None = None
    architectures: tuple[str, ...] = ("x86_64",)
    settings: dict[str, Any] = {}
    """Members that are stored and shown as they were given: DeadLetterConfig, TracingConfig, VpcConfig and so on."""
    last_modified: float = 0.0
    revision_id: str = ""
    last_published: int = 0
    reserved_concurrency: int | None = None
    tags: dict[str, str] = {}

    @property
    def unqualified_arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.name}"

    @property
    def arn(self) -> str:
        """With the version's number, if it has one."""
        return self.unqualified_arn if self.version == LATEST else f"{self.unqualified_arn}:{self.version}"

    def parent_id(self) -> str:
        return self.name


class Alias(Resource, frozen=True, kw_only=True):
    """`id` is `<function>:<alias>`. `weights`: share of invocations that go to further versions."""

    KIND: ClassVar[str] = "lambda.alias"

    function_name: str
    name: str
    function_version: str
    description: str = ""
    weights: dict[str, float] = {}
    revision_id: str = ""

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.id}"

    def parent_id(self) -> str:
        return self.function_name


class ResourcePolicy(Resource, frozen=True, kw_only=True):
    """Who may invoke. `id` is `<function>` or `<function>:<qualifier>`; statements in AWS's JSON form."""

    KIND: ClassVar[str] = "lambda.resource_policy"

    function_name: str
    statements: list[dict[str, Any]] = []
    revision_id: str = ""

    def parent_id(self) -> str:
        return self.function_name


class Invocation(Resource, frozen=True, kw_only=True):
    """An asynchronous invocation not yet done; `id` is its request id. Tried three times in all."""

    KIND: ClassVar[str] = "lambda.invocation"

    function_name: str
    qualifier: str = ""
    payload: bytes
    attempts: int = 0
    accepted: float = 0.0
    not_before: float = 0.0

    def parent_id(self) -> str:
        return self.function_name
