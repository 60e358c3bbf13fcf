"""User data as a plan of boot steps: the subset of cloud-init that ec2-iam spec §4 lists. Pure.

The plan is JSON for the instance's supervisor, which has no YAML parser (it must start in milliseconds).
Nothing here fails an instance: what cannot be used becomes a line in the console's output.
"""

from __future__ import annotations

import base64
import binascii
import email
import email.message
import gzip
import shlex
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

MOST_UNPACKED_BYTES = 8 << 20
"""gzip may unpack 16 KiB to a thousand times that."""


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One of write_files. `path` as written; the supervisor puts it under the instance's root directory."""

    path: str
    content: bytes
    mode: int = 0o644
    append: bool = False


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A file to execute, with its first line saying by what. `always`: at each boot, not only the first."""

    name: str
    content: bytes
    always: bool = False


class BootPlan(msgspec.Struct, frozen=True, kw_only=True):
    """In order: `early` scripts, `files`, `scripts`. `notes` go to the console."""

    early: list[Script] = []
    files: list[File] = []
    scripts: list[Script] = []
    hostname: str = ""
    notes: list[str] = []


IGNORED = {
    "packages": "the process provider has no package manager",
    "package_update": "the process provider has no package manager",
    "package_upgrade": "the process provider has no package manager",
    "users": "the process provider has no users of its own",
    "groups": "the process provider has no users of its own",
    "ssh_authorized_keys": "the process provider has no SSH server",
    "swap": "the process provider has no disks",
    "mounts": "the process provider has no disks",
}


def parse_user_data(data: bytes) -> BootPlan:
    """The steps that `data` asks for; an empty plan if it is of no kind that cloud-init knows."""
    plan = BootPlan()
    for kind, content, name in _parts(data, plan.notes):
        if kind == "script":
            plan.scripts.append(Script(name=name or f"part-{len(plan.scripts) + 1:03}", content=content))
        elif kind == "boothook":
            plan.early.append(Script(name=f"boothook-{len(plan.early) + 1:03}", content=content, always=True))
        elif kind == "cloud-config":
            plan = _with_cloud_config(plan, content)
        elif content.strip():
            plan.notes.append("user data of an unknown kind is kept but not used")
    return plan


def _parts(data: bytes, notes: list[str]) -> Iterator[tuple[str, bytes, str]]:
    data = _unpacked(data, notes)
    if data[:8].lower() in (b"content-", b"mime-ver"):
        message = email.message_from_bytes(data)
        if message.is_multipart():
            for part in message.walk():
                if not part.is_multipart():
                    yield from _mime_part(part, notes)
        else:
            yield from _mime_part(message, notes)
        return
    yield _kind(data), data, ""


def _mime_part(part: email.message.Message, notes: list[str]) -> Iterator[tuple[str, bytes, str]]:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return
    payload = _unpacked(payload, notes)
    by_type = {
        "text/x-shellscript": "script",
        "text/cloud-config": "cloud-config",
        "text/cloud-boothook": "boothook",
    }
    kind = by_type.get(part.get_content_type()) or _kind(payload)
    # A file name is a path component here, so only its last part counts.
    name = (part.get_filename() or "").replace("\\", "/").rpartition("/")[2]
    yield kind, payload.replace(b"\r\n", b"\n"), "" if name in (".", "..") else name


def _kind(data: bytes) -> str:
    start = data.lstrip(b"\xef\xbb\xbf")[:32].lower()
    if start.startswith(b"#!"):
        return "script"
    if start.startswith(b"#cloud-config"):
        return "cloud-config"
    if start.startswith(b"#cloud-boothook"):
        return "boothook"
    return "other"


def _unpacked(data: bytes, notes: list[str]) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(data, MOST_UNPACKED_BYTES)
    except zlib.error as error:
        notes.append(f"user data looks like gzip but is not: {error}")
        return b""
    if unpacker.unconsumed_tail:
        notes.append(f"user data unpacks to more than {MOST_UNPACKED_BYTES} bytes and is not used")
        return b""
    return unpacked


def _with_cloud_config(plan: BootPlan, content: bytes) -> BootPlan:
    try:
        config = yaml.safe_load(content)
    except yaml.YAMLError as error:
        plan.notes.append(f"#cloud-config is not YAML: {' '.join(str(error).split())}")
        return plan
    except UnicodeDecodeError as error:
        plan.notes.append(f"#cloud-config is not text: {error}")
        return plan
    if not isinstance(config, dict):
        plan.notes.append("#cloud-config holds no settings")
        return plan
    if config.get("bootcmd"):
        plan.early.append(Script(name="bootcmd", content=_shell(config["bootcmd"], plan.notes), always=True))
    plan.files.extend(_files(config.get("write_files"), plan.notes))
    scripts = list(plan.scripts)
    if config.get("runcmd"):
        scripts.insert(0, Script(name="runcmd", content=_shell(config["runcmd"], plan.notes)))
    if _always(config.get("cloud_final_modules")):
        scripts = [msgspec.structs.replace(s, always=s.name != "runcmd") for s in scripts]
        plan.notes.append("user scripts run at each boot")
    for name, why in IGNORED.items():
        if config.get(name):
            plan.notes.append(f"{name} of #cloud-config is ignored: {why}")
    hostname = str(config.get("hostname") or config.get("fqdn") or plan.hostname)
    return msgspec.structs.replace(plan, scripts=scripts, hostname=hostname)


def _always(modules: Any) -> bool:
    """`cloud_final_modules: [[scripts-user, always]]`, also flat as people write it."""
    if not isinstance(modules, list):
        return False
    return ["scripts-user", "always"] in modules or modules == ["scripts-user", "always"]


def _shell(commands: Any, notes: list[str]) -> bytes:
    """One shell script of a runcmd list; as in cloud-init, a command that fails does not stop the next."""
    if isinstance(commands, str):
        commands = [commands]
    lines = ["#!/bin/sh"]
    for command in commands if isinstance(commands, list) else []:
        if isinstance(command, list):
            lines.append(" ".join(shlex.quote(str(word)) for word in command))
        elif isinstance(command, str):
            lines.append(command)
        elif command is not None:
            notes.append(f"a command must be text or a list: {command!r}")
    return ("\n".join(lines) + "\n").encode()


def _files(entries: Any, notes: list[str]) -> Iterator[File]:
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or not entry.get("path"):
            notes.append(f"an entry of write_files has no path: {entry!r}")
            continue
        path = str(entry["path"])
        try:
            content = _content(entry.get("content"), str(entry.get("encoding") or "text/plain"))
            permissions = entry.get("permissions", "0644")
            mode = permissions if isinstance(permissions, int) else int(str(permissions), 8)
        except (ValueError, binascii.Error, OSError, EOFError, zlib.error) as error:
            notes.append(f"{path} of write_files is not written: {error}")
            continue
        yield File(path=path, content=content, mode=mode & 0o7777, append=bool(entry.get("append")))


def _content(content: Any, encoding: str) -> bytes:
    raw = content if isinstance(content, bytes) else str(content or "").encode()
    if encoding in ("b64", "base64", "gz+base64", "gzip+base64", "gz+b64", "gzip+b64"):
        raw = base64.b64decode(b"".join(raw.split()), validate=True)
    if encoding.startswith("gz"):
        raw = gzip.decompress(raw)
    return raw
