"""Key pairs. Elba keeps the public half only, as EC2 does."""

from __future__ import annotations

from elba.call import Answer, Call, Request
from elba.ec2.faults import missing
from elba.ec2.key_material import KeyMaterial, parse_public_key
from elba.ec2.resources import KeyPair
from elba.ec2.tagging import specified_tags, tag_list
from elba.errors import ApiError
from elba.store.interface import Transaction


def _put(tx: Transaction, call: Call, request: Request, material: KeyMaterial) -> Answer:
    """Raises: ApiError InvalidKeyPair.Duplicate, MissingParameter."""
    tags = specified_tags(request, "key-pair")["key-pair"]
    name = request.get("key_name") or ""
    if not name:
        raise missing("KeyName")
    if len(name) > 255 or not name.isascii():
        raise ApiError("InvalidParameterValue", "Key names have up to 255 ASCII characters.")
    if name != name.strip():
        raise ApiError("InvalidParameterValue", f"Invalid value '{name}' for keyName. It should be trimmed")
    if any(k.key_name == name for k in tx.all(KeyPair, call.account, call.region)):
        raise ApiError("InvalidKeyPair.Duplicate", f"The keypair '{name}' already exists.")
    pair = KeyPair(
        account=call.account,
        region=call.region,
        id=call.ids.ec2("key"),
        key_name=name,
        key_fingerprint=material.fingerprint,
        key_type=material.key_type,
        public_key=f"{material.public_key} {name}",
        create_time=call.now,
        tags=tags,
    )
    tx.put(pair)
    return {
        "key_pair_id": pair.id,
        "key_name": pair.key_name,
        "key_fingerprint": pair.key_fingerprint,
        "tags": tag_list(tags),
    }


def check_format(request: Request) -> None:
    """Raises: ApiError InvalidParameterValue for what CreateKeyPair cannot make."""
    if request.get("key_type") not in (None, "rsa", "ed25519"):
        raise ApiError("InvalidParameterValue", f"Invalid value '{request['key_type']}' for KeyType.")
    if request.get("key_format") not in (None, "pem"):
        raise ApiError("InvalidParameterValue", "Elba makes keys in PEM format only (KeyFormat=pem).")


def create_key_pair(tx: Transaction, call: Call, request: Request) -> Answer:
    """`request["material"]` is the new key pair, which the operation made: commands have no randomness of their own."""
    material: KeyMaterial = request["material"]
    return {**_put(tx, call, request, material), "key_material": material.private_key}


def import_key_pair(tx: Transaction, call: Call, request: Request) -> Answer:
    """Raises: ApiError InvalidKey.Format, InvalidKeyPair.Duplicate."""
    return _put(tx, call, request, parse_public_key(request["public_key_material"]))


def delete_key_pair(tx: Transaction, call: Call, request: Request) -> Answer:
    """By name or id. A name that is not there is no error; an id is."""
    id_, name = request.get("key_pair_id"), request.get("key_name")
    if not id_ and not name:
        raise missing("KeyName or KeyPairId")
    for pair in tx.all(KeyPair, call.account, call.region):
        if pair.id == id_ or (not id_ and pair.key_name == name):
            tx.delete(pair)
            return {"return": True, "key_pair_id": pair.id}
    if id_:
        raise ApiError("InvalidKeyPair.NotFound", f"The key pair ID '{id_}' does not exist")
    return {"return": True}
