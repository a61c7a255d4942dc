"""Response codes and extended errors.

Pure: numbers and their names.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from asyncendpoints.masking import shorten

__all__ = ["EDE", "MOST_EDE_CODE", "EDECode", "Rcode", "check_ede"]

MOST_EDE_CODE: Final = 65_535


class Rcode:
    """Response codes, 0 to 4095.

    Source: the registry "DNS RCODEs" of IANA.
    """

    NOERROR: Final = 0
    FORMERR: Final = 1
    SERVFAIL: Final = 2
    NXDOMAIN: Final = 3
    NOTIMP: Final = 4
    REFUSED: Final = 5
    YXDOMAIN: Final = 6
    NOTAUTH: Final = 9
    BADVERS: Final = 16


class EDECode:
    """Codes of extended errors, 0 to 65535.

    Source: RFC 8914, section 4, and RFC 9520 for the cached error.
    """

    OTHER: Final = 0
    STALE_ANSWER: Final = 3
    FORGED_ANSWER: Final = 4
    CACHED_ERROR: Final = 13
    NOT_READY: Final = 14
    BLOCKED: Final = 15
    PROHIBITED: Final = 18
    STALE_NXDOMAIN: Final = 19
    NOT_AUTHORITATIVE: Final = 20
    NOT_SUPPORTED: Final = 21
    NO_REACHABLE_AUTHORITY: Final = 22
    NETWORK_ERROR: Final = 23
    INVALID_DATA: Final = 24


class EDE(NamedTuple):
    """An extended error: more about an outcome than its code can say.

    Source: RFC 8914.
    """

    #: See `EDECode`.
    code: int
    #: For a person to read, in English; at most some 60 bytes, so that the reply stays small.
    text: str = ""


def check_ede(ede: object) -> None:
    """See that something is an extended error.

    Raises:
        TypeError: It is none.
        ValueError: Its code is out of range.
    """
    if not (isinstance(ede, EDE) and isinstance(ede.code, int) and isinstance(ede.text, str)):
        raise TypeError(f"ede is {shorten(ede)}, expected EDE(code, text)")
    if not 0 <= ede.code <= MOST_EDE_CODE:
        raise ValueError(
            f"the code of an extended error is {ede.code}, expected 0 to {MOST_EDE_CODE}"
        )
