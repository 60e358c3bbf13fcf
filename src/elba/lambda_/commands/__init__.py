"""Lambda's commands."""

from elba.lambda_.commands.access import (
    add_permission,
    create_alias,
    delete_alias,
    remove_permission,
    update_alias,
)
from elba.lambda_.commands.functions import (
    create_function,
    delete_function,
    delete_function_concurrency,
    enqueue,
    publish_version,
    put_function_concurrency,
    tag_resource,
    untag_resource,
    update_function_code,
    update_function_configuration,
)

__all__ = [
    "add_permission",
    "create_alias",
    "create_function",
    "delete_alias",
    "delete_function",
    "delete_function_concurrency",
    "enqueue",
    "publish_version",
    "put_function_concurrency",
    "remove_permission",
    "tag_resource",
    "untag_resource",
    "update_alias",
    "update_function_code",
    "update_function_configuration",
]
