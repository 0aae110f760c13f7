"""CRC-32C, masked as in the files of LevelDB and TensorFlow."""

_POLYNOMIAL = 0x82F63B78
"""Castagnoli's polynomial, its bits reversed."""

_MASK = 0xA282EAD8
"""Added to a rotated checksum, so that the checksum of data with checksums stays good."""


def _table() -> tuple[int, ...]:
    values = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        values.append(value)
    return tuple(values)


_TABLE = _table()


def crc32c(data: bytes | memoryview) -> int:
    """The CRC-32C of bytes (RFC 3720, section B.4).

    Examples:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'

    """
    table, value = _TABLE, 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 255] ^ value >> 8
    return value ^ 0xFFFFFFFF


def masked_crc32c(data: bytes | memoryview) -> int:
    """The checksum as it is stored: rotated, and a constant added."""
    value = crc32c(data)
    return ((value >> 15 | value << 17) + _MASK) & 0xFFFFFFFF
