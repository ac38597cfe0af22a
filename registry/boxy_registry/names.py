"""What clients name, checked: repositories, tags, digests (pure).

Source: OCI Distribution 1.1, "Pulling manifests" for names and tags; OCI Image 1.1,
"Digests", for digests.  A name that passes here is safe in a path and in SQL.
"""

from __future__ import annotations

import hashlib

from boxy_core.image import reference as grammar
from boxy_core.text import escape
from boxy_registry.errors import DigestInvalid, NameInvalid, TagInvalid

ALGORITHMS = ("sha256", "sha512")
"""digest algorithms that are computed and verified"""


def check_repository(name: str) -> str:
    """The name, if it is one.  Raises NameInvalid."""
    if not grammar.is_path(name):
        raise NameInvalid(f"{shown(name)} is no repository name", detail={"name": shown(name)})
    return name


def check_tag(tag: str) -> str:
    """The tag, if it is one.  Raises TagInvalid."""
    if not grammar.is_tag(tag):
        raise TagInvalid(f"{shown(tag)} is no tag", detail={"tag": shown(tag)})
    return tag


def check_digest(digest: str) -> str:
    """The digest, if its algorithm is known and its form right.  Raises DigestInvalid."""
    if not grammar.is_digest(digest):
        raise DigestInvalid(
            f"{shown(digest)} is no sha256 or sha512 digest", detail={"digest": shown(digest)}
        )
    return digest


def check_algorithm(name: str) -> str:
    """The name of a digest algorithm, if it is known.  Raises DigestInvalid."""
    if name not in ALGORITHMS:
        raise DigestInvalid(f"the digest algorithm {shown(name)} is unknown; sha256 and sha512 are")
    return name


def is_digest(reference: str) -> bool:
    """Whether a manifest is named by digest rather than by tag: a tag has no colon."""
    return ":" in reference


def digest_of(body: bytes, algorithm: str = "sha256") -> str:
    """The digest of these bytes."""
    return f"{algorithm}:{hashlib.new(algorithm, body, usedforsecurity=False).hexdigest()}"


def shown(text: str) -> str:
    """What a client sent, short and printable, for a message."""
    return escape(text if len(text) <= 100 else text[:97] + "...")
