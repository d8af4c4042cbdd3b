"""What tells one codec from another."""

import hashlib
import json
import weakref

from hpcm_spectral.entropy.container import FINGERPRINT_BYTES
from hpcm_spectral.models.hpcm import HPCM

_known: "weakref.WeakKeyDictionary[HPCM, tuple[int, bytes]]" = weakref.WeakKeyDictionary()


def fingerprint(codec: HPCM) -> bytes:
    """The first 16 bytes of the SHA-256 over a codec's sizes and weights; the same on every device.

    Two codecs with equal fingerprints decode each other's files.
    """
    # Every change of a parameter in place raises its version.
    version = sum(parameter._version for parameter in codec.parameters())
    known = _known.get(codec)
    if known is not None and known[0] == version:
        return known[1]
    digest = hashlib.sha256(json.dumps(codec.arguments, sort_keys=True).encode())
    for key, parameter in sorted(codec.named_parameters()):
        values = parameter.detach().float().cpu().contiguous().numpy().astype("<f4", copy=False)
        digest.update(f"{key} {list(values.shape)} ".encode())
        digest.update(values.tobytes())
    _known[codec] = version, digest.digest()[:FINGERPRINT_BYTES]
    return _known[codec][1]
