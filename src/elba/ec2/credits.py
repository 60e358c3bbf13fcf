"""CPU credits of burstable instances: earned by the hour, spent by the vCPU minute. Pure.

They are counted, not enforced: Elba throttles nobody. Source: EC2 user guide, "Key concepts for burstable performance
instances" (credits per hour and instance type; a day's worth is the most that accrues).
"""

from __future__ import annotations

from elba.ec2.resources import CpuCredits

HOURS_KEPT = 24
_T3 = {"nano": 6.0, "micro": 12.0, "small": 24.0, "medium": 24.0, "large": 36.0, "xlarge": 96.0, "2xlarge": 192.0}
_T2 = {"nano": 3.0, "micro": 6.0, "small": 12.0, "medium": 24.0, "large": 36.0, "xlarge": 54.0, "2xlarge": 81.6}
LAUNCH_CREDITS_PER_VCPU = 30.0
"""t2 instances begin with so many; those of the later families begin with none."""


def earned_per_hour(instance_type: str) -> float:
    """Credits; 0 for a type that has none."""
    family, _, size = instance_type.partition(".")
    return (_T2 if family == "t2" else _T3).get(size, 0.0) if family.startswith("t") else 0.0


def at_launch(instance_type: str, vcpus: int) -> float:
    """The balance of an instance that begins."""
    return LAUNCH_CREDITS_PER_VCPU * vcpus if instance_type.startswith("t2.") else 0.0


def account(before: CpuCredits, instance_type: str, seconds: float, used: float, *, unlimited: bool) -> CpuCredits:
    """The balances after `seconds` in which `used` credits were spent.

    What is earned first pays back the surplus. An unlimited instance goes on with surplus credits when the balance is
    spent, and is charged for those beyond a day's earnings; a standard one stays at nothing.
    """
    rate = earned_per_hour(instance_type)
    most = rate * HOURS_KEPT
    balance, surplus, charged = before.balance, before.surplus, 0.0
    change = rate * seconds / 3600 - used
    if change > 0:
        paid_back = min(surplus, change)
        surplus -= paid_back
        balance = max(balance, min(most, balance + change - paid_back))
    else:
        balance += change
        if balance < 0:
            surplus += -balance if unlimited else 0.0
            balance = 0.0
        if surplus > most:
            charged, surplus = surplus - most, most
    return CpuCredits(
        account=before.account,
        region=before.region,
        id=before.id,
        balance=balance,
        surplus=surplus,
        charged=charged,
        used=used,
    )
