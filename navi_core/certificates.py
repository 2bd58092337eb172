"""When the certificates of a host's listeners end, for the metrics page."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from navi_core.config.records import TransportSettings

__all__ = ["certificate_ends", "not_after"]

log = structlog.get_logger(__name__)

_SEQUENCE: Final = 0x30
_EXPLICIT_VERSION: Final = 0xA0
_TIMES: Final[Mapping[int, str]] = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
"""UTCTime and GeneralizedTime, as RFC 5280 has them (section 4.1.2.5): seconds, no fraction, always ``Z``."""


def certificate_ends(transports: Mapping[str, TransportSettings]) -> dict[str, float]:
    """Return transport -> when its certificate ends, in seconds since 1970; those that cannot be read are left out."""
    ends = {}
    for name, settings in transports.items():
        if settings.tls is None:
            continue
        try:
            ends[name] = not_after(Path(settings.tls.certificate).read_text("ascii"))
        except (OSError, ValueError) as error:
            log.debug("certificate_unreadable", transport=name, error=str(error))
    return ends


def not_after(pem: str) -> float:
    """Return when the first certificate of a PEM text ends, in seconds since 1970.

    The standard library shows this of certificates that a peer sent, not of files.

    Raises
    ------
    ValueError
        It is no X.509 certificate.
    """
    begin, end = pem.find(ssl.PEM_HEADER), pem.find(ssl.PEM_FOOTER)
    if begin < 0 or end < begin:
        raise ValueError("expected a PEM certificate")
    der = ssl.PEM_cert_to_DER_cert(pem[begin : end + len(ssl.PEM_FOOTER)])
    _, at, _ = _element(der, 0, _SEQUENCE)  # Certificate
    _, at, _ = _element(der, at, _SEQUENCE)  # TBSCertificate
    tag, _, after = _element(der, at)
    if tag == _EXPLICIT_VERSION:
        _, _, after = _element(der, after)  # the serial number
    for _ in ("signature", "issuer"):
        _, _, after = _element(der, after, _SEQUENCE)
    _, at, _ = _element(der, after, _SEQUENCE)  # Validity
    _, _, at = _element(der, at)  # notBefore
    tag, at, end = _element(der, at)
    if tag not in _TIMES:
        raise ValueError(f"expected a time, got the ASN.1 tag {tag:#x}")
    return datetime.strptime(der[at:end].decode("ascii"), _TIMES[tag]).replace(tzinfo=UTC).timestamp()


def _element(der: bytes, at: int, wanted: int | None = None) -> tuple[int, int, int]:
    """Return tag, begin and end of the contents of the element at ``at`` (X.690, section 8.1)."""
    if at + 2 > len(der):
        raise ValueError("the certificate is cut off")
    tag, length, begin = der[at], der[at + 1], at + 2
    if length >= 0x80:
        num_bytes = length - 0x80
        if not 1 <= num_bytes <= 4 or begin + num_bytes > len(der):
            raise ValueError("a length of the certificate is damaged")
        length, begin = int.from_bytes(der[begin : begin + num_bytes]), begin + num_bytes
    if begin + length > len(der):
        raise ValueError("the certificate is cut off")
    if wanted is not None and tag != wanted:
        raise ValueError(f"expected the ASN.1 tag {wanted:#x}, got {tag:#x}")
    return tag, begin, begin + length
