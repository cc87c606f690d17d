"""Files that know when they are damaged: a digest at the end says what the rest has to be.

The files are zip archives, whose format has room for a comment at its very end; every other reader of such
an archive passes over it. A file cut short has no digest there, one with a changed bit the digest of another.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_MARK = b"urbandg blake2b "
_DIGEST_BYTES = 32
_COMMENT_BYTES = len(_MARK) + 2 * _DIGEST_BYTES
_CHUNK = 1 << 22
# How a zip archive starts, and the record that ends it, with how long that is without a comment.
_ARCHIVE, _END, _END_BYTES = b"PK", b"PK\x05\x06", 22


def seal(path: Path) -> None:
    """Append its digest to a zip archive that has no comment, in place."""
    with path.open("r+b") as file:
        # The last two bytes of an archive are its comment's length.
        file.seek(-2, 2)
        file.write(_COMMENT_BYTES.to_bytes(2, "little"))
    digest = _digest(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(_MARK + digest.encode())


def is_whole(path: Path) -> bool:
    """Whether the file ends with the digest of all that is before it."""
    size = path.stat().st_size - _COMMENT_BYTES
    if size < 0:
        return False
    with path.open("rb") as file:
        file.seek(size)
        comment = file.read()
    return comment == _MARK + _digest(path, size).encode()


def is_unsealed(path: Path) -> bool:
    """Whether the file never had a seal: no zip archive, or one that ends without room for a comment.

    A sealed one that was cut short still says, or has lost, how long its comment is.
    """
    with path.open("rb") as file:
        if file.read(len(_ARCHIVE)) != _ARCHIVE:
            return True
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _END_BYTES))
        end = file.read()
    return end.startswith(_END) and end.endswith(bytes(2))


def _digest(path: Path, size: int) -> str:
    """Of the first ``size`` bytes, hexadecimal."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    with path.open("rb") as file:
        while size > 0 and (chunk := file.read(min(size, _CHUNK))):
            digest.update(chunk)
            size -= len(chunk)
    return digest.hexdigest()
