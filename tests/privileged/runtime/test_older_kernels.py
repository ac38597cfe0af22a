"""What a box is on a kernel that lacks a part, played by telling the plan so."""

from __future__ import annotations

from msgspec.structs import replace

from boxyd.boxes_launch import Launching
from boxyd.claims import Claims
from tests.privileged.runtime.rig import Rig

HELD = (
    "exec 2>&1; cat /proc/self/uid_map; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; "
    "mount -t tmpfs x /mnt; unshare -U true; echo x >/written && cat /written; ls /proc/1/ns/user"
)


async def test_without_id_mapped_layers_root_is_held_by_powers_and_filter_alone(rig: Rig) -> None:
    facts = replace(rig.host, id_maps=False)
    claims = Claims(rig.paths.root + "/ids", rig.paths.root)
    launching = Launching(rig.paths, facts, rig.launcher, claims)
    assert launching.new_id_base("private", []) == 0
    _, client = await rig.run("sh", "-c", HELD, facts=facts, userns="host")
    lines = client.output().decode().splitlines()
    assert lines[0].split() == ["0", "0", "4294967295"]
    status = dict(line.split(":\t") for line in lines[1:4])
    assert int(status["CapEff"], 16).bit_count() == 11
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert "denied" in lines[4] or "not permitted" in lines[4]
    assert "not permitted" in lines[5]
    assert lines[6] == "x"


async def test_layers_that_need_a_path_give_the_same_box_and_no_mount_on_the_host(rig: Rig) -> None:
    facts = replace(rig.host, fd_layers=False)
    link, client = await rig.launch(rig.plan(
        "sh", "-c", "cat /etc/hostname; id -u; echo x >/written; cat /written; cat", stdin=True,
        facts=facts, hostname="older",
    ))  # fmt: skip
    await client.until(b"x\n")
    with open("/proc/self/mountinfo") as table:  # noqa: ASYNC230 - nothing else runs here
        assert rig.paths.root not in table.read()
    await client.send(b"")
    client.close()
    assert client.output().split()[:3] == [b"older", b"0", b"x"]
    assert link.pid > 0
