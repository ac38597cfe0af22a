"""Who may do what: users, rules, tokens.

users.py     the htpasswd file: bcrypt, read again when it changes, verified once
rules.py     which user may do what with which repositories (pure)
tokens.py    signed tokens that the processes of one server share
authorizer.py  the `Authorizer` over these, and the token end point
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boxy_registry.parts import Parts

USERS, RULES = "users", "access"


def files_of(parts_root: str, users: str, rules: str) -> tuple[str, str]:
    """The two files by settings, or beside the store."""
    return users or f"{parts_root}/{USERS}", rules or f"{parts_root}/{RULES}"


def extend(parts: Parts) -> None:
    """Ask everybody who they are, if the settings want that."""
    from boxy_registry.access.authorizer import Accounts

    auth = parts.settings.auth
    if not auth.enabled:
        return
    users, rules = files_of(parts.store.root, auth.users, auth.rules)
    accounts = Accounts(users, rules, f"{parts.store.root}/token.key", auth.realm, auth.token_life)
    parts.authorizer = accounts
    parts.routes += accounts.routes()
    parts.reloaders.append(accounts.reload)
