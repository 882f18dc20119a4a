"""Read files of a run that may be damaged, or no files at all. May import: `errors`."""

import json
import os
import stat
from pathlib import Path
from typing import IO, Any

from reverie.errors import InputError

LARGEST = 2**24  # bytes of a JSON file


def open_file(path: Path) -> IO[bytes]:
    """Open a regular file to read; a FIFO or a device is refused instead of waited for.

    Raises:
        InputError: it is not a regular file.
        OSError: it can't be opened; FileNotFoundError if it does not exist.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InputError(f"'{path.name}' is not a regular file.")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_json(path: Path, largest: int = LARGEST) -> Any:
    """The contents of a JSON file.

    Raises:
        InputError: it is missing, not a regular file, larger than `largest` bytes, or not JSON.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > largest:
                raise InputError(f"'{path.name}' has {size:,} bytes, more than the {largest:,} that are read.")
            return json.loads(file.read(largest))
    except FileNotFoundError as error:
        raise InputError(f"'{path.name}' is missing.") from error
    except RecursionError as error:
        raise InputError(f"'{path.name}' is nested too deeply.") from error
    except OSError as error:
        raise InputError(f"'{path.name}' can't be read ({error.strerror}).") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"'{path.name}' is not valid JSON.") from error
