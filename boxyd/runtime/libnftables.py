"""The system's own nftables library: rules as the text that `nft list table` shows.

Constraints: loaded by the daemon only, when the first network comes up; one context, used from
one thread at a time; it belongs to the network namespace that it was made in.
Source: libnftables(3).
"""

from __future__ import annotations

import ctypes

_NAMES = ("libnftables.so.1", "libnftables.so")
_JSON = 1 << 4  # NFT_CTX_OUTPUT_JSON


class Nftables:
    """A context that runs commands.  Raises OSError if the library is not there."""

    def __init__(self) -> None:
        library = _load()
        library.nft_ctx_new.restype = ctypes.c_void_p
        for name in ("nft_ctx_get_error_buffer", "nft_ctx_get_output_buffer"):
            function = getattr(library, name)
            function.restype, function.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        for name in ("nft_ctx_buffer_error", "nft_ctx_buffer_output", "nft_ctx_free"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        self._library = library
        self._context = ctypes.c_void_p(library.nft_ctx_new(0))
        library.nft_ctx_buffer_error(self._context)
        library.nft_ctx_buffer_output(self._context)

    def run(self, commands: str, *, json: bool = False) -> str:
        """Run commands, all or none; what they print.  Raises ValueError with its words."""
        self._library.nft_ctx_output_set_flags(self._context, _JSON if json else 0)
        failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        said = self._library.nft_ctx_get_error_buffer(self._context) or b""
        printed = self._library.nft_ctx_get_output_buffer(self._context) or b""
        if failed:
            raise ValueError(said.decode(errors="replace").strip() or "nftables gave no reason")
        return str(printed.decode(errors="replace"))

    def close(self) -> None:
        """Free the context, which is of no use then."""
        self._library.nft_ctx_free(self._context)


def _load() -> ctypes.CDLL:
    for name in _NAMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise OSError("there is no libnftables here")
