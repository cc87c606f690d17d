"""Files that end with a digest of their own content, so that any damage is noticed.

The files are zip archives. The digest is the archive's comment, which is at its very end and which other
readers ignore. A file that was cut short has no digest; if a bit has changed, the digest does not fit.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_MARK = b"urbandg blake2b "
_DIGEST_BYTES = 32
_COMMENT_BYTES = len(_MARK) + 2 * _DIGEST_BYTES
_CHUNK = 1 << 22
# First bytes of a zip archive, first bytes of its last record, and that record's length without a comment.
_ARCHIVE, _END, _END_BYTES = b"PK", b"PK\x05\x06", 22


def seal(path: Path) -> None:
    """Append the digest to a zip archive that has no comment."""
    with path.open("r+b") as file:
        # The last two bytes of an archive without a comment are the comment's length.
        file.seek(-2, 2)
        file.write(_COMMENT_BYTES.to_bytes(2, "little"))
    digest = _digest(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(_MARK + digest.encode())


def is_whole(path: Path) -> bool:
    """Whether the file ends with the digest of everything before it."""
    size = path.stat().st_size - _COMMENT_BYTES
    if size < 0:
        return False
    with path.open("rb") as file:
        file.seek(size)
        return file.read() == _MARK + _digest(path, size).encode()


def is_unsealed(path: Path) -> bool:
    """Whether the file never had a seal: it is no zip archive, or its last record says "no comment".

    A sealed file that was cut short either still says how long its comment is, or has lost its last record.
    """
    with path.open("rb") as file:
        if file.read(len(_ARCHIVE)) != _ARCHIVE:
            return True
        file.seek(max(0, path.stat().st_size - _END_BYTES))
        end = file.read()
    return end.startswith(_END) and end.endswith(bytes(2))


def _digest(path: Path, size: int) -> str:
    """Digest of the first ``size`` bytes, hexadecimal."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    with path.open("rb") as file:
        while size > 0 and (chunk := file.read(min(size, _CHUNK))):
            digest.update(chunk)
            size -= len(chunk)
    return digest.hexdigest()
