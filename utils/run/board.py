"""What TensorBoard shows of a run: scalars and pictures by iteration, written to a file in its format.

Every value is in the file when the call returns. tensorboardX's own writers leave the writing to a thread: on
a full disk the thread dies, and the run waits for it for ever.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import RecordWriter
from tensorboardX.summary import image, scalar

from utils.files import writing

EVENTS = "events.out.tfevents.*"
"""Pattern of the files' names."""
_VERSION = "brain.Event:2"


class Board:
    """One new file of events in ``folder``, which is created if needed.

    With ``purge_step``, TensorBoard hides the points of this and later iterations in older files. All methods
    raise a UserError if the file cannot be written.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        self._writing = f"--tb_path {folder}", "free space there or choose another --tb_path"
        with writing(*self._writing):
            folder.mkdir(parents=True, exist_ok=True)
            # Several files may be created in one second.
            name = EVENTS.replace("*", f"{time.time():017.6f}.{socket.gethostname()}.{os.getpid()}")
            # To tensorboardX a relative path that begins with s3: or gs: would be a place in the cloud.
            self._file = RecordWriter(str(folder.absolute() / name))
        self._add(Event(file_version=_VERSION))
        if purge_step is not None:
            self._add(Event(file_version=_VERSION, step=purge_step))
            self._add(Event(session_log=SessionLog(status=SessionLog.START), step=purge_step))

    def scalars(self, values: Mapping[str, float], iteration: int) -> None:
        """Add one point per name. Values that are not finite are left out."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self._add(*(Event(summary=scalar(name, value), step=iteration) for name, value in finite.items()))

    def pictures(self, pictures: Mapping[str, Image.Image], iteration: int) -> None:
        """Add one RGB picture per name."""
        for name, picture in pictures.items():
            summary = image(name, np.asarray(picture), dataformats="HWC")
            self._add(Event(summary=summary, step=iteration))

    def close(self) -> None:
        """Close the file."""
        with writing(*self._writing):
            self._file.close()

    def _add(self, *events: Event) -> None:
        now = time.time()
        try:
            with writing(*self._writing):
                for event in events:
                    event.wall_time = now
                    self._file.write(event.SerializeToString())
                self._file.flush()
        except BaseException:
            # Closing the file now drops its buffer. A later close would try to write it, and fail again.
            with suppress(OSError):
                self._file.close()
            raise
