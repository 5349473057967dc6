"""Ed25519 signatures of manifests: who vouches for a model.

A manifest holds the hash of every file, so its signature covers the whole bundle; not its version,
which the store gives. Needs the extra ``signing``.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from model_store import manifest as manifests
from model_store.manifest import Manifest
from xas.errors import BadModel, Reject

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

_PURPOSE = b"edgestream model manifest 1\n"
_NOT_SIGNED = ("version", "signature")


class TrustedKeys:
    """Public keys in a folder of ``*.pem``; any of them may vouch for a model."""

    def __init__(self, folder: Path) -> None:
        """Reject where the folder holds none, or one that is not Ed25519."""
        self.folder = folder
        self._keys = [_public_key(path) for path in sorted(folder.glob("*.pem"))]
        if not self._keys:
            raise Reject(f"{folder}: no key (*.pem) here, so that no model could be trusted")

    def require_signed(self, manifest: Manifest, where: str) -> None:
        """Raise BadModel, naming ``where``, unless one of the keys has signed it as it is."""
        from cryptography.exceptions import InvalidSignature

        if not manifest.signature:
            raise BadModel(
                f"{where}: {manifest.reference} is not signed; edgestream models sign, by somebody "
                f"whose key is in {self.folder}"
            )
        for key in self._keys:
            try:
                key.verify(_decoded(manifest.signature), signed_bytes(manifest))
            except InvalidSignature:
                continue
            return
        raise BadModel(
            f"{where}: nobody whose key is in {self.folder} signed {manifest.reference} as it is"
        )


def sign(folder: Path, key_file: Path) -> Manifest:
    """Sign the manifest of a bundle folder with an Ed25519 key (PEM), and write it there."""
    manifest = manifests.read(folder)
    signature = _private_key(key_file).sign(signed_bytes(manifest))
    signed = msgspec.structs.replace(manifest, signature=base64.b64encode(signature).decode())
    aside = folder / f".{manifests.MANIFEST}"
    try:
        aside.write_bytes(manifests.encode(signed))
        aside.replace(folder / manifests.MANIFEST)
    except OSError as error:
        raise Reject(f"{folder}: cannot be signed here ({error.strerror})") from None
    return signed


def signed_bytes(manifest: Manifest) -> bytes:
    """What a signature is of: all that the manifest says, in one order, without empty fields.

    A field that a later edgestream adds leaves older signatures as they are while it is empty.
    """
    said = _without_empty(msgspec.to_builtins(manifest))
    for name in _NOT_SIGNED:
        said.pop(name, None)
    return _PURPOSE + msgspec.json.encode(said, order="sorted")


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, "", {}, [])}
    return [_without_empty(item) for item in value] if isinstance(value, list | tuple) else value


def _decoded(signature: str) -> bytes:
    try:
        return base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _public_key(path: Path) -> Ed25519PublicKey:
    _require_extra()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError):
        raise Reject(f"{path}: not a public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise Reject(f"{path}: an Ed25519 key is wanted")
    return key


def _private_key(path: Path) -> Ed25519PrivateKey:
    _require_extra()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise Reject(f"{path}: not a private key in PEM without a passphrase") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Reject(
            f"{path}: an Ed25519 key is wanted: openssl genpkey -algorithm ed25519 -out {path}"
        )
    return key


def _require_extra() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise Reject("signatures need the extra: pip install 'edgestream[signing]'") from None
