"""S3's API operations, one for each name in the model."""

from __future__ import annotations

from elba.s3.bucket_operations import (
    create_bucket,
    delete_bucket,
    get_bucket_location,
    head_bucket,
    list_buckets,
    put_object_lock_configuration,
)
from elba.s3.configurations import (
    check_policy,
    check_tags,
    check_versioning,
    deleting,
    get_bucket_acl,
    get_bucket_policy_status,
    getting,
    put_bucket_acl,
    put_bucket_lifecycle_configuration,
    putting,
)
from elba.s3.listing import list_object_versions, list_objects, list_objects_v2
from elba.s3.objects import (
    copy_object,
    delete_object,
    delete_object_tagging,
    delete_objects,
    get_object,
    get_object_acl,
    get_object_attributes,
    get_object_tagging,
    head_object,
    put_object,
    put_object_acl,
    put_object_tagging,
)
from elba.s3.uploads import (
    abort_multipart_upload,
    complete_multipart_upload,
    create_multipart_upload,
    list_multipart_uploads,
    list_parts,
    upload_part,
    upload_part_copy,
)

put_bucket_policy = putting("policy", check_policy)
get_bucket_policy = getting("policy")
delete_bucket_policy = deleting("policy")
put_bucket_tagging = putting("tagging", check_tags)
get_bucket_tagging = getting("tagging")
delete_bucket_tagging = deleting("tagging")
put_bucket_cors = putting("cors")
get_bucket_cors = getting("cors")
delete_bucket_cors = deleting("cors")
put_bucket_website = putting("website")
get_bucket_website = getting("website")
delete_bucket_website = deleting("website")
get_bucket_lifecycle_configuration = getting("lifecycle")
delete_bucket_lifecycle = deleting("lifecycle")
put_bucket_replication = putting("replication")
get_bucket_replication = getting("replication")
delete_bucket_replication = deleting("replication")
put_bucket_encryption = putting("encryption")
get_bucket_encryption = getting("encryption")
delete_bucket_encryption = deleting("encryption")
put_public_access_block = putting("public_access_block")
get_public_access_block = getting("public_access_block")
delete_public_access_block = deleting("public_access_block")
put_bucket_ownership_controls = putting("ownership_controls")
get_bucket_ownership_controls = getting("ownership_controls")
delete_bucket_ownership_controls = deleting("ownership_controls")
put_bucket_versioning = putting("versioning", check_versioning)
get_bucket_versioning = getting("versioning")
put_bucket_accelerate_configuration = putting("accelerate")
get_bucket_accelerate_configuration = getting("accelerate")
put_bucket_request_payment = putting("request_payment")
get_bucket_request_payment = getting("request_payment")
put_bucket_logging = putting("logging")
get_bucket_logging = getting("logging")
put_bucket_notification_configuration = putting("notification")
get_bucket_notification_configuration = getting("notification")
get_object_lock_configuration = getting("object_lock")

__all__ = [
    "abort_multipart_upload",
    "complete_multipart_upload",
    "copy_object",
    "create_bucket",
    "create_multipart_upload",
    "delete_bucket",
    "delete_object",
    "delete_object_tagging",
    "delete_objects",
    "get_bucket_acl",
    "get_bucket_location",
    "get_bucket_policy_status",
    "get_object",
    "get_object_acl",
    "get_object_attributes",
    "get_object_tagging",
    "head_bucket",
    "head_object",
    "list_buckets",
    "list_multipart_uploads",
    "list_object_versions",
    "list_objects",
    "list_objects_v2",
    "list_parts",
    "put_bucket_acl",
    "put_bucket_lifecycle_configuration",
    "put_object",
    "put_object_acl",
    "put_object_lock_configuration",
    "put_object_tagging",
    "upload_part",
    "upload_part_copy",
]
