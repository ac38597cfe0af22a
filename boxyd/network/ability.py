"""Whether this machine can have networks of boxes: by making one where nobody sees it.

A thread of its own moves into a fresh network namespace, makes there what a network needs, and
ends, and the kernel clears all of it away.  So kernel modules are loaded, a sandbox around us
shows itself, and nothing on the host is touched.
"""

from __future__ import annotations

import asyncio
import logging
import threading

from boxy_core.models_network import Published
from boxyd.network import rules
from boxyd.network.firewall import NO_LIBRARY
from boxyd.network.rtnetlink import Netlink
from boxyd.runtime import syscalls as sys_
from boxyd.runtime.libnftables import Nftables

log = logging.getLogger("boxyd.network")


async def problem() -> str:
    """Why there can be no bridge networks here, one sentence; "" if there can."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()

    def settle(text: str) -> None:
        if not told.done():
            told.set_result(text)

    def look() -> None:
        try:
            text = _try_out()
        except Exception as error:  # noqa: BLE001 - whatever it is, it means no
            text = f"networks cannot be made here: {error}"
        try:
            loop.call_soon_threadsafe(settle, text)
        except RuntimeError:
            log.debug("the daemon ended before the network was tried out")

    threading.Thread(target=look, name="boxy-net-probe", daemon=True).start()
    return await told


def _try_out() -> str:
    try:
        sys_.unshare(sys_.CLONE_NEWNET)
    except OSError as error:
        return f"boxyd may not make network namespaces here ({error.strerror})"
    try:
        _make_links()
    except OSError as error:
        return (
            f"this kernel lacks bridges or veth interfaces ({error.strerror}); "
            "try: modprobe bridge veth"
        )
    try:
        nft = Nftables()
    except OSError:
        return f"there is no libnftables here; {NO_LIBRARY}"
    try:
        net = rules.Net("probe0", "192.0.2.0/24", "2001:db8::/64", internal=True)
        port = Published(box=80, host=80, address="0.0.0.0", to="192.0.2.2")
        nft.run(rules.table("boxy_probe", rules.Wanted((net,), (port,), guard=True)))
    except ValueError as error:
        first = str(error).splitlines()[0]
        return (
            f"this kernel's nftables cannot do what networks need ({first}); "
            "try: modprobe nf_tables nft_nat nft_masq nft_fib_inet"
        )
    finally:
        nft.close()
    return ""


def _make_links() -> None:
    with Netlink() as link:
        master = link.add_bridge("probe0", 1500, b"\x02\0\0\0\0\2")
        link.set_up(master)
        with open("/proc/thread-self/ns/net", "rb") as here:
            link.add_veth("probe1", master, "probe2", here.fileno(), b"\x02\0\0\0\0\1", 1500)
