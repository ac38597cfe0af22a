"""`boxy-registry`: an OCI Distribution 1.1 registry that a team runs on one machine.

A program of its own beside the daemon: it faces the network, needs no root, and stands on
`boxy_core` alone.  The map:

    main.py          the table of commands; each is a module of `commands/`, loaded when named
    config.py        `Settings`: one frozen object from flags, environment and a TOML file
    names.py         the grammar of repositories, tags and digests (pure)
    manifests.py     what a manifest is and what it refers to (pure)
    errors.py        the specification's error codes as one tree
    parts.py         `Parts`: what a server is put together from, and the places to extend it
    store/           blobs as plain files, SQLite for what is listed and counted
    http/            the protocol: one short handler per end point over the store
    arriving.py      a blob that is read while it comes
    lean.py          aiohttp's server without its client, for the memory
    server.py        one serving process        workers.py   several of them on one socket
    commands/        what is done from a shell

How to extend a server (sign-in, cache, metrics, pages, hooks): write a module with
`extend(parts: Parts) -> None` and name it in `parts.EXTENSIONS`, with when it is wanted.  It looks
at its own section of `parts.settings` and, if that asks for it, adds itself:

    parts.authorizer   who may do what; the default lets everyone do everything
    parts.upstreams    asked before a manifest or blob is looked up; they may put it in the store
    parts.listeners    awaited with every push and delete that is durable, before its answer
    parts.observers    told of every answered request (access log, metrics)
    parts.routes       pages outside /v2/, as aiohttp route definitions
    parts.services     what runs beside the serving, as async context managers
    parts.reloaders    called at SIGHUP, to read again what is in files
    parts.tls          the context for connections; None: plain HTTP

All of them run in each of the server's processes; what must be done once on a machine takes a
lock in the store (`store.lock(name)`).
"""
