import gzip
import hashlib
import ssl
import time

import pytest
import trustme
from catalogues import serve

from trtreg.errors import DownloadError, DownloadMismatchError, NotOnServerError, OutputError, TLSError
from trtreg.packages.download import Limits, allowed, download, fetch

DATA = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with serve() as server:
        server.routes["/file"] = DATA
        yield server


@pytest.fixture
def target(tmp_path):
    """Give a file that was there before; after a failure it still is, and nothing lies beside it."""
    folder = tmp_path / "target"
    folder.mkdir()
    (folder / "file").write_bytes(b"before")
    return folder / "file"


def untouched(target):
    return target.read_bytes() == b"before" and [*target.parent.iterdir()] == [target]


def reply(status=200, body=b"", **headers):
    def send(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def test_a_file_comes_whole_and_checked(server, target):
    assert download(f"{server.url}/file", target, sha256=SHA256, size=len(DATA)) == target
    assert target.read_bytes() == DATA
    assert [*target.parent.iterdir()] == [target]
    assert server.log[0][1]["User-Agent"].startswith("trtreg/")


def test_who_reads_the_file_before_goes_on_with_it(server, target):
    with target.open("rb") as file:
        download(f"{server.url}/file", target)
        assert file.read() == b"before"


def test_progress_is_told(server, target):
    told = []
    download(f"{server.url}/file", target, on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(DATA), len(DATA))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_file_url_is_read_alike(tmp_path, target):
    source = tmp_path / "my file"
    source.write_bytes(DATA)
    found = fetch(source.as_uri(), target, sha256=SHA256)
    assert (target.read_bytes(), found.size) == (DATA, len(DATA))
    assert fetch(source.as_uri(), target, etag=found.etag) is None
    source.write_bytes(b"other")
    assert fetch(source.as_uri(), target, etag=found.etag).size == 5
    with pytest.raises(NotOnServerError, match="does not exist"):
        fetch((tmp_path / "nothing").as_uri(), target)
    with pytest.raises(DownloadError, match="cannot be read"):
        fetch(tmp_path.as_uri(), target)


def test_what_has_not_changed_is_not_sent_again(server, target):
    found = fetch(f"{server.url}/file", target)
    target.write_bytes(b"before")
    assert fetch(f"{server.url}/file", target, etag=found.etag) is None
    assert server.statuses == [200, 304]
    assert untouched(target)


def test_last_modified_is_sent_back(server, target):
    when = "Sat, 21 Nov 2026 03:00:00 GMT"
    server.routes["/file"] = reply(body=b"x", Last_Modified=when, Content_Length="1")
    assert fetch(f"{server.url}/file", target).last_modified == when
    fetch(f"{server.url}/file", target, last_modified=when)
    assert server.log[1][1]["If-Modified-Since"] == when


def test_gzip_is_unpacked(server, target):
    packed = gzip.compress(DATA)
    server.routes["/file"] = reply(body=packed, Content_Encoding="gzip", Content_Length=str(len(packed)))
    download(f"{server.url}/file", target, sha256=SHA256, size=len(DATA))
    assert target.read_bytes() == DATA


@pytest.mark.parametrize(
    ("expected", "what"),
    [
        ({"sha256": "0" * 64}, "sha256"),
        ({"size": len(DATA) - 1}, "size"),
        ({"size": len(DATA) + 1}, "size"),
    ],
)
def test_another_file_is_refused(server, target, expected, what):
    with pytest.raises(DownloadMismatchError, match=f"has another {what}"):
        download(f"{server.url}/file", target, **expected)
    assert untouched(target)


def test_an_endless_file_is_ended_at_the_expected_size(server, target):
    server.routes["/file"] = reply(body=DATA)  # without a length: until the connection ends
    with pytest.raises(DownloadMismatchError, match="more than 10 bytes"):
        download(f"{server.url}/file", target, size=10)
    assert untouched(target)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip bomb"])
def test_a_file_that_is_too_large_is_refused(server, target, packed):
    body = gzip.compress(bytes(10**7)) if packed else bytes(10**5)
    server.routes["/file"] = reply(body=body, Content_Encoding="gzip" if packed else "identity")
    with pytest.raises(DownloadError, match="too large"):
        download(f"{server.url}/file", target, limits=Limits(size=10**4))
    assert untouched(target)


@pytest.mark.parametrize(
    ("send", "error", "message"),
    [
        (reply(404), NotOnServerError, "HTTP 404"),
        (reply(410), NotOnServerError, "HTTP 410"),
        (reply(401), DownloadError, "may not be read: found HTTP 401"),
        (reply(403), DownloadError, "may not be read: found HTTP 403"),
        (reply(500), DownloadError, "HTTP 500"),
        (reply(503), DownloadError, "HTTP 503"),
        (reply(200, b"x" * 10, Content_Length="100"), DownloadError, "broke off"),
        (reply(200, b"5\r\nabc", Transfer_Encoding="chunked"), DownloadError, "broke off"),
        (reply(200, b"not gzip", Content_Encoding="gzip", Content_Length="8"), DownloadError, "does not unpack"),
        (reply(302, Location="file:///etc/hostname"), DownloadError, "redirects elsewhere: found file:"),
        (reply(302, Location="ftp://host.example/"), DownloadError, "redirects elsewhere"),
        (reply(302, Location="/file"), DownloadError, "redirects without end"),
        (reply(302), DownloadError, "HTTP 302"),
        (lambda handler: handler.wfile.write(b"nonsense\r\n\r\n"), DownloadError, "nonsense"),
        (lambda handler: None, DownloadError, "cannot connect"),
    ],
)
def test_what_a_server_does_wrong_is_told(server, target, send, error, message):
    server.routes["/file"] = send
    with pytest.raises(error, match=message) as caught:
        download(f"{server.url}/file", target)
    assert type(caught.value) is error
    assert untouched(target)


def test_what_is_over_in_a_moment_is_tried_again(server, target):
    def busy(handler):
        server.routes["/file"] = DATA
        reply(503)(handler)

    server.routes["/file"] = busy
    download(f"{server.url}/file", target)
    assert server.statuses == [503, 200]


def test_a_redirect_is_followed_to_the_same_scheme(server, target):
    server.routes["/old"] = reply(301, Location="/file")
    assert fetch(f"{server.url}/old", target).url == f"{server.url}/file"


def test_a_silent_server_is_given_up(server, target):
    server.routes["/file"] = lambda handler: time.sleep(2)
    started = time.monotonic()
    with pytest.raises(DownloadError, match="does not answer in time"):
        download(f"{server.url}/file", target, limits=Limits(silence=0.3))
    assert time.monotonic() - started < 1.8
    assert untouched(target)


def test_a_server_that_falls_silent_is_given_up(server, target):
    def stall(handler):
        reply(200, b"x", Content_Length="100")(handler)
        handler.wfile.flush()
        time.sleep(2)

    server.routes["/file"] = stall
    with pytest.raises(DownloadError, match="fell silent"):
        download(f"{server.url}/file", target, limits=Limits(silence=0.3))
    assert untouched(target)


def test_a_trickle_is_given_up(server, target):
    """Each byte resets the time limit of the socket."""

    def trickle(handler):
        reply(200, b"", Content_Length="100")(handler)
        for _ in range(50):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)

    server.routes["/file"] = trickle
    started = time.monotonic()
    with pytest.raises(DownloadError, match="comes too slowly"):
        download(f"{server.url}/file", target, limits=Limits(patience=0.4))
    assert time.monotonic() - started < 2
    assert untouched(target)


def test_nobody_there(target):
    with serve() as server:
        url = server.url
    with pytest.raises(DownloadError, match="Connection refused") as caught:
        download(f"{url}/file", target)
    assert "object at" not in str(caught.value)


def test_no_password_in_an_error(server, target):
    url = server.url.replace("http://", "http://me:secret@")
    with pytest.raises(NotOnServerError) as caught:
        download(f"{url}/nothing", target)
    assert "secret" not in str(caught.value)
    assert server.log[0][1]["Authorization"].startswith("Basic ")


def test_a_password_does_not_follow_to_another_host(server, target):
    server.routes["/old"] = reply(302, Location=f"{server.url.replace('127.0.0.1', 'localhost')}/file")
    download(server.url.replace("http://", "http://me:secret@") + "/old", target)
    assert "Authorization" in server.log[0][1]
    assert "Authorization" not in server.log[1][1]


def test_a_folder_that_is_not_there(server, tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        download(f"{server.url}/file", tmp_path / "no" / "file")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def secure(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serve(context) as server:
        server.routes["/file"] = DATA
        yield server


def test_a_certificate_that_nobody_knows_is_refused(secure, target):
    with pytest.raises(TLSError, match=r"certificate of 127.0.0.1 cannot be trusted.*REQUESTS_CA_BUNDLE") as caught:
        download(f"{secure.url}/file", target)
    assert "unable to get local issuer certificate" in str(caught.value)
    assert secure.log == []
    assert untouched(target)


def test_the_companys_own_authority_is_trusted_where_it_is_named(secure, target, authority, monkeypatch, tmp_path):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    download(f"{secure.url}/file", target, sha256=SHA256)
    assert target.read_bytes() == DATA


def test_a_certificate_of_another_host_is_refused(authority, target, monkeypatch, tmp_path):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    with serve(context) as server, pytest.raises(TLSError, match="mismatch"):
        download(f"{server.url}/file", target)


def test_https_does_not_redirect_to_http(secure, server, target, authority, monkeypatch, tmp_path):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    secure.routes["/old"] = reply(302, Location=f"{server.url}/file")
    with pytest.raises(DownloadError, match="redirects elsewhere"):
        download(f"{secure.url}/old", target)
    assert server.log == []
    server.routes["/old"] = reply(302, Location=f"{secure.url}/file")
    download(f"{server.url}/old", target, sha256=SHA256)


@pytest.mark.parametrize(
    ("origin", "url", "fine"),
    [
        ("https://a/", "https://b/", True),
        ("https://a/", "http://a/", False),
        ("http://a/", "http://b/", True),
        ("http://a/", "https://a/", True),
        ("http://a/", "file:///x", False),
        ("file:///x", "file:///y", True),
        ("file:///x", "https://a/", True),
        ("https://a/", "javascript:alert(1)", False),
        ("https://a/", "ftp://a/", False),
    ],
)
def test_where_an_index_may_send_a_reader(origin, url, fine):
    assert allowed(origin, url) is fine
