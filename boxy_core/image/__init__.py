"""Images: registry folders, their archives, and the unpacked layers that boxes share.

    folder.py    a registry folder and its image.json, read strictly
    tar.py       our own reader of tar headers (ustar, pax, GNU); sparse.py its sparse files
    streams.py   gzip, xz, bzip2, zstd or plain, known by content; bounded and hashed
    worker.py    the unpacking child: chroots into the destination, then writes
    unpack.py    the parent's side of that child
    sources.py   where an image's archive comes from: a file, a download, this machine
    host.py      the `host` image; busybox.py the `busybox` image; both made by code
    fetch.py     one https download, checked by its digest
    store.py     ImageStore: what the daemon calls
    trees.py     removing and syncing directory trees; locks.py locks across processes

Constraint: the unpacking child imports from here, so this module imports nothing.
"""
