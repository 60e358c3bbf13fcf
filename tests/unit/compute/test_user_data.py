"""The subset of cloud-init, as a plan of boot steps."""

from __future__ import annotations

import gzip
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elba.compute.process.user_data import BootPlan, parse_user_data

SCRIPT = b"#!/bin/bash\necho hi\n"


def test_script() -> None:
    plan = parse_user_data(SCRIPT)
    assert [(s.content, s.always) for s in plan.scripts] == [(SCRIPT, False)]
    assert plan.files == plan.early == plan.notes == []


def test_gzip() -> None:
    assert parse_user_data(gzip.compress(SCRIPT)) == parse_user_data(SCRIPT)


def test_gzip_bomb_is_refused() -> None:
    plan = parse_user_data(gzip.compress(bytes(32 << 20)))
    assert plan.scripts == []
    assert "not used" in plan.notes[0]


def test_cloud_config() -> None:
    plan = parse_user_data(
        b"""#cloud-config
hostname: web-1
packages: [httpd]
bootcmd:
  - echo early
write_files:
  - path: /etc/app.conf
    content: |
      a=1
    permissions: '0600'
  - path: /etc/encoded
    encoding: b64
    content: aGVsbG8=
  - path: /etc/more
    append: true
    content: x
  - content: no path
  - path: /etc/broken
    encoding: b64
    content: "!"
runcmd:
  - echo one && false
  - [echo, "two words"]
"""
    )
    assert plan.hostname == "web-1"
    assert [(s.content, s.always) for s in plan.early] == [(b"#!/bin/sh\necho early\n", True)]
    assert [(f.path, f.content, f.mode, f.append) for f in plan.files] == [
        ("/etc/app.conf", b"a=1\n", 0o600, False),
        ("/etc/encoded", b"hello", 0o644, False),
        ("/etc/more", b"x", 0o644, True),
    ]
    assert [s.content for s in plan.scripts] == [b"#!/bin/sh\necho one && false\necho 'two words'\n"]
    assert len(plan.notes) == 3


def test_mime_parts_in_order() -> None:
    message = MIMEMultipart()
    message.attach(MIMEText("#cloud-config\nhostname: h\nruncmd: [echo config]\n", "cloud-config"))
    script = MIMEText("#!/bin/sh\necho script\n", "x-shellscript")
    script.add_header("Content-Disposition", "attachment", filename="../../one.sh")
    message.attach(script)
    message.attach(MIMEText("#cloud-boothook\n#!/bin/sh\necho hook\n", "cloud-boothook"))
    plan = parse_user_data(message.as_bytes())
    assert plan.hostname == "h"
    assert [s.name for s in plan.scripts] == ["runcmd", "one.sh"]
    assert [s.always for s in plan.early] == [True]


@pytest.mark.parametrize("modules", ["[[scripts-user, always]]", "[scripts-user, always]"])
def test_scripts_at_each_boot(modules: str) -> None:
    message = MIMEMultipart()
    message.attach(MIMEText("#!/bin/sh\necho script\n", "x-shellscript"))
    message.attach(MIMEText(f"#cloud-config\ncloud_final_modules: {modules}\nruncmd: [a]\n", "cloud-config"))
    plan = parse_user_data(message.as_bytes())
    assert {s.name: s.always for s in plan.scripts} == {"runcmd": False, "part-001": True}


@pytest.mark.parametrize("data", [b"", b"   ", b"hello", b"#cloud-config\n: : :", b"#cloud-config\n[1]", b"\x1f\x8bx"])
def test_other_is_not_used(data: bytes) -> None:
    plan = parse_user_data(data)
    assert (plan.scripts, plan.files, plan.early) == ([], [], [])


@given(st.sampled_from([b"", b"#cloud-config\n", b"Content-Type: ", b"\x1f\x8b"]), st.binary())
def test_never_fails(start: bytes, rest: bytes) -> None:
    assert isinstance(parse_user_data(start + rest), BootPlan)
