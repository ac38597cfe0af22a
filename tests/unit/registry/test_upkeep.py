"""Collection, scrub, backup, import and export."""

from __future__ import annotations

import json
import os
import tarfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from boxy_core.errors import Conflict, InvalidRequest, NotFound
from boxy_registry.errors import (
    BlobUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestUnknown,
)
from boxy_registry.main import main
from boxy_registry.names import digest_of
from boxy_registry.store import Store
from boxy_registry.store.backup import back_up
from boxy_registry.store.collector import LOCK, Rules, collect
from boxy_registry.store.layout import export, import_
from boxy_registry.store.scrub import scrub
from tests.unit.registry.conftest import World


async def test_what_a_manifest_names_stays_and_the_rest_goes(world: World) -> None:
    await world.image(b"kept")
    lost = await world.blob(b"lost")
    world.age()
    swept = collect(world.store, Rules())
    assert (swept.links, swept.blobs, swept.bytes) == (1, 1, 4)
    assert not world.file(lost).exists()
    assert world.file(digest_of(b"kept")).exists()
    assert scrub(world.store).clean


async def test_a_layer_that_a_client_asked_for_is_kept_for_its_manifest(world: World) -> None:
    digest = await world.blob(b"layer")
    world.age()
    await world.store.use_blob("a", digest)  # HEAD: "do you have it?"
    assert collect(world.store, Rules()).links == 0
    await world.image(b"layer")


async def test_a_blob_that_was_collected_is_not_promised(world: World) -> None:
    digest = await world.blob(b"layer")
    world.age()
    collect(world.store, Rules())
    with pytest.raises(BlobUnknown):
        await world.store.use_blob("a", digest)


async def test_a_blob_of_two_repositories_stays_for_the_other(world: World) -> None:
    await world.image(b"shared", name="a")
    await world.blob(b"shared", "b")
    world.age()
    swept = collect(world.store, Rules())
    assert (swept.links, swept.blobs) == (1, 0)
    assert world.file(digest_of(b"shared")).exists()


async def test_a_file_collected_between_placing_and_linking_is_placed_again(world: World) -> None:
    data = b"raced"
    with world.store.uploads.begin("a") as upload:
        upload.append([data])
        world.store._place(upload, digest_of(data))
        world.file(digest_of(data)).unlink()  # the collector found it without a row
        await world.store.write(world.store._link, upload, digest_of(data))
        upload.discard()
    assert world.file(digest_of(data)).read_bytes() == data


async def test_untagged_manifests_go_only_when_asked_and_nothing_leads_to_them(
    world: World,
) -> None:
    child = await world.image(b"child", tag="")
    index = await world.index(child)
    entry = {"mediaType": "application/x", "digest": index, "size": 1}
    signature = await world.image(tag="", subject=entry)
    alone = await world.image(b"alone", tag="")
    world.age()
    assert collect(world.store, Rules()).manifests == 0
    assert collect(world.store, Rules(untagged=True)).manifests == 1
    with pytest.raises(ManifestUnknown):
        world.store.manifest("a", alone)
    for digest in (child, index, signature):
        world.store.manifest("a", digest)
    await world.store.delete_tag("a", "i")
    assert collect(world.store, Rules(untagged=True)).manifests == 3


async def test_strays_and_rested_uploads_go_and_busy_ones_stay(world: World) -> None:
    stray = world.file(digest_of(b"stray"))
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"stray")
    foreign = stray.parent / "README"
    foreign.write_text("not ours")
    world.store.uploads.begin("a").close()
    with world.store.uploads.begin("a") as busy:
        world.age(200_000)
        swept = collect(world.store, Rules())
        assert (swept.files, swept.uploads) == (1, 1)
        assert os.listdir(world.store.uploads.folder) == [os.path.basename(busy.path)]
    assert not stray.exists()
    assert foreign.exists()


def test_an_upload_that_ends_while_they_are_listed_is_passed_over(world: World) -> None:
    for _ in range(2):
        world.store.uploads.begin("a").close()
    world.age(200_000)
    rested = world.store.uploads.rested(3600)
    next(rested)
    for name in os.listdir(world.store.uploads.folder):
        os.unlink(f"{world.store.uploads.folder}/{name}")
    assert list(rested) == []


async def test_empty_repositories_go_and_one_with_a_quota_stays(world: World) -> None:
    await world.blob(b"x", "empty")
    await world.store.set_quota("bounded", 5)
    world.age()
    assert collect(world.store, Rules()).repositories == 1
    assert world.store.repository("bounded", even_empty=True).quota == 5


def test_one_collection_at_a_time(world: World) -> None:
    with world.store.lock(LOCK) as lock:
        assert lock.take_now()
        with pytest.raises(Conflict, match="another process"):
            collect(world.store, Rules())


async def test_pushes_and_collections_at_once_lose_nothing(world: World) -> None:
    """With no grace at all the collector is at its worst; a push may be told, never fooled."""
    ended = threading.Event()

    def collecting() -> None:
        while not ended.is_set():
            collect(world.store, Rules(grace=0, uploads=3600))

    thread = threading.Thread(target=collecting)
    thread.start()
    try:
        for number in range(40):
            with suppress(ManifestBlobUnknown, BlobUnknown):
                await world.image(str(number).encode(), b"common", tag=f"t{number}")
    finally:
        ended.set()
        thread.join()
    result = scrub(world.store)
    assert result.findings == []


async def test_scrub_finds_a_changed_and_a_missing_file_and_repairs(world: World) -> None:
    await world.image(b"changed", b"missing", b"sound")
    world.file(digest_of(b"changed")).write_bytes(b"chANged")
    world.file(digest_of(b"missing")).unlink()
    found = scrub(world.store)
    assert sorted((f.kind, f.what) for f in found.findings) == sorted(
        [("corrupt", digest_of(b"changed")), ("missing", digest_of(b"missing"))]
    )
    assert scrub(world.store, repair=True).repaired == 2
    again = scrub(world.store)
    assert again.clean
    assert {finding.kind for finding in again.findings} == {"incomplete"}
    await world.image(b"changed", b"missing", b"sound")  # a push brings it back
    assert scrub(world.store).findings == []


async def test_a_backup_is_a_store_and_is_renewed(world: World, tmp_path: Path) -> None:
    await world.image(b"one")
    target = str(tmp_path / "copy")
    assert back_up(world.store, target).copied == 2
    await world.image(b"two")
    await world.store.delete_manifest("a", (await _digest(world, "t")))
    world.age()
    collect(world.store, Rules())
    saved = back_up(world.store, target)
    assert (saved.copied, saved.removed) == (0, 0)
    copy = Store(target)
    assert scrub(copy).findings == []
    assert copy.repository("a").manifests == 1
    copy.close()
    with pytest.raises(InvalidRequest, match="its own backup"):
        back_up(world.store, world.store.root)


async def _digest(world: World, reference: str) -> str:
    return world.store.manifest("a", reference).digest


@pytest.mark.parametrize("form", ["layout", "layout.tar"])
async def test_an_export_brings_back_all_that_its_tags_lead_to(
    world: World, tmp_path: Path, form: str
) -> None:
    child = await world.image(b"child", tag="")
    index = await world.index(child)
    entry = {"mediaType": "application/x", "digest": index, "size": 1}
    signature = await world.image(b"signature", tag="", subject=entry)
    target = str(tmp_path / form)
    export(world.store, "a", [], target)
    assert await import_(world.store, "b/c", target) == ["i"]
    for digest in (child, index, signature):
        assert world.store.manifest("b/c", digest).body == world.store.manifest("a", digest).body
    assert world.store.blob("b/c", digest_of(b"child")).size == 5
    with pytest.raises(Conflict):
        export(world.store, "a", [], target)


async def test_a_layout_that_lies_is_refused(world: World, tmp_path: Path) -> None:
    await world.image(b"layer")
    folder = tmp_path / "layout"
    export(world.store, "a", [], str(folder))
    layer = folder / "blobs/sha256" / digest_of(b"layer")[7:]
    layer.write_bytes(b"LAYER")
    with pytest.raises(DigestInvalid):
        await import_(world.store, "b", str(folder))
    layer.unlink()
    with pytest.raises(NotFound):
        await import_(world.store, "b", str(folder))
    assert world.file(digest_of(b"layer")).read_bytes() == b"layer"


@pytest.mark.parametrize("content", [b"", b"nonsense", b"{}", b'{"manifests": [5]}', b"[]"])
async def test_what_is_no_layout_is_told(world: World, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "l").mkdir()
    (tmp_path / "l/index.json").write_bytes(content)
    with pytest.raises(InvalidRequest):
        await import_(world.store, "a", str(tmp_path / "l"))
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises((InvalidRequest, NotFound)):
        await import_(world.store, "a", str(tmp_path / "x.tar"))


async def test_a_layout_may_be_a_compressed_archive_without_a_tag(
    world: World, tmp_path: Path
) -> None:
    await world.image(b"layer")
    export(world.store, "a", [], str(tmp_path / "l"))
    index = json.loads((tmp_path / "l/index.json").read_text())
    del index["manifests"][0]["annotations"]
    (tmp_path / "l/index.json").write_text(json.dumps(index))
    with tarfile.open(tmp_path / "l.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "l", arcname=".")
    assert await import_(world.store, "b", str(tmp_path / "l.tar.gz"), "v1") == ["v1"]


def test_the_commands_do_what_they_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(tmp_path / "store")

    async def prepare() -> None:
        world = World(tmp_path / "store")
        await world.image(b"layer", name="lib/x", tag="v1")
        world.store.close()

    import asyncio

    asyncio.run(prepare())

    def said(*words: str, status: int = 0) -> str:
        assert main([words[0], "--root", root, *words[1:]]) == status
        return capsys.readouterr().out

    assert "lib/x" in said("ls")
    assert json.loads(said("ls", "lib/x", "--json"))[0]["name"] == "v1"
    assert "1 blobs" not in said("export", "lib/x", str(tmp_path / "out"))
    assert said("import", str(tmp_path / "out"), "other") == "other:v1\n"
    assert "20GiB" in said("quota", "lib/x", "20g")
    assert "3 blobs" not in said("backup", str(tmp_path / "copy"))
    assert said("rm", "lib/x:v1") == "lib/x:v1\n"
    said("rm", "--all", "other")
    assert json.loads(said("gc", "--grace", "0", "--untagged", "--json"))["blobs"] == 2
    assert json.loads(said("scrub", "--json"))["clean"] is True
    assert main(["scrub", "--root", str(tmp_path / "copy")]) == 0
