"""Check bytes against the checksum that a STAC item states of them.

``file:checksum`` of the STAC file extension is a multihash in hexadecimal: the number of the hash
function and the length of the digest, as varints, and the digest (multiformats.io/multihash).
"""

import hashlib
from io import BufferedReader, BytesIO
from pathlib import Path

_FUNCTIONS = {
    0x11: "sha1",
    0x12: "sha256",
    0x13: "sha512",
    0x14: "sha3_512",
    0x15: "sha3_384",
    0x16: "sha3_256",
    0x17: "sha3_224",
    0x20: "sha384",
    0xD5: "md5",
    0x1013: "sha224",
}
"""Names in hashlib by the numbers of the multihash table."""


def fits(source: Path | bytes, multihash: str) -> bool:
    """Tell whether bytes have a checksum; True where it is of no known kind.

    Args:
        source: file, or the bytes themselves.
        multihash: checksum, hexadecimal.

    Raises:
        OSError: the file cannot be read.

    """
    parsed = _parse(multihash)
    if parsed is None:
        return True
    if isinstance(source, bytes):
        return _digest(BytesIO(source), parsed[0]).startswith(parsed[1])
    with source.open("rb") as file:
        return _digest(file, parsed[0]).startswith(parsed[1])


def _digest(file: BytesIO | BufferedReader, function: str) -> bytes:
    return hashlib.file_digest(file, lambda: hashlib.new(function, usedforsecurity=False)).digest()


def _parse(multihash: str) -> tuple[str, bytes] | None:
    """Return a multihash's function and digest, or None if it is not one or not a known one."""
    try:
        body = bytes.fromhex(multihash)
        code, at = _varint(body, 0)
        length, at = _varint(body, at)
    except (ValueError, IndexError):
        return None
    function, digest = _FUNCTIONS.get(code), body[at:]
    is_whole = 4 <= length == len(digest)  # a digest may be shortened, but not to nothing
    return (function, digest) if function is not None and is_whole else None


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """Return an unsigned varint, seven bits a byte from the lowest, and where it ends."""
    value = shift = 0
    while body[at] & 0x80:
        value |= (body[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | body[at] << shift, at + 1
