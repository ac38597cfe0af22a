"""One download: an archive over https, to a temporary name, kept only if its digest is right.

Constraint: standard library only, and only the schemes http and https: an address in an
image.json must never open a file of this machine. Proxies are taken from the environment
(https_proxy, no_proxy), as curl does. There is no resuming: an archive is fetched whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import secrets
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from typing import IO
from urllib.parse import urlsplit

from boxy_core.errors import ImageError

TIMEOUT = 30.0  # seconds without a byte
MAX_BYTES = 16 << 30
_PIECE = 1 << 18


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and scheme != urlsplit(req.full_url).scheme:
            raise urllib.error.URLError(f"it redirects to {scheme or 'nowhere'}, which is not safe")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def fetch(url: str, target: str, *, sha256: str, progress: Callable[[int, int], None]) -> None:
    """Download `url` to the file `target`, which is complete or absent afterwards.

    `sha256` is 64 hexadecimal digits ("": unchecked); `progress(done, total)` in bytes, total
    0 if the server does not say. An exception from `progress` ends the download.

    Raises:
        ImageError: no network, a refusal of the server, a short or wrong file, a full disk.
    """
    temporary = f"{os.path.dirname(target)}/tmp-{secrets.token_hex(8)}"
    try:
        found = _download(url, temporary, progress)
        if sha256 and found != sha256:
            raise ImageError(
                f"{url} gave a file with the sha256 {found}, not {sha256}",
                hint="somebody changed the file or its address: do not use it; "
                "see where it is published and correct `sha256` in image.json",
            )
        os.rename(temporary, target)
    except (OSError, http.client.HTTPException) as error:
        raise _explained(url, target, error) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _download(url: str, path: str, progress: Callable[[int, int], None]) -> str:
    """Write the file behind `url` to `path`; its sha256."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "boxy"), ("Accept-Encoding", "identity")]
    answer = opener.open(url, timeout=TIMEOUT)
    if answer is None:
        raise urllib.error.URLError("its scheme is neither https nor http")
    with answer, open(path, "xb") as file:
        total = _length(answer.headers.get("Content-Length"))
        digest, done = hashlib.sha256(), 0
        while piece := answer.read(_PIECE):
            file.write(piece)
            digest.update(piece)
            done += len(piece)
            if done > MAX_BYTES:
                raise urllib.error.URLError(f"it is larger than {MAX_BYTES >> 30} GiB")
            progress(done, total)
        if total and done < total:
            raise urllib.error.URLError(f"the connection ended after {done} of {total} bytes")
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _length(header: str | None) -> int:
    return int(header) if header and header.isdecimal() and len(header) < 16 else 0


def _explained(url: str, target: str, error: Exception) -> ImageError:
    """The cause in one sentence, and how to do without a network."""
    hint = f"fetch it on a machine with a network and put it at {target}"
    reason: object = error
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return ImageError(
            f"{url} cannot be had: the server says {error.code} {error.reason}",
            hint="is the address in image.json still right?",
        )
    if isinstance(error, urllib.error.URLError):
        reason = error.reason
    if isinstance(reason, socket.gaierror):
        host = urlsplit(url).hostname
        return ImageError(f"{url} cannot be had: no address for {host} (no network?)", hint=hint)
    if isinstance(reason, TimeoutError):
        return ImageError(f"{url} cannot be had: no answer within {TIMEOUT:.0f} s", hint=hint)
    if isinstance(reason, OSError) and reason.strerror:
        reason = reason.strerror
    return ImageError(f"{url} cannot be had: {reason}", hint=hint)
