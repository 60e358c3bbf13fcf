"""Identifiers in AWS's forms, from a random source that a simulation can seed."""

from __future__ import annotations

import random
import string


class IdSource:
    """Makes identifiers. Seeded, it makes the same ones in the same order."""

    def __init__(self, seed: int | None = None) -> None:
        self.random: random.Random = random.SystemRandom() if seed is None else random.Random(seed)

    def hex(self, digits: int) -> str:
        """`digits` lower-case hexadecimal digits."""
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"

    def ec2(self, prefix: str) -> str:
        """An EC2 id: `prefix`, a hyphen and 17 hexadecimal digits (`i-0123456789abcdef0`)."""
        return f"{prefix}-{'0'}{self.hex(16)}"

    def uuid(self) -> str:
        """A version 4 UUID, as request ids and Auto Scaling ARNs carry."""
        raw = self.random.getrandbits(128)
        raw = raw & ~(0xF << 76) | (0x4 << 76)
        raw = raw & ~(0x3 << 62) | (0x2 << 62)
        text = f"{raw:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def unique(self, prefix: str, length: int = 17) -> str:
        """An IAM unique id: `prefix` (AROA, AIPA, ASIA …) and `length` upper-case letters and digits."""
        alphabet = string.ascii_uppercase + "234567"
        return prefix + "".join(self.random.choice(alphabet) for _ in range(length))
