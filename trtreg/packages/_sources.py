"""Where downloads come from: http, https and file URLs, opened, with every failure in words."""

from __future__ import annotations

import os
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urljoin, urlsplit

from trtreg.errors import DownloadError, NotOnServerError, TLSError
from trtreg.packages.settings import public

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests import Response

__all__ = ["Limits", "Source", "allowed", "opened"]

_CHUNK: Final = 1 << 16
_REDIRECTS: Final = 5
_REDIRECT: Final = frozenset({301, 302, 303, 307, 308})
_NOT_MODIFIED: Final = 304
_GONE: Final = frozenset({404, 410})
_FORBIDDEN: Final = frozenset({401, 403})
_FIRST_ERROR: Final = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much and how slow a download may be; after `patience` seconds it has to keep up `slowest` bytes a second."""

    size: int = 1 << 32
    connect: float = 10.0
    silence: float = 30.0
    patience: float = 30.0
    slowest: float = 1024.0


def allowed(origin: str, url: str) -> bool:
    """Whether something at `origin` may send a reader to `url`: to https, or to the same scheme, and never elsewhere.

    So an https index cannot be turned into a plain one, nor a server make us read local files.
    """
    scheme = urlsplit(url).scheme
    return scheme == "https" or (scheme in {"http", "file"} and scheme == urlsplit(origin).scheme)


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """An open download: the URL after redirects, its content bit by bit, and the validators for the next time."""

    url: str
    chunks: Iterator[bytes]
    length: int | None
    """Of the content, where it is known."""
    etag: str | None = None
    last_modified: str | None = None


@contextmanager
def opened(url: str, etag: str | None, last_modified: str | None, limits: Limits) -> Iterator[Source | None]:
    opener = _open_file(url, etag) if urlsplit(url).scheme == "file" else _open_http(url, etag, last_modified, limits)
    with opener as source:
        yield source


@contextmanager
def _open_file(url: str, etag: str | None) -> Iterator[Source | None]:
    path = Path(unquote(urlsplit(url).path))
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            mark = f"{facts.st_ino:x}-{facts.st_size:x}-{facts.st_mtime_ns:x}"
            modified = formatdate(facts.st_mtime, usegmt=True)
            chunks = iter(lambda: file.read(_CHUNK), b"")
            found = Source(url=url, chunks=chunks, length=facts.st_size, etag=mark, last_modified=modified)
            yield None if mark == etag else found
    except (FileNotFoundError, NotADirectoryError):
        raise NotOnServerError(f"{path} does not exist", remedy="check the URL of the index") from None
    except (IsADirectoryError, PermissionError) as e:
        raise DownloadError(f"{path} cannot be read", found=e.strerror) from e


@contextmanager
def _open_http(url: str, etag: str | None, last_modified: str | None, limits: Limits) -> Iterator[Source | None]:
    import requests

    headers = {"Accept-Encoding": "gzip", "User-Agent": _user_agent()}
    headers |= {"If-None-Match": etag} if etag else {}
    headers |= {"If-Modified-Since": last_modified} if last_modified else {}
    with _named(url), requests.Session() as session:
        _retry(session)
        with _follow(session, url, headers, limits) as response:
            if response.status_code == _NOT_MODIFIED:
                yield None
                return
            _check_status(response)
            encoded = response.headers.get("Content-Encoding", "identity") != "identity"
            length = None if encoded else _number(response.headers.get("Content-Length"))
            yield Source(
                url=response.url,
                chunks=_received(response, limits),
                length=length,
                etag=response.headers.get("ETag"),
                last_modified=response.headers.get("Last-Modified"),
            )


def _follow(session: Any, url: str, headers: dict[str, str], limits: Limits) -> Response:
    """Follow redirects by hand: each is looked at, and sent no password of another host."""
    here = url
    for _ in range(_REDIRECTS + 1):
        response: Response = session.get(
            here, headers=headers, stream=True, allow_redirects=False, timeout=(limits.connect, limits.silence)
        )
        location = response.headers.get("Location")
        if response.status_code not in _REDIRECT or not location:
            return response
        response.close()
        target = urljoin(here, location)
        if not allowed(here, target):
            expected = "https, or the same scheme"
            raise DownloadError(f"{public(here)} redirects elsewhere", found=public(target), expected=expected)
        here = target
    raise DownloadError(f"{public(url)} redirects without end", found=f"more than {_REDIRECTS} redirects")


def _retry(session: Any) -> None:
    """Try again what is over in a moment; never what was begun."""
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    again = Retry(
        total=2, connect=2, read=False, redirect=0, status=2, other=0, status_forcelist={502, 503, 504},
        backoff_factor=0.2, raise_on_status=False, respect_retry_after_header=False,
    )  # fmt: skip
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=again))


def _check_status(response: Response) -> None:
    status = f"HTTP {response.status_code} {response.reason or ''}".rstrip()
    where = public(response.url)
    if response.status_code in _GONE:
        raise NotOnServerError(f"{where} is not there", found=status, remedy="check the URL of the index")
    if response.status_code in _FORBIDDEN:
        remedy = "give name and password in ~/.netrc or in the index's URL"
        raise DownloadError(f"{where} may not be read", found=status, remedy=remedy)
    if response.status_code >= _FIRST_ERROR or response.status_code in _REDIRECT:
        raise DownloadError(f"{where} cannot be read", found=status, remedy="try again later, or ask who runs it")


def _received(response: Response, limits: Limits) -> Iterator[bytes]:
    """The decoded content as it comes; a reader that waits for whole blocks would not notice a trickle.

    urllib3 raises where less comes than was announced.
    """
    start = time.monotonic()
    while True:
        chunk = response.raw.read1(_CHUNK, decode_content=True)
        if not chunk:
            break
        yield chunk
        seconds = time.monotonic() - start
        if seconds > limits.patience and response.raw.tell() < limits.slowest * seconds:
            raise DownloadError(
                f"{public(response.url)} comes too slowly",
                found=f"{response.raw.tell()} bytes in {seconds:.0f} s",
                expected=f"{limits.slowest:.0f} bytes a second",
                remedy="try again later",
            )


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Turn what requests and urllib3 raise into our errors, with causes in words."""
    import requests
    import urllib3

    where = public(url)
    try:
        yield
    except requests.exceptions.SSLError as e:
        raise TLSError(
            f"the certificate of {urlsplit(url).hostname} cannot be trusted",
            found=_reason(e),
            remedy="if the certificate is your company's own, set REQUESTS_CA_BUNDLE to the file that holds its root",
        ) from e
    except requests.exceptions.Timeout as e:
        raise DownloadError(f"{where} does not answer in time", remedy="try again later") from e
    except urllib3.exceptions.SSLError as e:
        raise DownloadError(f"the connection to {where} broke", found=_reason(e), remedy="try again") from e
    except urllib3.exceptions.ReadTimeoutError as e:
        raise DownloadError(f"{where} fell silent", remedy="try again later") from e
    except urllib3.exceptions.ProtocolError as e:
        raise _cut_short(url, _reason(e)) from e
    except urllib3.exceptions.DecodeError as e:
        raise DownloadError(f"{where} does not unpack", found=_reason(e), remedy="try again") from e
    except requests.exceptions.ConnectionError as e:
        remedy = "check the network and the index's URL, or use --offline"
        raise DownloadError(f"cannot connect to {urlsplit(url).netloc.rpartition('@')[2]}", found=_reason(e),
                            remedy=remedy) from e  # fmt: skip
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as e:
        raise DownloadError(f"{where} cannot be read", found=_reason(e)) from e


def _reason(error: BaseException) -> str:
    """The innermost cause: requests wraps what urllib3 wraps."""
    inner: Any = error
    for _ in range(10):
        following = getattr(inner, "reason", None)
        if not isinstance(following, BaseException):
            following = next((a for a in inner.args if isinstance(a, BaseException)), None)
        if following is None:
            break
        inner = following
    text = getattr(inner, "verify_message", None) or getattr(inner, "strerror", None) or str(inner)
    # urllib3 begins with the connection's repr.
    return re.sub(r"^<?HTTPS?Connection\S*( object at \w+>)?(\(.*?\))?: ", "", " ".join(str(text).split()))


def _cut_short(url: str, found: str) -> DownloadError:
    return DownloadError(f"{public(url)} broke off", found=found, remedy="try again")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _user_agent() -> str:
    from trtreg import __version__

    return f"trtreg/{__version__}"
