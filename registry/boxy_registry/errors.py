"""What the registry refuses, in the words of the specification.

    RegistryError
     +-- NameInvalid           400  the repository's name breaks the grammar
     +-- TagInvalid            400
     +-- DigestInvalid         400  a malformed digest, or bytes that do not match it
     +-- ManifestInvalid       400  no JSON, a wrong shape, a type that contradicts the header
     +-- ManifestBlobUnknown   400  a manifest names what the repository does not hold
     +-- PaginationInvalid     400
     +-- Unauthorized          401  who are you?  (carries WWW-Authenticate)
     +-- Denied                403  we know who you are
     |    +-- QuotaExceeded
     |    +-- ReadOnly
     +-- NameUnknown           404
     +-- BlobUnknown           404
     +-- BlobUploadUnknown     404
     +-- ManifestUnknown       404
     +-- NotFound              404  no such end point
     +-- MethodNotAllowed      405
     +-- UploadBusy            409  two requests write to one upload
     +-- SizeInvalid           413
     +-- RangeInvalid          416  a chunk out of order
     +-- TooManyRequests       429
     +-- Failed                500  a bug or a broken disk: the log says more
     +-- Unavailable           503  the server ends, or the store is not ready

Each answers `{"errors": [{"code", "message", "detail"}]}` (OCI Distribution 1.1, "Error Codes").
"""

from __future__ import annotations

from collections.abc import Mapping


class RegistryError(Exception):
    """Base of all: `code` is the specification's, `status` HTTP's.

    `message` one sentence that names the thing; `detail` JSON-able data or None; `headers` go
    with the answer.
    """

    code = "UNKNOWN"
    status = 500

    def __init__(
        self, message: str, *, detail: object = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.headers = dict(headers or {})

    def to_wire(self) -> dict[str, object]:
        """The body of the answer."""
        error: dict[str, object] = {"code": self.code, "message": self.message}
        if self.detail is not None:
            error["detail"] = self.detail
        return {"errors": [error]}


class NameInvalid(RegistryError):
    """The repository's name breaks the grammar."""

    code, status = "NAME_INVALID", 400


class TagInvalid(RegistryError):
    """The tag breaks the grammar."""

    code, status = "TAG_INVALID", 400


class DigestInvalid(RegistryError):
    """A malformed or unsupported digest, or content that does not match it."""

    code, status = "DIGEST_INVALID", 400


class ManifestInvalid(RegistryError):
    """The manifest cannot be understood."""

    code, status = "MANIFEST_INVALID", 400


class ManifestBlobUnknown(RegistryError):
    """The manifest names blobs or manifests that the repository does not hold."""

    code, status = "MANIFEST_BLOB_UNKNOWN", 400


class PaginationInvalid(RegistryError):
    """`n` is no number."""

    code, status = "PAGINATION_NUMBER_INVALID", 400


class Unauthorized(RegistryError):
    """No or wrong credentials; the headers carry WWW-Authenticate."""

    code, status = "UNAUTHORIZED", 401


class Denied(RegistryError):
    """Known credentials that do not permit this."""

    code, status = "DENIED", 403


class QuotaExceeded(Denied):
    """The repository would grow past its quota."""


class ReadOnly(Denied):
    """The registry takes no changes now."""


class NameUnknown(RegistryError):
    """No such repository."""

    code, status = "NAME_UNKNOWN", 404


class BlobUnknown(RegistryError):
    """No such blob in the repository."""

    code, status = "BLOB_UNKNOWN", 404


class BlobUploadUnknown(RegistryError):
    """No such upload: finished, cancelled, expired, or of another repository."""

    code, status = "BLOB_UPLOAD_UNKNOWN", 404


class ManifestUnknown(RegistryError):
    """No such tag or manifest in the repository."""

    code, status = "MANIFEST_UNKNOWN", 404


class NotFound(RegistryError):
    """Nothing is served at this path."""

    code, status = "UNSUPPORTED", 404


class MethodNotAllowed(RegistryError):
    """The path is right, the method is not; the headers carry Allow."""

    code, status = "UNSUPPORTED", 405


class UploadBusy(RegistryError):
    """Another request writes to the upload at this moment."""

    code, status = "BLOB_UPLOAD_INVALID", 409


class SizeInvalid(RegistryError):
    """More bytes than are taken, or other than announced."""

    code, status = "SIZE_INVALID", 413


class RangeInvalid(RegistryError):
    """A chunk that does not begin where the upload ends."""

    code, status = "BLOB_UPLOAD_INVALID", 416


class TooManyRequests(RegistryError):
    """The client asks faster than it may; the headers carry Retry-After."""

    code, status = "TOOMANYREQUESTS", 429


class Failed(RegistryError):
    """The registry's own failure."""

    code, status = "UNKNOWN", 500


class Unavailable(RegistryError):
    """Not now; the headers carry Retry-After."""

    code, status = "UNAVAILABLE", 503
