"""The store: what was pushed is there whole, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from boxy_core.errors import Conflict, Denied
from boxy_registry import manifests
from boxy_registry.errors import (
    BlobUnknown,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestUnknown,
    NameUnknown,
    QuotaExceeded,
    UploadBusy,
)
from boxy_registry.names import digest_of
from boxy_registry.store import Store, writing
from boxy_registry.store.threads import in_thread
from tests.support.waiting import eventually_async
from tests.unit.registry.conftest import World, image_of


async def test_a_blob_is_a_plain_file_under_its_digest(world: World) -> None:
    digest = await world.blob(b"hello")
    assert world.store.blob("a", digest).size == 5
    assert world.file(digest).read_bytes() == b"hello"
    assert world.file(digest).parent.name == digest[7:9]
    assert os.listdir(world.store.uploads.folder) == []


async def test_content_of_another_digest_leaves_nothing_behind(world: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"other"

    with pytest.raises(DigestInvalid, match="is sha256"):
        await world.store.put_blob("a", digest_of(b"hello"), chunks())
    assert os.listdir(world.store.uploads.folder) == []
    assert list(world.store.blobs.walk()) == []


async def test_a_blob_is_read_only_through_repositories_that_hold_it(world: World) -> None:
    digest = await world.blob(b"x", "a")
    with pytest.raises(BlobUnknown):
        world.store.blob("b", digest)


async def test_an_upload_goes_on_in_another_process(world: World) -> None:
    other = Store(world.store.root)
    data = os.urandom(3000)
    with world.store.uploads.begin("a") as upload:
        upload.append([data[:1000]])
    with other.uploads.open("a", upload.id) as again:
        assert again.offset == 1000
        again.append([data[1000:1500], data[1500:2000]])
    with world.store.uploads.open("a", upload.id) as last:
        last.append([data[2000:]])
        await world.store.finish(last, digest_of(data))
    assert world.file(digest_of(data)).read_bytes() == data
    other.close()


async def test_an_upload_may_end_with_another_algorithm_than_it_began(world: World) -> None:
    with world.store.uploads.begin("a", "sha256") as upload:
        upload.append([b"abc"])
        await world.store.finish(upload, "sha512:" + hashlib.sha512(b"abc").hexdigest())
    assert "sha512" in next(iter(world.store.blobs.walk()))[0]


def test_one_request_at_a_time_writes_to_an_upload(world: World) -> None:
    with world.store.uploads.begin("a") as upload, pytest.raises(UploadBusy):
        world.store.uploads.open("a", upload.id)
    world.store.uploads.open("a", upload.id).close()


@pytest.mark.parametrize("identity", ["", "x", "../" * 10 + "ab", "a" * 32, "é" * 32])
def test_an_unknown_upload_is_told(world: World, identity: str) -> None:
    with pytest.raises(BlobUploadUnknown):
        world.store.uploads.open("a", identity)


def test_an_upload_belongs_to_its_repository(world: World) -> None:
    world.store.uploads.begin("a").close()
    identity = os.listdir(world.store.uploads.folder)[0].partition(".")[0]
    with pytest.raises(BlobUploadUnknown):
        world.store.uploads.open("b", identity)


async def test_many_chunks_smaller_than_a_system_call_takes_are_written(world: World) -> None:
    chunks = [bytes([number % 256]) for number in range(3000)]
    with world.store.uploads.begin("a") as upload:
        upload.append(chunks)
        await world.store.finish(upload, digest_of(b"".join(chunks)))
    assert upload.offset == 3000


async def test_a_manifest_moves_its_tag_and_stays_under_its_digest(world: World) -> None:
    first = await world.image(b"1")
    second = await world.image(b"2")
    assert world.store.manifest("a", "t").digest == second
    assert world.store.manifest("a", first).digest == first
    assert world.store.tag_names("a") == ["t"]


async def test_a_manifest_needs_what_it_names_in_its_own_repository(world: World) -> None:
    await world.blob(b"{}", "a")
    await world.blob(b"layer", "b")
    manifest = manifests.parse(image_of(b"{}", (b"layer",)), manifests.IMAGE)
    with pytest.raises(ManifestBlobUnknown) as caught:
        await world.store.put_manifest("a", "t", manifest)
    assert caught.value.detail == [{"digest": digest_of(b"layer")}]
    with pytest.raises(NameUnknown):
        world.store.tag_names("c")


async def test_deleting_a_manifest_takes_its_tags_with_it(world: World) -> None:
    digest = await world.image(b"1", tag="one")
    await world.image(b"1", tag="two")
    assert sorted(await world.store.delete_manifest("a", digest)) == ["one", "two"]
    with pytest.raises(ManifestUnknown):
        world.store.manifest("a", "one")
    with pytest.raises(ManifestUnknown):
        await world.store.delete_manifest("a", digest)


async def test_deleting_a_tag_leaves_the_manifest(world: World) -> None:
    digest = await world.image(b"1")
    assert await world.store.delete_tag("a", "t") == digest
    assert world.store.manifest("a", digest).digest == digest


async def test_a_mount_takes_only_from_where_the_caller_may_read(world: World) -> None:
    digest = await world.blob(b"x", "secret")
    assert not await world.store.mount("b", digest, lambda name: name != "secret")
    assert await world.store.mount("b", digest, lambda name: True)
    assert world.store.blob("b", digest).size == 1


async def test_repositories_count_their_bytes(world: World) -> None:
    await world.image(b"layer")
    digest = await world.image(b"layer", b"more", tag="u")
    found = world.store.repository("a")
    bodies = len(image_of(b"{}", (b"layer",))) + len(image_of(b"{}", (b"layer", b"more")))
    assert found.size == len(b"{}layermore") + bodies
    assert (found.manifests, found.tags) == (2, 2)
    await world.store.delete_manifest("a", digest)
    await world.store.delete_blob("a", digest_of(b"more"))
    assert world.store.repository("a").size == len(b"{}layer") + len(image_of(b"{}", (b"layer",)))


async def test_a_quota_bounds_a_repository_and_no_other(world: World) -> None:
    await world.store.set_quota("a", 10)
    await world.blob(b"12345678")
    with pytest.raises(QuotaExceeded, match="its quota is 10"):
        await world.blob(b"abcdefgh")
    await world.blob(b"abcdefgh", "b")
    assert os.listdir(world.store.uploads.folder) == []


async def test_the_default_quota_is_for_those_without_one(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "s"), quota=4)
    world = World.__new__(World)
    world.store = store
    with pytest.raises(QuotaExceeded):
        await world.blob(b"12345")
    await store.set_quota("a", 0)
    await world.blob(b"12345")
    store.close()


async def test_lists_go_on_after_an_entry(world: World) -> None:
    for tag in ("b", "a", "C", "_x", "1.0"):
        await world.image(tag=tag)
    assert world.store.tag_names("a") == ["1.0", "C", "_x", "a", "b"]
    assert world.store.tag_names("a", "C", 2) == ["_x", "a"]
    await world.image(name="b/c")
    assert world.store.repositories() == ["a", "b/c"]
    assert world.store.repositories("a") == ["b/c"]


async def test_referrers_are_found_by_subject_and_type(world: World) -> None:
    subject = digest_of(b"any")
    entry = {"mediaType": manifests.IMAGE, "digest": subject, "size": 3}
    digest = await world.image(
        tag="", subject=entry, artifactType="application/sig", annotations={"k": "v"}
    )
    found = [item for _, item in world.store.referrers("a", subject)]
    assert [item["digest"] for item in found] == [digest]
    assert found[0]["artifactType"] == "application/sig"
    assert found[0]["annotations"] == {"k": "v"}
    assert list(world.store.referrers("a", subject, "application/other")) == []
    assert list(world.store.referrers("nowhere", subject)) == []
    assert world.store.refers("a", digest, subject)
    assert not world.store.refers("a", subject, digest)


async def test_an_index_counts_its_children(world: World) -> None:
    child = await world.image(b"12345", tag="")
    await world.index(child)
    assert [tag.content for tag in world.store.tags("a")] == [7]


async def test_deleting_a_repository_takes_all_that_it_lists(world: World) -> None:
    await world.index(await world.image(b"1"))
    await world.store.delete_repository("a")
    assert world.store.repositories() == []
    with pytest.raises(NameUnknown):
        await world.store.delete_repository("a")


async def test_a_job_that_fails_leaves_others_of_the_same_commit(world: World) -> None:
    results = await asyncio.gather(
        *(world.store.write(writing.delete_tag, "a", str(number)) for number in range(5)),
        *(world.store.set_quota(f"r{number}", number) for number in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, ManifestUnknown) for result in results) == 5
    assert world.store.repository("r3", even_empty=True).quota == 3


def test_a_store_of_a_later_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    with sqlite3.connect(tmp_path / "s/registry.db") as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(Conflict, match="version 99"):
        Store(str(tmp_path / "s"))


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/registry.db").write_bytes(b"x" * 5000)
    with pytest.raises(Denied, match="cannot be used"):
        Store(str(tmp_path / "s"))


async def test_a_cancelled_wait_lasts_until_its_thread_is_done() -> None:
    order: list[str] = []

    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(60)
        order.append("worked")

    task = asyncio.create_task(in_thread(work))
    await eventually_async(begun.is_set)
    task.cancel()
    asyncio.get_running_loop().call_later(0.05, may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    order.append("let go")
    assert order == ["worked", "let go"]
