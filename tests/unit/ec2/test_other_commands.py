"""Launch templates, images, key pairs, tags, placement groups: what each makes and refuses."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization

from elba.ec2 import commands
from elba.ec2.commands import images, key_pairs, launch_templates, placement_groups, profile_associations, tags, vpcs
from elba.ec2.images import built_in_images
from elba.ec2.instance_types import TYPES
from elba.ec2.key_material import generate
from elba.ec2.queries import images as show_images
from elba.ec2.queries import key_pairs as show_key_pairs
from elba.ec2.queries import launch_templates as show
from elba.ec2.queries import placement_groups as show_placement_groups
from elba.ec2.queries import profile_associations as show_associations
from elba.ec2.queries import storage, types
from elba.ec2.queries import tags as show_tags
from elba.ec2.resources import Image, Instance
from elba.iam.resources import InstanceProfile

from .kit import ACCOUNT, AMI, REGION, Account, launch

DATA = {"image_id": AMI, "instance_type": "t3.micro"}


@pytest.fixture
def account() -> Account:
    return Account()


def a_template(account: Account, name: str = "web", **data: Any) -> str:
    answer = account.do(
        launch_templates.create_launch_template, launch_template_name=name, launch_template_data={**DATA, **data}
    )
    id_: str = answer["launch_template"]["launch_template_id"]
    return id_


def a_version(account: Account, template: str, **request: Any) -> int:
    answer = account.do(launch_templates.create_launch_template_version, launch_template_id=template, **request)
    number: int = answer["launch_template_version"]["version_number"]
    return number


# ── launch templates ─────────────────────────────────────────────────────────────────────────────────────


def test_versions_are_numbered_on_and_never_reused(account: Account) -> None:
    template = a_template(account)
    assert a_version(account, template, launch_template_data={"instance_type": "t3.small"}) == 2
    assert a_version(account, template, source_version="1", launch_template_data={"key_name": "k"}) == 3
    account.do(launch_templates.delete_launch_template_versions, launch_template_id=template, versions=["3"])
    assert a_version(account, template, launch_template_data=DATA) == 4
    versions = account.do(show.describe_launch_template_versions, launch_template_id=template)
    assert [v["version_number"] for v in versions["launch_template_versions"]] == [4, 2, 1]
    assert versions["launch_template_versions"][1]["launch_template_data"] == {"instance_type": "t3.small"}


def test_a_source_version_is_the_base_of_the_new_one(account: Account) -> None:
    template = a_template(account)
    a_version(account, template, source_version="$Latest", launch_template_data={"instance_type": "t3.small"})
    resolved, version = commands.resolve_launch_template(
        account.tx, account.call, {"launch_template_id": template, "version": "$Latest"}
    )
    assert version.data == {"image_id": AMI, "instance_type": "t3.small"}
    assert resolved.default_version_number == 1


@pytest.mark.parametrize(("version", "number"), [("$Default", 1), ("$Latest", 2), ("2", 2), ("", 1), (None, 1)])
def test_versions_have_names(account: Account, version: str | None, number: int) -> None:
    template = a_template(account)
    a_version(account, template, launch_template_data=DATA)
    spec = {"launch_template_name": "web", "version": version}
    assert commands.resolve_launch_template(account.tx, account.call, spec)[1].version_number == number


def test_the_default_version_is_set_by_number(account: Account) -> None:
    template = a_template(account)
    a_version(account, template, launch_template_data=DATA)
    answer = account.do(launch_templates.modify_launch_template, launch_template_id=template, default_version="2")
    assert answer["launch_template"]["default_version_number"] == 2
    for wrong, code in (("$Latest", "InvalidParameterValue"), ("9", "InvalidLaunchTemplateId.VersionNotFound")):
        error = account.error(
            launch_templates.modify_launch_template, launch_template_id=template, default_version=wrong
        )
        assert error.code == code


def test_the_default_version_cannot_be_deleted(account: Account) -> None:
    template = a_template(account)
    answer = account.do(
        launch_templates.delete_launch_template_versions, launch_template_id=template, versions=["1", "7"]
    )
    assert answer["successfully_deleted_launch_template_versions"] == []
    assert [v["version_number"] for v in answer["unsuccessfully_deleted_launch_template_versions"]] == [1, 7]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"launch_template_name": "web"}, "InvalidLaunchTemplateName.AlreadyExistsException"),
        ({"launch_template_name": "ab"}, "InvalidLaunchTemplateName.MalformedException"),
        ({"launch_template_name": "a b c"}, "InvalidLaunchTemplateName.MalformedException"),
        ({"launch_template_data": {}}, "MissingParameter"),
        ({"launch_template_data": {"user_data": "%%"}}, "InvalidUserData.Malformed"),
        (
            {"launch_template_data": {"instance_type": "t3.micro", "instance_requirements": {"a": 1}}},
            "InvalidParameterCombination",
        ),
        ({"version_description": "x" * 256}, "InvalidParameterValue"),
        ({"tag_specifications": [{"resource_type": "instance", "tags": []}]}, "InvalidParameterValue"),
    ],
)
def test_bad_templates(account: Account, request_: dict[str, Any], code: str) -> None:
    a_template(account)
    request = {"launch_template_name": "new", "launch_template_data": DATA, **request_}
    error = account.error(launch_templates.create_launch_template, **request)
    assert error.code == code
    if code.endswith("AlreadyExistsException"):
        assert error.message == "Launch template name already in use."


def test_a_client_token_makes_one_template(account: Account) -> None:
    request = {"launch_template_name": "web", "launch_template_data": DATA, "client_token": "t"}
    first = account.do(launch_templates.create_launch_template, **request)
    assert account.do(launch_templates.create_launch_template, **request) == first


@pytest.mark.parametrize(
    ("request_", "numbers"),
    [
        ({"versions": ["$Latest"]}, [3]),
        ({"versions": ["$Default", "$Latest"]}, [3, 1]),
        ({"versions": ["1", "2"]}, [2, 1]),
        ({"min_version": "2"}, [3, 2]),
        ({"min_version": "2", "max_version": "2"}, [2]),
        ({"filters": [{"name": "instance-type", "values": ["t3.small"]}]}, [2]),
        ({"filters": [{"name": "is-default-version", "values": ["true"]}]}, [1]),
    ],
)
def test_versions_are_described(account: Account, request_: dict[str, Any], numbers: list[int]) -> None:
    template = a_template(account)
    a_version(account, template, launch_template_data={"instance_type": "t3.small"})
    a_version(account, template, launch_template_data=DATA)
    answer = account.do(show.describe_launch_template_versions, launch_template_id=template, **request_)
    assert [v["version_number"] for v in answer["launch_template_versions"]] == numbers


def test_latest_versions_of_all_templates(account: Account) -> None:
    a_template(account, "one")
    a_version(account, a_template(account, "two"), launch_template_data=DATA)
    answer = account.do(show.describe_launch_template_versions, versions=["$Latest"])
    found = [(v["launch_template_name"], v["version_number"]) for v in answer["launch_template_versions"]]
    assert found == [("one", 1), ("two", 2)]
    assert account.error(show.describe_launch_template_versions).code == "MissingParameter"


def test_templates_are_found_by_name_and_id_and_absent_ones_named(account: Account) -> None:
    template = a_template(account)
    for request in ({"launch_template_ids": [template]}, {"launch_template_names": ["web"]}):
        assert len(account.do(show.describe_launch_templates, **request)["launch_templates"]) == 1
    error = account.error(show.describe_launch_templates, launch_template_names=["absent"])
    assert error.code == "InvalidLaunchTemplateName.NotFoundException"
    account.do(launch_templates.delete_launch_template, launch_template_name="web")
    error = account.error(show.describe_launch_templates, launch_template_ids=[template])
    assert error.code == "InvalidLaunchTemplateId.NotFound"
    both = {"launch_template_id": template, "launch_template_name": "web"}
    assert account.error(launch_templates.delete_launch_template, **both).code == "InvalidParameterCombination"


# ── images ───────────────────────────────────────────────────────────────────────────────────────────────

LOOK_UPS = [
    ({"owners": ["amazon"]}, "al2023-ami-2023.*-kernel-6.1-x86_64"),
    ({"owners": ["137112412989"]}, "al2023-ami-2023*"),
    ({"owners": ["amazon"]}, "amzn2-ami-hvm-*-x86_64-gp2"),
    ({"owners": ["amazon"]}, "amzn2-ami-kernel-5.10-hvm-2.0.*-x86_64-gp2"),
    ({"owners": ["099720109477"]}, "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"),
    ({"owners": ["099720109477"]}, "ubuntu/images/*/ubuntu-noble-24.04-amd64-server-*"),
    ({"owners": ["136693071363"]}, "debian-12-amd64-*"),
    ({}, "al2023-ami-2023.*-arm64"),
]


@pytest.mark.parametrize(("request_", "name"), LOOK_UPS)
def test_usual_look_ups_find_an_image(account: Account, request_: dict[str, Any], name: str) -> None:
    filters = [
        {"name": "name", "values": [name]},
        {"name": "virtualization-type", "values": ["hvm"]},
        {"name": "root-device-type", "values": ["ebs"]},
        {"name": "state", "values": ["available"]},
    ]
    found = account.do(show_images.describe_images, filters=filters, **request_)["images"]
    assert found
    newest = max(found, key=lambda i: i["creation_date"])
    arch = newest["architecture"]
    assert launch(account, image_id=newest["image_id"], instance_type="t3.micro" if arch == "x86_64" else "t4g.micro")


def test_built_in_images_differ_between_regions_and_stay_the_same() -> None:
    assert not set(built_in_images("us-east-1")) & set(built_in_images("eu-west-1"))
    assert AMI in built_in_images("us-east-1")


def test_an_image_of_an_instance(account: Account) -> None:
    instance = launch(account)["instance_id"]
    stored = account.tx.get(Instance, ACCOUNT, REGION, instance)
    assert stored is not None
    account.tx.put(msgspec.structs.replace(stored, state="running"))
    request = {"instance_id": instance, "name": "mine"}
    image = account.do(images.create_image, **request)["image_id"]
    rebooted = account.tx.get(Instance, ACCOUNT, REGION, instance)
    assert rebooted is not None and rebooted.boots == 1
    assert account.error(images.create_image, **request).code == "InvalidAMIName.Duplicate"
    account.do(images.create_image, instance_id=instance, name="other", no_reboot=True)
    assert rebooted == account.tx.get(Instance, ACCOUNT, REGION, instance)
    (shown,) = account.do(show_images.describe_images, image_ids=[image])["images"]
    assert (shown["state"], shown["owner_id"], shown["public"]) == ("pending", ACCOUNT, False)
    snapshot = shown["block_device_mappings"][0]["ebs"]["snapshot_id"]
    assert account.error(images.delete_snapshot, snapshot_id=snapshot).code == "InvalidSnapshot.InUse"
    account.do(images.deregister_image, image_id=image)
    assert account.error(show_images.describe_images, image_ids=[image]).code == "InvalidAMIID.NotFound"
    assert account.do(show_images.describe_images, filters=[{"name": "name", "values": ["mine"]}])["images"] == []
    account.do(images.delete_snapshot, snapshot_id=snapshot)
    assert len(account.do(storage.describe_snapshots, owner_ids=["self"])["snapshots"]) == 1
    account.do(images.create_image, **request)


@pytest.mark.parametrize("name", ["ab", "a" * 129, "a*b"])
def test_bad_image_names(account: Account, name: str) -> None:
    instance = launch(account)["instance_id"]
    assert account.error(images.create_image, instance_id=instance, name=name).code == "InvalidAMIName.Malformed"


def test_sharing_an_image(account: Account) -> None:
    copy = {"source_region": REGION, "source_image_id": AMI, "name": "copy"}
    image = account.do(images.copy_image, **copy)["image_id"]
    other = Account("210987654321", REGION, account.tx)
    absent = other.error(commands.run_instances, image_id=image, min_count=1, max_count=1)
    assert absent.code == "InvalidAMIID.NotFound"
    account.do(images.modify_image_attribute, image_id=image, launch_permission={"add": [{"user_id": other.account}]})
    assert launch(other, image_id=image)["image_id"] == image
    shown = account.do(show_images.describe_image_attribute, image_id=image, attribute="launchPermission")
    assert shown["launch_permissions"] == [{"user_id": other.account}]
    assert account.error(images.deregister_image, image_id=AMI).code == "AuthFailure"
    stored = account.tx.get(Image, ACCOUNT, REGION, image)
    assert stored is not None and stored.state == "available"


# ── key pairs ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_created_key_is_a_real_one(account: Account, kind: str) -> None:
    answer = account.do(key_pairs.create_key_pair, key_name="k", material=generate(kind))
    private = answer["key_material"].encode()
    key: Any
    if kind == "rsa":
        assert private.startswith(b"-----BEGIN RSA PRIVATE KEY-----")
        key = serialization.load_pem_private_key(private, None)
        der = key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        assert answer["key_fingerprint"] == hashlib.sha1(der).digest().hex(":")
    else:
        key = serialization.load_ssh_private_key(private, None)
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    (shown,) = account.do(show_key_pairs.describe_key_pairs, include_public_key=True)["key_pairs"]
    assert shown["public_key"] == f"{line} k" and shown["key_type"] == kind


def _openssh() -> str:
    return generate("rsa").public_key


def test_importing_a_key_in_each_of_its_forms(account: Account) -> None:
    line = _openssh()
    key = serialization.load_ssh_public_key(line.encode())
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    fingerprints = set()
    forms = (f"{line} me@host\n".encode(), base64.b64encode(line.encode()), base64.b64encode(der), pem)
    for number, form in enumerate(forms):
        answer = account.do(key_pairs.import_key_pair, key_name=f"k{number}", public_key_material=form)
        fingerprints.add(answer["key_fingerprint"])
    assert fingerprints == {hashlib.md5(der).digest().hex(":")}


def test_a_key_in_the_form_of_rfc_4716_is_imported(account: Account) -> None:
    plain = generate("rsa").public_key
    blob = plain.split()[1]
    lines = [blob[i : i + 70] for i in range(0, len(blob), 70)]
    text = "\n".join(
        [
            "---- BEGIN SSH2 PUBLIC KEY ----",
            'Comment: "a long one, \\',
            'in two lines"',
            *lines,
            "---- END SSH2 PUBLIC KEY ----",
        ]
    )
    one = account.do(key_pairs.import_key_pair, key_name="one", public_key_material=plain.encode())
    other = account.do(key_pairs.import_key_pair, key_name="other", public_key_material=text.encode())
    assert one["key_fingerprint"] == other["key_fingerprint"]


SSH2 = b"---- BEGIN SSH2 PUBLIC KEY ----"


@pytest.mark.parametrize(
    "material",
    [b"", b"x", b"ssh-rsa AAAA", b"-----BEGIN PUBLIC KEY-----\n", SSH2, SSH2 + b"\nAAAA", SSH2 + b"\nA: b\\"],
)
def test_what_is_no_key_is_refused(account: Account, material: bytes) -> None:
    error = account.error(key_pairs.import_key_pair, key_name="k", public_key_material=material)
    assert error.code == "InvalidKey.Format"


def test_key_pair_names_are_unique_and_deleting_is_lenient(account: Account) -> None:
    material = generate("ed25519")
    account.do(key_pairs.create_key_pair, key_name="k", material=material)
    assert account.error(key_pairs.create_key_pair, key_name="k", material=material).code == "InvalidKeyPair.Duplicate"
    account.do(key_pairs.delete_key_pair, key_name="k")
    account.do(key_pairs.delete_key_pair, key_name="k")
    error = account.error(show_key_pairs.describe_key_pairs, key_names=["k"])
    assert (error.code, error.message) == ("InvalidKeyPair.NotFound", "The key pair 'k' does not exist")
    assert account.error(key_pairs.delete_key_pair, key_pair_id="key-1").code == "InvalidKeyPair.NotFound"


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_tags_come_and_go_by_value(account: Account) -> None:
    vpc = account.do(vpcs.create_vpc, cidr_block="10.0.0.0/16")["vpc"]["vpc_id"]

    def shown() -> dict[str, str]:
        answer = account.do(show_tags.describe_tags, filters=[{"name": "resource-id", "values": [vpc]}])
        assert all(t["resource_type"] == "vpc" for t in answer["tags"])
        return {t["key"]: t["value"] for t in answer["tags"]}

    pairs = [{"key": k, "value": v} for k, v in (("a", "1"), ("b", "2"), ("c", ""))]
    account.do(tags.create_tags, resources=[vpc], tags=pairs)
    account.do(tags.create_tags, resources=[vpc], tags=[{"key": "a", "value": "3"}])
    assert shown() == {"a": "3", "b": "2", "c": ""}
    account.do(tags.delete_tags, resources=[vpc], tags=[{"key": "a", "value": "1"}, {"key": "b"}])
    assert shown() == {"a": "3", "c": ""}
    account.do(tags.delete_tags, resources=[vpc])
    assert shown() == {}


@pytest.mark.parametrize(
    ("resource", "tag", "code"),
    [
        ("nonsense", {"key": "a", "value": ""}, "InvalidID"),
        ("vpc-1", {"key": "a", "value": ""}, "InvalidVpcID.NotFound"),
        ("i-0123456789abcdef0", {"key": "a", "value": ""}, "InvalidInstanceID.NotFound"),
        ("sgr-1", {"key": "a", "value": ""}, "InvalidSecurityGroupRuleId.NotFound"),
        (None, {"key": "aws:a", "value": ""}, "InvalidParameterValue"),
        (None, {"key": "a" * 128, "value": ""}, "InvalidParameterValue"),
        (None, {"key": "a", "value": "b" * 257}, "InvalidParameterValue"),
        (None, {"key": "", "value": ""}, "InvalidParameterValue"),
    ],
)
def test_bad_tags(account: Account, resource: str | None, tag: dict[str, str], code: str) -> None:
    resource = resource or launch(account)["instance_id"]
    assert account.error(tags.create_tags, resources=[resource], tags=[tag]).code == code


def test_fifty_tags_and_no_more(account: Account) -> None:
    instance = launch(account)["instance_id"]
    many = [{"key": str(n), "value": ""} for n in range(50)]
    account.do(tags.create_tags, resources=[instance], tags=many)
    error = account.error(tags.create_tags, resources=[instance], tags=[{"key": "x", "value": ""}])
    assert error.code == "TagLimitExceeded"


# ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────


def test_placement_groups(account: Account) -> None:
    account.do(placement_groups.create_placement_group, group_name="g", strategy="spread")
    error = account.error(placement_groups.create_placement_group, group_name="g")
    assert error.code == "InvalidPlacementGroup.Duplicate"
    instance = launch(account, placement={"group_name": "g"})
    assert instance["placement"]["group_name"] == "g"
    assert account.error(placement_groups.delete_placement_group, group_name="g").code == "InvalidPlacementGroup.InUse"
    commands.record_terminated(account.tx, account.call, instance["instance_id"])
    account.do(placement_groups.delete_placement_group, group_name="g")
    error = account.error(show_placement_groups.describe_placement_groups, group_names=["g"])
    assert error.code == "InvalidPlacementGroup.Unknown"


def test_instance_profiles_can_be_changed_later(account: Account) -> None:
    for n in (1, 2):
        account.tx.put(
            InstanceProfile(
                account=ACCOUNT, region="aws-global", id=f"p{n}", name=f"p{n}", path="/",
                instance_profile_id=f"AIPA{n}", create_time=0.0,
            )
        )  # fmt: skip
    instance = launch(account)["instance_id"]
    request = {"instance_id": instance, "iam_instance_profile": {"name": "p1"}}
    made = account.do(profile_associations.associate_iam_instance_profile, **request)
    id_ = made["iam_instance_profile_association"]["association_id"]
    assert account.error(profile_associations.associate_iam_instance_profile, **request).code == "IncorrectState"
    replaced = account.do(
        profile_associations.replace_iam_instance_profile_association,
        association_id=id_,
        iam_instance_profile={"name": "p2"},
    )["iam_instance_profile_association"]
    shown = account.do(show_associations.describe_iam_instance_profile_associations)
    (one,) = shown["iam_instance_profile_associations"]
    assert one["iam_instance_profile"]["id"] == "AIPA2" and one["state"] == "associated"
    account.do(profile_associations.disassociate_iam_instance_profile, association_id=replaced["association_id"])
    shown = account.do(show_associations.describe_iam_instance_profile_associations)
    assert shown["iam_instance_profile_associations"] == []


SPEC_TYPES = {
    "t2.nano": (1, 512), "t2.micro": (1, 1024), "t2.2xlarge": (8, 32768), "t3.nano": (2, 512), "t3.micro": (2, 1024),
    "t3.medium": (2, 4096), "m5.large": (2, 8192), "m5.24xlarge": (96, 393216), "c5.large": (2, 4096),
    "c5.9xlarge": (36, 73728), "c5.18xlarge": (72, 147456), "r5.large": (2, 16384),
}  # fmt: skip


@pytest.mark.parametrize("name", SPEC_TYPES)
def test_instance_types_have_their_sizes(account: Account, name: str) -> None:
    (shown,) = account.do(types.describe_instance_types, instance_types=[name])["instance_types"]
    assert (shown["v_cpu_info"]["default_v_cpus"], shown["memory_info"]["size_in_mi_b"]) == SPEC_TYPES[name]
    cores, threads = (shown["v_cpu_info"][k] for k in ("default_cores", "default_threads_per_core"))
    assert cores * threads == SPEC_TYPES[name][0]


def test_absent_instance_types_are_named(account: Account) -> None:
    error = account.error(types.describe_instance_types, instance_types=["t3.micro", "t9.x"])
    assert (error.code, error.message) == (
        "InvalidInstanceType",
        "The following supplied instance types do not exist: [t9.x]",
    )


def test_every_type_is_described_in_the_models_words(account: Account) -> None:
    seen = set()
    token: str | None = None
    while True:
        request = {"next_token": token} if token else {}
        answer = account.do(types.describe_instance_types, **request)
        seen |= {t["instance_type"] for t in answer["instance_types"]}
        token = answer["next_token"]
        if token is None:
            break
    assert seen == set(TYPES)


def test_ssh_keygen_agrees_with_the_fingerprint(tmp_path: Path) -> None:
    material = generate("ed25519")
    path = tmp_path / "key.pub"
    path.write_text(material.public_key)
    try:
        printed = subprocess.run(["ssh-keygen", "-lf", str(path)], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip("there is no ssh-keygen here")
    assert f"SHA256:{material.fingerprint.rstrip('=')} " in printed
