"""The built-in image: what every instance's root directory starts with, and the default web app in it.

`root/` is copied, not imported; its programs need the standard library only. `bin` comes first on an instance's PATH.
"""

from pathlib import Path

ROOT = Path(__file__).parent / "root"

LINKS = {"bin/poweroff": "shutdown", "bin/halt": "shutdown", "bin/reboot": "shutdown", "bin/systemctl": "shutdown"}
"""Made when it is copied: packages carry no symbolic links."""

EXECUTABLE = ("bin", "etc/elba/services")
"""Directories whose files are made executable when copied: not every way of packaging keeps that bit."""
