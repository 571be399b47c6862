"""One large file over HTTP, in as many attempts as it takes.

    FILE.part holds N bytes ─► "Range: bytes=N-" ─► 206: append   (200: the server cannot, start anew)
    length right, SHA-256 right where one is known ─► FILE.part becomes FILE

So FILE is always whole. Nothing but the standard library is needed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from types import MappingProxyType
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tqdm.auto import tqdm

from minivl.errors import InputError, WeightsError

TIMEOUT = 30  # seconds without a byte
BLOCK = 1 << 20  # bytes
AGAIN = "run the same command again, it goes on where it stopped"
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def download_file(url: str, file: Path) -> Path:
    """Fetch one http(s) URL to `file`, going on from `file`.part if there is one; returns `file`.

    A file that is there is kept if it has the right length, or while the server cannot be asked for it.
    Raises InputError for another kind of URL, WeightsError for whatever keeps the file from coming.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise InputError(f"{url} is no address of a file on the web: give one that starts with https://")
    file = Path(file).expanduser()
    writable_folder(file.parent)
    size = remote_size(url, file)
    if size_of(file) != size:
        fetch(url, file, size, url)
    return file


def remote_size(url: str, file: Path) -> int:
    """Bytes of the file at a URL; of `file`, where it is to go, if that is there and the server does not say."""
    have = size_of(file)
    try:
        with explained(url, file), _open(url, NO_HEADERS, "HEAD") as response:
            if response.headers.get_content_type() == "text/html":
                raise WeightsError(f"{url} is a web page, not a file: log in to this network, or check the address")
            if "Content-Length" not in response.headers:
                raise WeightsError(f"{url} does not tell its length: fetch it with a browser, to {file}")
            return int(response.headers["Content-Length"])
    except WeightsError:
        if have is None:
            raise
        return have


def fetch(
    url: str, file: Path, size: int, source: str, headers: Mapping[str, str] = NO_HEADERS, sha256: str | None = None
) -> None:
    """Fetch what is missing of a file of `size` bytes. Raises WeightsError.

    source: what messages call it; a signed URL is a page long.
    """
    if file.is_dir():
        raise WeightsError(f"{file} is a folder: move it, so that the file can have its name")
    part = part_of(file)
    with explained(source, file):
        file.parent.mkdir(parents=True, exist_ok=True)
        have = size_of(part)
        if have is None or have > size:  # too long: it is of another file
            have = 0
        if have < size or not part.exists():
            with _open(url, {**headers, "Range": f"bytes={have}-"} if have else headers) as response:
                goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
                _copy(response, part, have if goes_on else 0, size)
        _check(part, size, source, sha256)
        os.replace(part, file)


def part_of(file: Path) -> Path:
    """Where the bytes that have come are kept until the file is whole."""
    return file.with_name(f"{file.name}.part")


def size_of(file: Path) -> int | None:
    """Bytes of a file, None if there is none."""
    return file.stat().st_size if file.is_file() else None


def writable_folder(folder: Path) -> Path:
    """Make a folder if need be, and try to write in it. Raises WeightsError."""
    if folder.is_file():
        raise WeightsError(f"{folder} is a file: give a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise WeightsError(f"{folder} cannot be written to ({error.strerror}): choose another folder") from error


@contextmanager
def explained(source: str, file: Path) -> Iterator[None]:
    """Whatever keeps a file from coming or from being written becomes a WeightsError of one sentence."""
    try:
        yield
    except HTTPError as error:
        if error.code in (404, 410):
            way = f"find {file.name} elsewhere, and put it into {file.parent}"
            raise WeightsError(f"{source} does not exist ({error.code}): {way}") from error
        if error.code in (401, 403):
            way = f"fetch it with a browser that is logged in, to {file}"
            raise WeightsError(f"{source} refuses access ({error.code}): {way}") from error
        raise WeightsError(f"{source} answered with error {error.code}: wait a little, then {AGAIN}") from error
    except (OSError, HTTPException) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WeightsError(f"the disk is full before {file} is finished: free some space, then {AGAIN}") from error
        if isinstance(error, OSError) and error.filename:
            way = f"({error.strerror}): choose another folder"
            raise WeightsError(f"{error.filename} cannot be written {way}") from error
        raise WeightsError(f"the connection to {source} failed ({reason(error)}): check it, then {AGAIN}") from error


def reason(error: Exception) -> str:
    """The start of what an error of the network says."""
    return (str(getattr(error, "reason", "") or error).splitlines() or [type(error).__name__])[0][:100]


def _open(url: str, headers: Mapping[str, str], method: str = "GET") -> HTTPResponse:
    return urlopen(Request(url, headers=dict(headers), method=method), timeout=TIMEOUT)


def _copy(response: HTTPResponse, part: Path, have: int, size: int) -> None:
    with (
        part.open("ab" if have else "wb") as out,
        tqdm(desc=part.stem, total=size, initial=have, unit="B", unit_scale=True) as bar,
    ):
        # read1 hands over what has come: when the connection is cut, none of it is lost in a half-filled buffer
        while block := response.read1(BLOCK):
            out.write(block)
            bar.update(len(block))


def _check(part: Path, size: int, source: str, sha256: str | None) -> None:
    """Raises WeightsError; a part that more bytes would not put right is deleted."""
    got = part.stat().st_size
    if got < size:
        raise WeightsError(f"{source} was cut off after {got:,} of {size:,} bytes, which are kept: {AGAIN}")
    if got > size or (sha256 and _sha256(part) != sha256):
        part.unlink()
        raise WeightsError(f"what came from {source} is not the file that was announced: run the same command again")


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
