"""The refusals of Auto Scaling in AWS's own words, one function each. Source: autoscaling API, observed messages."""

from __future__ import annotations

from elba.errors import ApiError


def validation(message: str) -> ApiError:
    return ApiError("ValidationError", message)


def group_exists(name: str) -> ApiError:
    return ApiError(
        "AlreadyExists",
        f"AutoScalingGroup by this name already exists - A group with the name {name} already exists",
    )


def launch_configuration_exists(name: str) -> ApiError:
    return ApiError(
        "AlreadyExists",
        "Launch Configuration by this name already exists - "
        f"A launch configuration already exists with the name {name}",
    )


def group_unknown(name: str) -> ApiError:
    return validation(f"AutoScalingGroup name not found - AutoScalingGroup {name} not found")


def tagged_group_unknown(name: str) -> ApiError:
    return validation(f"AutoScalingGroup not found - AutoScaling Group {name} not found")


def launch_configuration_unknown(name: str) -> ApiError:
    return validation(f"Launch configuration name not found - Launch configuration {name} not found")


def instance_unknown(instance_id: str) -> ApiError:
    return validation(f"Instance Id not found - No managed instance found for instance ID {instance_id}")


def policy_unknown(name: str) -> ApiError:
    return validation(f"PolicyName not found - There is no scaling policy named {name}")


def not_a_member(instance_id: str, group_name: str) -> ApiError:
    return validation(f"The instance {instance_id} is not part of Auto Scaling group {group_name}.")


def group_not_empty() -> ApiError:
    return ApiError(
        "ResourceInUse",
        "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
        "still in the group.",
    )


def group_busy() -> ApiError:
    return ApiError(
        "ScalingActivityInProgress",
        "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.",
    )


def cooling(group_name: str) -> ApiError:
    return ApiError(
        "ScalingActivityInProgress",
        f"Scaling activity for AutoScalingGroup {group_name} is in progress or cooldown is active.",
    )


def limit(message: str) -> ApiError:
    return ApiError("LimitExceeded", message)


def constraint(value: object, field: str, rule: str) -> ApiError:
    """The generic text of model violations that the model itself does not state."""
    return validation(
        f"1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: Member must {rule}"
    )


def sizes(group_name: str, minimum: int, maximum: int, desired: int, verb: str, count: int) -> ApiError:
    noun = "instance" if count == 1 else "instances"
    return validation(
        f"AutoScalingGroup {group_name} has min-size={minimum}, max-size={maximum}, and desired-size={desired}. "
        f"To {verb} {count} {noun}, please update the AutoScalingGroup sizes appropriately."
    )
