"""Looks at a deployment package before it is accepted. Pure."""

from __future__ import annotations

import io
import stat
import zipfile

from elba.lambda_.names import invalid

MOST_UNZIPPED_BYTES = 262_144_000
MOST_ZIPPED_BYTES = 50 * 1024 * 1024


def check(code: bytes) -> None:
    """Raises: ApiError InvalidParameterValueException unless `code` is a zip file that may be unpacked."""
    if not code:
        raise invalid("Uploaded file must be a non-empty zip")
    if len(code) > MOST_ZIPPED_BYTES:
        raise invalid(f"Unzipped size must be smaller than {MOST_UNZIPPED_BYTES} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            members = archive.infolist()
            broken = archive.testzip() if sum(m.file_size for m in members) <= MOST_UNZIPPED_BYTES else None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, OSError):
        raise invalid("Could not unzip uploaded file. Please check your file, then try to upload again.") from None
    if not members:
        raise invalid("Uploaded file must be a non-empty zip")
    if sum(member.file_size for member in members) > MOST_UNZIPPED_BYTES:
        raise invalid(f"Unzipped size must be smaller than {MOST_UNZIPPED_BYTES} bytes")
    if broken is not None or any(not _is_safe(member) for member in members):
        raise invalid("Could not unzip uploaded file. Please check your file, then try to upload again.")


def _is_safe(member: zipfile.ZipInfo) -> bool:
    """No way out of the directory, no links."""
    parts = member.filename.replace("\\", "/").split("/")
    return not member.filename.startswith("/") and ".." not in parts and not stat.S_ISLNK(member.external_attr >> 16)
