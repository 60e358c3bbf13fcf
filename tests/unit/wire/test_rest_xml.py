"""REST-XML: which operation a request is for, bodies in chunks, XML that cannot be read, errors, signatures."""

from __future__ import annotations

import pytest

from elba.errors import ApiError
from elba.server.identify import bucket_in_host
from elba.wire import REST_XML, HttpRequest, Service, Style, render_error, rest_xml

S3 = Service("s3", Style(validation_code="InvalidArgument", root_names={"GetBucketLocation": "LocationConstraint"}))


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "operation"),
    [
        ("GET", "/", "", {}, "ListBuckets"),
        ("GET", "/b", "", {}, "ListObjects"),
        ("GET", "/b/", "list-type=2&prefix=x", {}, "ListObjectsV2"),
        ("GET", "/b", "lifecycle", {}, "GetBucketLifecycleConfiguration"),
        ("PUT", "/b", "lifecycle=", {}, "PutBucketLifecycleConfiguration"),
        ("GET", "/b", "analytics", {}, "ListBucketAnalyticsConfigurations"),
        ("GET", "/b", "analytics&id=x", {}, "GetBucketAnalyticsConfiguration"),
        ("PUT", "/b/k/l", "x-id=PutObject", {}, "PutObject"),
        ("PUT", "/b/k", "", {"x-amz-copy-source": "/b/c"}, "CopyObject"),
        ("PUT", "/b/k", "partNumber=1&uploadId=u", {}, "UploadPart"),
        ("PUT", "/b/k", "partNumber=1&uploadId=u", {"x-amz-copy-source": "/b/c"}, "UploadPartCopy"),
        ("POST", "/b/k", "uploads", {}, "CreateMultipartUpload"),
        ("POST", "/b/k", "uploadId=u", {}, "CompleteMultipartUpload"),
        ("POST", "/b", "delete", {}, "DeleteObjects"),
        ("GET", "/b/k", "uploadId=u", {}, "ListParts"),
        ("DELETE", "/b/k", "uploadId=u", {}, "AbortMultipartUpload"),
        ("DELETE", "/b/k", "", {}, "DeleteObject"),
        ("HEAD", "/b", "", {}, "HeadBucket"),
        ("HEAD", "/b/k", "", {}, "HeadObject"),
    ],
)
def test_routes(method: str, path: str, query: str, headers: dict[str, str], operation: str) -> None:
    assert S3.route(rest_xml(HttpRequest(method, path, query, headers))) == operation


def test_a_bucket_in_the_host_name() -> None:
    assert bucket_in_host("logs.s3.us-east-1.amazonaws.com:443") == "logs"
    assert bucket_in_host("my.logs.localhost:4566") == "my.logs"
    assert [bucket_in_host(h) for h in ("127.0.0.1:4566", "localhost:4566", "s3.localhost", "")] == [""] * 4
    envelope = rest_xml(HttpRequest("GET", "/a/b"), "logs")
    operation = S3.operation(S3.route(envelope))
    assert operation is not None
    assert operation.parse(envelope, REST_XML) == {"bucket": "logs", "key": "a/b"}


def test_chunks_are_put_together() -> None:
    body = b"5;chunk-signature=ab\r\nhello\r\n3\r\nabc\r\n0;chunk-signature=cd\r\nx-amz-checksum-crc32:AAAA\r\n\r\n"
    headers = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}
    assert rest_xml(HttpRequest("PUT", "/b/k", "", headers, body)).body == b"helloabc"
    for bad in (b"5\r\nhel", b"z\r\nhello\r\n", b""):
        with pytest.raises(ApiError):
            rest_xml(HttpRequest("PUT", "/b/k", "", headers, bad))


@pytest.mark.parametrize("body", [b"<a", b"<!DOCTYPE x [<!ENTITY a 'b'>]><Tagging/>", b"\xff", b"text"])
def test_xml_that_cannot_be_read_is_refused(body: bytes) -> None:
    operation = S3.operation("PutBucketTagging")
    assert operation is not None
    with pytest.raises(ApiError) as caught:
        operation.parse(rest_xml(HttpRequest("PUT", "/b", "tagging", {}, body)), REST_XML)
    assert caught.value.status == 400


def test_an_answer_of_one_text_and_an_error() -> None:
    operation = S3.operation("GetBucketLocation")
    assert operation is not None
    answer = operation.serialize({"location_constraint": "eu-west-1"}, REST_XML, "id")
    assert b">eu-west-1</LocationConstraint>" in answer.body
    error = ApiError("NoSuchKey", "It <is> gone", 404, fields={"Key": "a&b"})
    response = render_error(error, REST_XML, S3, "id")
    assert response.status == 404
    assert b"<Code>NoSuchKey</Code><Message>It &lt;is&gt; gone</Message><Key>a&amp;b</Key>" in response.body
    key = render_error(ApiError("InvalidClientTokenId", "x", 403), REST_XML, S3, "id")
    assert (key.status, b"InvalidAccessKeyId" in key.body) == (403, True)
