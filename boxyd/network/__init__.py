"""How boxes reach each other, the host and the world.

    networks.py     the deep module: networks made and removed, boxes started on them
    changes.py      boxes connected, disconnected, ports opened, while they live
    places.py       a box's place on one network: taken, plugged in, given back
    bridge.py       what the kernel needs for it: bridge, veth pair, addresses, routes
    portbook.py     what is published               readings.py  what a box reads of it
    rules.py        networks and ports -> nftables rules (pure)     firewall.py  puts them in force
    addresses.py    which subnet, which address (pure)              ports.py     host ports, held
    dnswire.py      questions and answers (pure)                    dns.py       the responders
    files.py        resolv.conf and hosts (pure)    hosts.py    keeps the boxes' hosts files true
    rtnetlink.py    the kernel's protocol for links, addresses, routes

Constraint: nothing here is loaded by zygote, shim or command line; what blocks runs in the one
network thread (`worker.py`), where the kernel's own lock would have one wait anyway.
"""
