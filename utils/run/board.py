"""What TensorBoard shows of a run, in a file of its own format: scalars and pictures by iteration.

Every value is in the file when the call returns. tensorboardX's own writers leave that to a thread behind a
queue: on a full disk the thread dies, and the run waits for it for ever.
"""

from __future__ import annotations

import math
import os
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import image, scalar

from utils.files import writing

EVENTS = "events.out.tfevents.*"
"""The files' names, as a pattern."""
_VERSION = "brain.Event:2"


class Board:
    """One file of events in ``folder``, which is made.

    ``purge_step``: points of this iteration and later ones in older files of the folder are not to be shown.

    Raises:
        UserError: here, and by all methods: the file cannot be written.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        self._writing = f"--tb_path {folder}", "free space there or choose another --tb_path"
        with writing(*self._writing):
            folder.mkdir(parents=True, exist_ok=True)
            # Several may begin in one second.
            name = EVENTS.replace("*", f"{time.time():017.6f}.{socket.gethostname()}.{os.getpid()}")
            self._file = (folder / name).open("wb")
        self._add(Event(file_version=_VERSION))
        if purge_step is not None:
            self._add(Event(file_version=_VERSION, step=purge_step))
            self._add(Event(session_log=SessionLog(status=SessionLog.START), step=purge_step))

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        """Add one point per name, but for values that are not finite."""
        self._add(
            *(
                Event(summary=scalar(name, value), step=iteration)
                for name, value in values.items()
                if math.isfinite(value)
            )
        )

    def pictures(self, pictures: Mapping[str, Image.Image], iteration: int) -> None:
        """Add one RGB picture per name."""
        for name, picture in pictures.items():
            summary = image(name, np.asarray(picture), dataformats="HWC")
            self._add(Event(summary=summary, step=iteration))

    def close(self) -> None:
        """End the file."""
        with writing(*self._writing):
            self._file.close()

    def _add(self, *events: Event) -> None:
        now = time.time()
        try:
            with writing(*self._writing):
                for event in events:
                    event.wall_time = now
                    self._file.write(_record(event.SerializeToString()))
                self._file.flush()
        except BaseException:
            # What is left in the file's buffer would be tried, and refused, again when it is closed.
            with suppress(OSError):
                self._file.close()
            raise


def _record(content: bytes) -> bytes:
    """``content`` as one record of a TFRecord file: its length, and a checksum of each."""
    length = struct.pack("<Q", len(content))
    return b"".join(
        (length, struct.pack("<I", masked_crc32c(length)), content, struct.pack("<I", masked_crc32c(content)))
    )
