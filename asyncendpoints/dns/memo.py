"""What a server has said, so that it can say it again without asking anybody.

Pure: bytes in, bytes out.
"""

from __future__ import annotations

from asyncendpoints.dns.scan import HEADER_BYTES
from asyncendpoints.dns.wire import OPT_BYTES

__all__ = ["Memo"]

#: How many replies each generation has, how many bytes those take, and one of them at most: larger ones take
#: longer to send than to make.
_MOST_REMEMBERED = 4096
_MOST_REMEMBERED_BYTES = 8_000_000
_MOST_REPLY_BYTES = 4096

#: How many bytes of a question follow its name, and how a header says that nothing follows the question.
_AFTER_NAME = 4
_NO_MORE = b"\0\0"


class Memo:
    """From the bytes of a query after its identifier to those of the reply, in two generations.

    Both have the name in lower case. The case of its letters, which some clients leave to chance, is nothing
    to anybody but them: they find theirs in the reply.
    """

    __slots__ = ("_bytes", "_fleeting", "old", "table")

    def __init__(self) -> None:
        #: The younger generation. It is never replaced, so that it can be held on to.
        self.table: dict[bytes, bytes] = {}
        #: The older one, of which what is asked for again gets young.
        self.old: dict[bytes, bytes] = {}
        self._fleeting: list[bytes] = []
        #: How many bytes were put into the younger generation; some may be forgotten.
        self._bytes = 0

    def recall(self, packet: bytes) -> bytes | None:
        """Give the reply to a query that is not in the table as it stands: in another case, or from before.

        The packet can be anything. But what is in here is right, and all that can differ from it is the case
        of letters in the name: the sizes of labels are no letters.
        """
        end = len(packet) - (_AFTER_NAME if packet[10:12] == _NO_MORE else _AFTER_NAME + OPT_BYTES)
        if end <= HEADER_BYTES:
            return None
        query = packet[2:HEADER_BYTES] + packet[HEADER_BYTES:end].lower() + packet[end:]
        reply = self.table.get(query)
        if reply is None:
            reply = self.old.pop(query, None)
            if reply is None:
                return None
            self._put(query, reply)
        end += _AFTER_NAME
        return packet[:2] + reply[:10] + packet[HEADER_BYTES:end] + reply[end - 2 :]

    def add(self, packet: bytes, reply: bytes, key: bytes, *, is_fleeting: bool) -> None:
        """Remember a reply.

        Args:
            packet: A query without EDNS options.
            reply: What was said.
            key: The name in lower case.
            is_fleeting: Whether that holds for a moment, and is to be forgotten by `forget_fleeting`.
        """
        if len(reply) > _MOST_REPLY_BYTES:
            return
        end = HEADER_BYTES + len(key)
        query = packet[2:HEADER_BYTES] + key + packet[end:]
        self._put(query, reply[2:HEADER_BYTES] + key + reply[end:])
        if is_fleeting:
            self._fleeting.append(query)

    def _put(self, query: bytes, reply: bytes) -> None:
        if len(self.table) >= _MOST_REMEMBERED or self._bytes >= _MOST_REMEMBERED_BYTES:
            self.forget_fleeting()
            self.old = self.table.copy()
            self.table.clear()
            self._bytes = 0
        self.table[query] = reply
        self._bytes += len(query) + len(reply)

    def forget_fleeting(self) -> None:
        """Forget the replies that held for a moment."""
        for query in self._fleeting:
            self.table.pop(query, None)
        self._fleeting.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.table.clear()
        self.old.clear()
        self._fleeting.clear()
        self._bytes = 0
