"""Settings of the registry's extensions: groups of the TOML file.

Constraint: imported by config.py, so nothing of ours but plain Structs.  Strict, as all settings.
Times are written `30s`, `5m`, `7d`.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of these groups."""


class Tls(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Certificates in PEM, read again when they change or on SIGHUP."""

    cert: str = ""
    """the server's certificate and those between it and the authority; with it TLS is spoken"""
    key: str = ""
    """its key; if it is in the same file: none"""


class Auth(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may do what."""

    enabled: bool = False
    """ask everybody who they are; without it everybody may do everything"""
    users: str = ""
    """htpasswd file with bcrypt; "": ROOT/users"""
    rules: str = ""
    """access rules; "": ROOT/access"""
    realm: str = ""
    """https://HOST/token as clients reach it, if a proxy in front hides that"""
    token_life: str = "5m"  # noqa: S105 - a time
    """how long a token is good"""


class Mirror(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A registry whose images are fetched when they are asked for, and kept."""

    upstream: str
    """HOST[:PORT]"""
    prefix: str = ""
    """repositories PREFIX/... here are ... there; "": all that are not pushed here"""
    fresh: str = "10m"
    """how long a tag is believed before the upstream is asked again"""
    expire: str = "7d"
    """how long what nobody asks for is kept; 0: for ever"""
    username: str = ""
    """who we are at the upstream, if it asks"""
    password_file: str = ""
    """file whose first line is the password"""
    insecure: bool = False
    """plain http, or an unknown certificate"""


class Retention(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tags of some repositories are kept; a tag goes that no line of it keeps."""

    repositories: str = "*"
    """pattern of the repositories that it is for"""
    keep_last: int = 0
    """the newest so many"""
    keep: tuple[str, ...] = ()
    """patterns of names"""
    keep_younger: str = "0"
    """those pushed within this time"""


class Hook(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where pushes and deletes are told."""

    url: str
    """https://..."""
    secret: str = ""
    """key of the HMAC-SHA256 in X-Boxy-Signature"""
    secret_file: str = ""
    """file that holds the secret, instead"""
    actions: tuple[Literal["push", "delete", "mount"], ...] = ("push", "delete")
    """what is told"""
    repositories: str = "*"
    """pattern of the repositories that are told of"""
    keep: str = "24h"
    """how long an event is tried while the receiver is away; 0: for ever"""
