"""The access keys that Elba knows: the root key of its settings, and those in the store."""

from __future__ import annotations

from collections.abc import Iterable

from elba.config import RootKey
from elba.iam.resources import GLOBAL, AccessKey
from elba.resource import Key
from elba.store.interface import Store


class KnownKeys:
    """Finds a key by its id alone, whichever account owns it."""

    def __init__(self, store: Store, root: RootKey | None) -> None:
        self._store = store
        self._root: AccessKey | None = None
        if root is not None:
            self._root = AccessKey(
                account=root.account,
                region=GLOBAL,
                id=root.access_key_id,
                secret_access_key=str.__str__(root.secret_access_key),
                owner_arn=root_arn(root.account),
                owner_id=root.account,
            )
        self._accounts = {key.id: key.account for key in store.view.all(AccessKey)}
        store.subscribe(self._changed)

    def find(self, access_key_id: str) -> AccessKey | None:
        """The key, or None."""
        if self._root is not None and self._root.id == access_key_id:
            return self._root
        account = self._accounts.get(access_key_id)
        return None if account is None else self._store.view.get(AccessKey, account, GLOBAL, access_key_id)

    def _changed(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if key.kind == AccessKey.KIND:
                if self._store.view.get(AccessKey, key.account, key.region, key.id) is None:
                    self._accounts.pop(key.id, None)
                else:
                    self._accounts[key.id] = key.account


def root_arn(account: str) -> str:
    """ARN of an account's root user."""
    return f"arn:aws:iam::{account}:root"
