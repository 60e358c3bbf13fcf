"""Commands and queries of EC2 on a bare transaction: no store, no loop, no wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from botocore.model import Shape

from elba.call import Answer, Call, Request
from elba.ec2 import commands
from elba.ec2.images import public_parameters
from elba.errors import ApiError
from elba.ids import IdSource
from elba.store.interface import Image, Transaction

ACCOUNT = "123456789012"
REGION = "us-east-1"
AMI = public_parameters(REGION)["/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"]

_MODEL = botocore.session.get_session().get_service_model("ec2")
_OPERATIONS = {xform_name(name): name for name in _MODEL.operation_names}

_LOOSE_ENUMS = {"InstanceType", "AttachmentStatus", "State"}
"""Instance types change faster than the model, which lacks the "available" of internet gateways and VPC endpoints."""

Function = Callable[[Transaction, Call, Request], Answer]


class Account:
    """One account in one region with its default network. Calls check answers against the model."""

    def __init__(self, account: str = ACCOUNT, region: str = REGION, tx: Transaction | None = None) -> None:
        self.tx = tx or Transaction(Image())
        self.ids = IdSource(7)
        self.now = 1_767_225_600.0
        self.account, self.region = account, region
        commands.ensure_defaults(self.tx, self.call)

    @property
    def call(self) -> Call:
        return Call(self.account, self.region, self.now, self.ids)

    def do(self, function: Function, **request: Any) -> Answer:
        answer = function(self.tx, self.call, request)
        check_answer(function.__name__, answer)
        return answer

    def error(self, function: Function, **request: Any) -> ApiError:
        """What `function` raises; nothing of what it did before is kept by a real store."""
        with pytest.raises(ApiError) as caught:
            function(self.tx, self.call, request)
        return caught.value


def check_answer(name: str, answer: Answer) -> None:
    """Every member of `answer` is one of the model's, with the model's type."""
    shape = _MODEL.operation_model(_OPERATIONS[name]).output_shape
    if shape is None:
        assert answer == {}, f"{name} answers nothing"
        return
    problems = list(_misfits(shape, answer, name))
    assert not problems, "; ".join(problems)


def _misfits(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if value is None:
        return
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, Mapping):
            yield f"{path}: no structure"
            return
        members = {xform_name(k): v for k, v in shape.members.items()}
        for key, one in value.items():
            if key not in members:
                yield f"{path}.{key}: not in the model"
            else:
                yield from _misfits(members[key], one, f"{path}.{key}")
    elif kind == "list":
        if not isinstance(value, list):
            yield f"{path}: no list"
            return
        for one in value:
            yield from _misfits(shape.member, one, f"{path}[]")
    else:
        types: dict[str, tuple[type, ...]] = {
            "string": (str,),
            "boolean": (bool,),
            "integer": (int,),
            "long": (int,),
            "float": (float, int),
            "double": (float, int),
            "timestamp": (float, int),
            "blob": (bytes,),
        }
        if not isinstance(value, types[kind]) or (kind in ("integer", "long") and isinstance(value, bool)):
            yield f"{path}: {value!r} is no {kind}"
        enum = getattr(shape, "enum", None)
        if enum and value not in enum and shape.name not in _LOOSE_ENUMS:
            yield f"{path}: {value!r} is none of {enum[:5]}"


def launch(account: Account, **request: Any) -> Answer:
    """RunInstances with defaults; the first instance's answer."""
    merged = {"image_id": AMI, "instance_type": "t3.micro", "min_count": 1, "max_count": 1, **request}
    first: Answer = account.do(commands.run_instances, **merged)["instances"][0]
    return first
