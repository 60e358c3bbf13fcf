"""What an account has once: its alias and its password policy (which nobody here logs in by)."""

from __future__ import annotations

from msgspec.structs import replace

from elba.call import Answer, Call, Request
from elba.iam.names import already_exists, no_such_entity
from elba.iam.resources import GLOBAL, AccountSettings
from elba.store.interface import Transaction, View

_DEFAULTS: dict[str, int | bool] = {
    "minimum_password_length": 6,
    "require_symbols": False,
    "require_numbers": False,
    "require_uppercase_characters": False,
    "require_lowercase_characters": False,
    "allow_users_to_change_password": False,
}


def settings_of(view: View, account: str) -> AccountSettings:
    """The account's settings, also where none were made."""
    found = view.get(AccountSettings, account, GLOBAL, "account")
    return found or AccountSettings(account=account, region=GLOBAL, id="account")


def create_account_alias(tx: Transaction, call: Call, request: Request) -> Answer:
    """Replaces the account's alias. Raises: ApiError EntityAlreadyExists for another account's."""
    alias = request["account_alias"]
    if any(each.alias == alias and each.account != call.account for each in tx.all(AccountSettings)):
        raise already_exists(f"The account alias {alias} already exists.")
    tx.put(replace(settings_of(tx, call.account), alias=alias))
    return {}


def delete_account_alias(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    settings = settings_of(tx, call.account)
    if settings.alias != request["account_alias"]:
        raise no_such_entity(f"The account alias with name {request['account_alias']} cannot be found.")
    tx.put(replace(settings, alias=""))
    return {}


def update_account_password_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """What the request does not name gets its default, whatever it was."""
    policy = {**_DEFAULTS, **{name: value for name, value in request.items() if value is not None}}
    tx.put(replace(settings_of(tx, call.account), password_policy=policy))
    return {}


def delete_account_password_policy(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError NoSuchEntity."""
    settings = settings_of(tx, call.account)
    if settings.password_policy is None:
        raise no_such_entity("The account policy with name PasswordPolicy cannot be found.")
    tx.put(replace(settings, password_policy=None))
    return {}
