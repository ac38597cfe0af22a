"""What a client meets: OCI Distribution 1.1 on a real socket. One server serves several facts."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable

from tests.support.registry_process import IMAGE, Registry, Reply, digest_of, image_of
from tests.support.waiting import eventually


def test_a_blob_is_pushed_in_chunks_resumed_and_pulled_in_parts(registry: Registry) -> None:
    data = os.urandom(800_000)
    place = registry.begin()
    first = registry.ask("PATCH", place, data[:1000], Content_Range="0-999")
    assert (first.status, first.headers["range"]) == (202, "0-999")
    wrong = registry.ask("PATCH", place, data[:1000], Content_Range="0-999")
    assert (wrong.status, wrong.code, wrong.headers["range"]) == (
        416,
        "BLOB_UPLOAD_INVALID",
        "0-999",
    )
    # a client that vanishes in the middle of a chunk finds what arrived
    with socket.create_connection(("127.0.0.1", registry.port)) as sock:
        head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 799000\r\n\r\n"
        sock.sendall(head.encode() + data[1000:600_000])
        eventually(lambda: registry.arrived(place) > 1 << 18)
    digest = digest_of(data)

    def goes_on() -> bool:
        """Go on where it says that it is; it may say so before it has noticed the end."""
        status = registry.ask("GET", place)
        if status.status != 204:
            return False
        at = int(status.headers["range"].partition("-")[2]) + 1
        assert 1000 <= at <= 600_000
        replies.append(registry.ask(
            "PUT", f"{place}?digest={digest}", data[at:], Content_Range=f"{at}-799999"
        ))  # fmt: skip
        return replies[-1].status == 201 and at > 1 << 18

    replies: list[Reply] = []
    eventually(goes_on)
    done = replies[-1]
    assert (done.status, done.headers["docker-content-digest"]) == (201, digest)
    blob = f"/v2/a/blobs/{digest}"
    assert registry.ask("GET", blob).body == data
    part = registry.ask("GET", blob, Range="bytes=100000-")
    assert (part.status, part.body) == (206, data[100_000:])
    assert part.headers["content-range"] == "bytes 100000-799999/800000"
    assert registry.ask("GET", blob, Range="bytes=900000-").status == 416
    elsewhere = registry.ask("GET", blob, Range="bytes=0-9", If_Range='"other"')
    assert (elsewhere.status, len(elsewhere.body)) == (200, 800_000)
    assert registry.ask("GET", blob, If_None_Match=f'W/"x", "{digest}"').status == 304
    head_only = registry.ask("HEAD", blob)
    assert (head_only.headers["content-length"], head_only.body) == ("800000", b"")


def test_an_upload_can_be_cancelled_and_a_wrong_digest_leaves_nothing(registry: Registry) -> None:
    place = registry.begin()
    assert registry.ask("DELETE", place).status == 204
    gone = registry.ask("PATCH", place, b"x")
    assert (gone.status, gone.code) == (404, "BLOB_UPLOAD_UNKNOWN")
    wrong = registry.ask("PUT", f"{registry.begin()}?digest={digest_of(b'a')}", b"b")
    assert (wrong.status, wrong.code) == (400, "DIGEST_INVALID")
    malformed = registry.ask("PUT", f"{registry.begin()}?digest=sha256:zz", b"b")
    assert (malformed.status, malformed.code) == (400, "DIGEST_INVALID")
    assert registry.ask("HEAD", f"/v2/a/blobs/{digest_of(b'a')}").status == 404


def test_a_blob_comes_by_mount_by_one_post_and_by_sha512(registry: Registry) -> None:
    digest = registry.push_blob(b"shared", "a")
    uploads = "/v2/b/blobs/uploads/"
    assert registry.ask("POST", f"{uploads}?mount={digest}&from=none", b"").status == 202
    assert registry.ask("POST", f"{uploads}?mount={digest}&from=a", b"").status == 201
    assert registry.ask("POST", f"/v2/c/blobs/uploads/?mount={digest}", b"").status == 201
    assert registry.ask("GET", f"/v2/c/blobs/{digest}").body == b"shared"
    long = digest_of(b"long", "sha512")
    assert registry.ask("POST", f"{uploads}?digest={long}", b"long").status == 201
    assert registry.ask("GET", f"/v2/b/blobs/{long}").headers["docker-content-digest"] == long


def test_manifests_tags_and_referrers_are_listed_and_deleted(registry: Registry) -> None:
    digests = [registry.push(str(n).encode(), tag=f"v{n}") for n in range(5)]
    first = registry.ask("GET", "/v2/a/tags/list?n=2")
    assert first.json == {"name": "a", "tags": ["v0", "v1"]}
    assert first.headers["link"] == '</v2/a/tags/list?n=2&last=v1>; rel="next"'
    assert registry.ask("GET", "/v2/a/tags/list?n=2&last=v3").json["tags"] == ["v4"]
    assert registry.ask("GET", "/v2/a/tags/list?n=x").status == 400
    subject = {"mediaType": IMAGE, "digest": digests[0], "size": 1}
    signature = registry.push(tag="sig", subject=subject, artifactType="application/sig")
    found = registry.ask("GET", f"/v2/a/referrers/{digests[0]}?artifactType=application/sig")
    assert found.headers["oci-filters-applied"] == "artifactType"
    assert [entry["digest"] for entry in found.json["manifests"]] == [signature]
    assert registry.ask("DELETE", "/v2/a/manifests/v1").status == 202
    assert registry.ask("GET", f"/v2/a/manifests/{digests[1]}").status == 200
    assert registry.ask("DELETE", f"/v2/a/manifests/{digests[1]}").status == 202
    missing = registry.ask("GET", f"/v2/a/manifests/{digests[1]}")
    assert (missing.status, missing.code) == (404, "MANIFEST_UNKNOWN")
    assert registry.ask("GET", "/v2/_catalog").json == {"repositories": ["a"]}
    assert registry.ask("GET", "/v2/none/tags/list").code == "NAME_UNKNOWN"


def test_what_a_manifest_lacks_is_named_and_a_sparse_index_is_taken(registry: Registry) -> None:
    body = image_of(b"missing")
    registry.push_blob(b"{}")
    reply = registry.ask("PUT", "/v2/a/manifests/x", body, Content_Type=IMAGE)
    assert (reply.status, reply.code) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert reply.json["errors"][0]["detail"] == [{"digest": digest_of(b"missing")}]
    entry = {"mediaType": IMAGE, "digest": digest_of(b"elsewhere"), "size": 9}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    media_type = "application/vnd.oci.image.index.v1+json"
    assert registry.ask("PUT", "/v2/a/manifests/i", index, Content_Type=media_type).status == 201


def test_referrers_come_in_pages_with_the_filter_kept(registry: Registry) -> None:
    subject = registry.push(b"layer")
    entry = {"mediaType": IMAGE, "digest": subject, "size": 1}
    expected = []
    for number in range(7):
        kind = "application/sig" if number % 2 == 0 else "application/sbom"
        notes = {"n": f"{number}" + "x" * 700_000}
        digest = registry.push(
            tag=f"r{number}", subject=entry, artifactType=kind, annotations=notes
        )
        expected += [digest] if number % 2 == 0 else []
    path, found, pages = f"/v2/a/referrers/{subject}?artifactType=application%2Fsig", [], 0
    while path:
        reply = registry.ask("GET", path)
        assert reply.headers["oci-filters-applied"] == "artifactType"
        assert reply.headers["content-type"] == "application/vnd.oci.image.index.v1+json"
        assert len(reply.body) < 4 << 20
        found += [entry["digest"] for entry in reply.json["manifests"]]
        link = reply.headers.get("link", "")
        path = link.partition("<")[2].partition(">")[0]
        pages += 1
    assert found == expected
    assert pages == 2
    assert registry.ask("GET", f"/v2/a/referrers/{subject}?last=x").status == 400
    assert len(registry.ask("GET", f"/v2/a/referrers/{subject}?n=1").json["manifests"]) == 1


def test_fallback_tags_of_older_clients_join_the_referrers(registry: Registry) -> None:
    subject = registry.push(b"1")
    entry = {"mediaType": IMAGE, "digest": digest_of(b"sig"), "size": 3, "artifactType": "a/b"}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    tag = subject.replace(":", "-")
    registry.ask(
        "PUT", f"/v2/a/manifests/{tag}", index,
        Content_Type="application/vnd.oci.image.index.v1+json",
    )  # fmt: skip
    found = registry.ask("GET", f"/v2/a/referrers/{subject}").json["manifests"]
    assert [one["digest"] for one in found] == [digest_of(b"sig")]
    filtered = registry.ask("GET", f"/v2/a/referrers/{subject}?artifactType=x/y").json
    assert filtered["manifests"] == []


def test_a_connection_stays_usable_after_errors_and_odd_bytes_are_answered(
    registry: Registry,
) -> None:
    connection = registry.connection()
    for path, status in (("/v2/A/tags/list", 400), ("/nothing", 404), ("/v2/", 200)):
        reply = registry.ask("GET", path, connection=connection)
        assert reply.status == status
        assert reply.headers["server"] == "boxy-registry"
    refused = registry.ask("PUT", "/v2/a/manifests/x", b"y" * 50_000, connection=connection)
    assert (refused.status, refused.code) == (400, "MANIFEST_INVALID")
    assert registry.ask("PROPFIND", "/v2/", connection=connection).status == 405
    connection.close()
    with socket.create_connection(("127.0.0.1", registry.port), timeout=30) as sock:
        sock.sendall(b"this is not HTTP\r\n\r\n")
        assert b"400" in sock.recv(4000).split(b"\r\n")[0]
    assert registry.ask("GET", "/livez").json == {"status": "ok"}


def test_a_body_is_asked_for_when_the_request_is_found_good(registry: Registry) -> None:
    place = registry.begin()
    expecting = "HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", registry.port), timeout=30) as sock:
        sock.sendall(f"PATCH {place} {expecting}".encode())
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"abc")
        assert b" 202 " in sock.recv(1000)
    with socket.create_connection(("127.0.0.1", registry.port), timeout=30) as sock:
        sock.sendall(f"PATCH {place}x {expecting}".encode())
        assert sock.recv(100).startswith(b"HTTP/1.1 404 ")


def test_limits_read_only_and_warnings_are_kept_to(new_registry: Callable[[], Registry]) -> None:
    registry = new_registry()
    registry.start(
        config="""
        warning = "old registry, see example.org"
        [limits]
        manifest = "64k"
        blob = "100k"
        quota = "150k"
        """
    )
    assert registry.ask("GET", "/v2/").headers["warning"] == '299 - "old registry, see example.org"'
    large = os.urandom(120_000)
    reply = registry.ask("PUT", f"{registry.begin()}?digest={digest_of(large)}", large)
    assert (reply.status, reply.code) == (413, "SIZE_INVALID")
    reply = registry.ask("PUT", "/v2/a/manifests/x", b"[" * 70_000)
    assert (reply.status, reply.code) == (413, "SIZE_INVALID")
    registry.push_blob(os.urandom(90_000))
    more = os.urandom(90_000)
    reply = registry.ask("PUT", f"{registry.begin()}?digest={digest_of(more)}", more)
    assert (reply.status, reply.code) == (403, "DENIED")
    registry.push(b"kept", name="b")
    registry.stop()
    registry.start("--read-only", config="[limits]\nrequests = 1\nburst = 4\n")
    assert registry.ask("GET", "/v2/b/manifests/t").status == 200
    assert registry.ask("POST", "/v2/b/blobs/uploads/", b"").code == "DENIED"
    for _ in range(50):  # one is given back each second, however long these take
        reply = registry.ask("GET", "/v2/")
        if reply.status != 200:
            break
    assert (reply.status, reply.code) == (429, "TOOMANYREQUESTS")
    assert int(reply.headers["retry-after"]) >= 1
