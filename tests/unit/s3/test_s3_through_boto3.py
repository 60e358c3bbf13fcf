"""S3 as an unmodified boto3 client sees it: buckets and their configurations, objects, lists, multipart uploads."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from elba.testing.world import World

BUCKET = "my-bucket"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as world, world.virtual_waits():
        yield world


@pytest.fixture
def s3(world: World) -> Any:
    client = world.boto3("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


def refused(call: Callable[..., Any], **request: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_a_buckets_life(world: World, s3: Any) -> None:
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == [BUCKET]
    s3.get_waiter("bucket_exists").wait(Bucket=BUCKET)
    assert s3.head_bucket(Bucket=BUCKET)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=BUCKET).get("LocationConstraint") is None
    s3.create_bucket(Bucket=BUCKET)  # us-east-1's own manner
    west = world.boto3("s3", region="eu-west-1")
    there = {"LocationConstraint": "eu-west-1"}
    assert refused(west.create_bucket, Bucket="west") == ("IllegalLocationConstraintException", 400)
    west.create_bucket(Bucket="west", CreateBucketConfiguration=there)
    assert s3.get_bucket_location(Bucket="west")["LocationConstraint"] == "eu-west-1"
    again = refused(west.create_bucket, Bucket="west", CreateBucketConfiguration=there)
    assert again == ("BucketAlreadyOwnedByYou", 409)
    assert refused(s3.create_bucket, Bucket="192.168.1.1") == ("InvalidBucketName", 400)
    assert refused(s3.list_objects_v2, Bucket="nobody") == ("NoSuchBucket", 404)
    assert refused(s3.head_bucket, Bucket="nobody") == ("404", 404)
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"")
    assert refused(s3.delete_bucket, Bucket=BUCKET) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=BUCKET, Key="a")
    s3.delete_object(Bucket=BUCKET, Key="a")
    s3.delete_bucket(Bucket=BUCKET)
    s3.get_waiter("bucket_not_exists").wait(Bucket=BUCKET)


def test_an_objects_life(s3: Any) -> None:
    key = "a/b c+ü.txt"
    put = s3.put_object(
        Bucket=BUCKET, Key=key, Body=b"hello", ContentType="text/plain", Metadata={"x": "y"}, Tagging="a=b"
    )
    assert put["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    got = s3.get_object(Bucket=BUCKET, Key=key)
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (b"hello", "text/plain", {"x": "y"})
    assert (got["ServerSideEncryption"], got["TagCount"]) == ("AES256", 1)
    part = s3.get_object(Bucket=BUCKET, Key=key, Range="bytes=1-2")
    assert (part["Body"].read(), part["ContentRange"]) == (b"el", "bytes 1-2/5")
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert s3.get_object(Bucket=BUCKET, Key=key, Range="bytes=-3")["Body"].read() == b"llo"
    assert refused(s3.get_object, Bucket=BUCKET, Key=key, Range="bytes=9-") == ("InvalidRange", 416)
    assert s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == 5
    s3.get_waiter("object_exists").wait(Bucket=BUCKET, Key=key)
    assert refused(s3.get_object, Bucket=BUCKET, Key="no") == ("NoSuchKey", 404)
    assert refused(s3.head_object, Bucket=BUCKET, Key="no") == ("404", 404)
    assert refused(s3.get_object, Bucket=BUCKET, Key=key, IfNoneMatch=put["ETag"]) == ("304", 304)
    assert refused(s3.get_object, Bucket=BUCKET, Key=key, IfMatch='"x"') == ("PreconditionFailed", 412)
    assert refused(s3.put_object, Bucket=BUCKET, Key=key, IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert refused(s3.put_object, Bucket=BUCKET, Key="m", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==") == ("BadDigest", 400)
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": key})
    assert s3.get_object_tagging(Bucket=BUCKET, Key="copy")["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert s3.head_object(Bucket=BUCKET, Key="copy")["ContentType"] == "text/plain"
    itself = {"Bucket": BUCKET, "Key": "copy", "CopySource": f"{BUCKET}/copy"}
    assert refused(s3.copy_object, **itself) == ("InvalidRequest", 400)
    s3.copy_object(**itself, MetadataDirective="REPLACE", Metadata={"n": "1"})
    assert s3.head_object(Bucket=BUCKET, Key="copy")["Metadata"] == {"n": "1"}
    deleted = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "copy"}, {"Key": key}]})["Deleted"]
    assert [each["Key"] for each in deleted] == ["copy", key]
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_a_body_is_kept_as_it_is(s3: Any) -> None:
    body = gzip.compress(b"x" * 1000)
    s3.put_object(Bucket=BUCKET, Key="a.gz", Body=body, ContentEncoding="gzip")
    got = s3.get_object(Bucket=BUCKET, Key="a.gz")
    assert (got["Body"].read(), got["ContentEncoding"]) == (body, "gzip")


def test_lists_have_prefixes_and_pages(s3: Any) -> None:
    keys = ["a", "b/1", "b/2", "b/c/3", "d", "e/"]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    top = s3.list_objects_v2(Bucket=BUCKET, Delimiter="/")
    assert [c["Key"] for c in top["Contents"]] == ["a", "d"]
    assert [p["Prefix"] for p in top["CommonPrefixes"]] == ["b/", "e/"]
    below = s3.list_objects(Bucket=BUCKET, Prefix="b/", Delimiter="/")
    assert [c["Key"] for c in below["Contents"]] == ["b/1", "b/2"]
    for name, member in (
        ("list_objects_v2", "Contents"),
        ("list_objects", "Contents"),
        ("list_object_versions", "Versions"),
    ):
        pages = s3.get_paginator(name).paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 2})
        assert [each["Key"] for page in pages for each in page[member]] == keys
    pages = list(
        s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Delimiter="/", PaginationConfig={"PageSize": 1})
    )
    assert [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])] == ["b/", "e/"]
    assert [c["Key"] for c in s3.list_objects_v2(Bucket=BUCKET, StartAfter="b/2")["Contents"]] == ["b/c/3", "d", "e/"]


def test_a_file_that_something_else_wrote_is_an_object(world: World, s3: Any) -> None:
    world.loop.run(world.buckets.write(BUCKET, "log.gz", b"line"))
    assert s3.get_object(Bucket=BUCKET, Key="log.gz")["Body"].read() == b"line"
    assert s3.list_objects_v2(Bucket=BUCKET)["Contents"][0]["ETag"] == f'"{hashlib.md5(b"line").hexdigest()}"'
    s3.put_object(Bucket=BUCKET, Key="log.gz", Body=b"mine", Metadata={"a": "b"})
    world.loop.run(world.buckets.write(BUCKET, "log.gz", b"other"))
    assert s3.head_object(Bucket=BUCKET, Key="log.gz")["Metadata"] == {}
    world.loop.run(world.buckets.make("found"))
    assert s3.list_objects_v2(Bucket="found")["KeyCount"] == 0


CONFIGURATIONS: list[tuple[str, str, dict[str, Any], str]] = [
    ("bucket_tagging", "Tagging", {"TagSet": [{"Key": "a", "Value": "1"}]}, "NoSuchTagSet"),
    (
        "bucket_cors",
        "CORSConfiguration",
        {"CORSRules": [{"AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["*"], "MaxAgeSeconds": 3000}]},
        "NoSuchCORSConfiguration",
    ),
    (
        "bucket_website",
        "WebsiteConfiguration",
        {"IndexDocument": {"Suffix": "index.html"}},
        "NoSuchWebsiteConfiguration",
    ),
]


@pytest.mark.parametrize(("name", "member", "value", "absent"), CONFIGURATIONS)
def test_what_is_put_on_a_bucket_is_read_back(
    s3: Any, name: str, member: str, value: dict[str, Any], absent: str
) -> None:
    assert refused(getattr(s3, f"get_{name}"), Bucket=BUCKET) == (absent, 404)
    getattr(s3, f"put_{name}")(Bucket=BUCKET, **{member: value})
    got = getattr(s3, f"get_{name}")(Bucket=BUCKET)
    assert {k: got[k] for k in value} == value
    getattr(s3, f"delete_{name}")(Bucket=BUCKET)
    assert refused(getattr(s3, f"get_{name}"), Bucket=BUCKET) == (absent, 404)


def test_a_new_bucket_is_private_and_encrypted(s3: Any) -> None:
    rules = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert all(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values())
    controls = s3.get_bucket_ownership_controls(Bucket=BUCKET)["OwnershipControls"]["Rules"]
    assert controls == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    grants = s3.get_bucket_acl(Bucket=BUCKET)["Grants"]
    assert [(g["Grantee"]["Type"], g["Permission"]) for g in grants] == [("CanonicalUser", "FULL_CONTROL")]
    assert refused(s3.put_bucket_acl, Bucket=BUCKET, ACL="public-read") == ("AccessControlListNotSupported", 400)
    assert "Status" not in s3.get_bucket_versioning(Bucket=BUCKET)
    s3.put_bucket_ownership_controls(
        Bucket=BUCKET, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    )
    s3.put_bucket_acl(Bucket=BUCKET, ACL="log-delivery-write")
    grants = s3.get_bucket_acl(Bucket=BUCKET)["Grants"]
    assert grants[1]["Grantee"] == {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/s3/LogDelivery"}
    s3.put_bucket_acl(Bucket=BUCKET, AccessControlPolicy={"Grants": grants[:1], "Owner": {"ID": "x"}})
    assert s3.get_bucket_acl(Bucket=BUCKET)["Grants"] == grants[:1]


def test_policies_versioning_and_lifecycle(s3: Any) -> None:
    assert refused(s3.get_bucket_policy, Bucket=BUCKET) == ("NoSuchBucketPolicy", 404)
    assert refused(s3.put_bucket_policy, Bucket=BUCKET, Policy="{") == ("MalformedPolicy", 400)
    policy = '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*"}]}'
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy)
    assert s3.get_bucket_policy(Bucket=BUCKET)["Policy"] == policy
    assert s3.get_bucket_policy_status(Bucket=BUCKET)["PolicyStatus"] == {"IsPublic": True}
    s3.delete_bucket_policy(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    rules = [
        {
            "ID": "old",
            "Status": "Enabled",
            "Filter": {"Prefix": "a/"},
            "Expiration": {"Days": 30},
            "Transitions": [{"Days": 10, "StorageClass": "GLACIER"}],
        }
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": rules})
    assert s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"] == rules


def test_an_upload_in_parts(s3: Any) -> None:
    upload = {"Bucket": BUCKET, "Key": "big"}
    id_ = s3.create_multipart_upload(**upload, ContentType="x/y")["UploadId"]
    assert [u["Key"] for u in s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == ["big"]
    bodies = [b"a" * (5 * 2**20), b"b" * 10]
    parts = [
        {"PartNumber": n, "ETag": s3.upload_part(**upload, UploadId=id_, PartNumber=n, Body=body)["ETag"]}
        for n, body in enumerate(bodies, 1)
    ]
    assert [p["Size"] for p in s3.list_parts(**upload, UploadId=id_)["Parts"]] == [len(b) for b in bodies]
    complete = s3.complete_multipart_upload
    wrong = refused(complete, **upload, UploadId=id_, MultipartUpload={"Parts": parts[::-1]})
    assert wrong == ("InvalidPartOrder", 400)
    etag = complete(**upload, UploadId=id_, MultipartUpload={"Parts": parts})["ETag"]
    assert etag.endswith('-2"')
    got = s3.get_object(**upload)
    assert (got["Body"].read(), got["ContentType"], got["ETag"]) == (b"".join(bodies), "x/y", etag)
    assert refused(s3.list_parts, **upload, UploadId=id_) == ("NoSuchUpload", 404)
    id_ = s3.create_multipart_upload(**upload)["UploadId"]
    s3.upload_part(**upload, UploadId=id_, PartNumber=1, Body=b"x")
    s3.abort_multipart_upload(**upload, UploadId=id_)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_another_accounts_bucket_is_not_for_us(world: World, s3: Any) -> None:
    other = world.boto3("s3", access_key="222222222222")
    assert refused(other.list_objects_v2, Bucket=BUCKET) == ("AccessDenied", 403)
    assert refused(other.create_bucket, Bucket=BUCKET) == ("BucketAlreadyExists", 409)
    assert other.list_buckets()["Buckets"] == []
    assert refused(s3.list_objects_v2, Bucket=BUCKET, ExpectedBucketOwner="222222222222") == ("AccessDenied", 403)
