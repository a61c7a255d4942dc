"""The table of a zone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncendpoints.dns.names import encode_name, join_labels
from asyncendpoints.dns.records import Records
from asyncendpoints.dns.zonetable import CUT, WILDCARD, Table, encode_node

APEX = encode_name("test")
KEYS = st.lists(st.binary(min_size=1, max_size=4).map(bytes.lower), max_size=3).map(
    lambda labels: join_labels(labels, APEX)
)
SETS = st.dictionaries(
    st.integers(1, 0xFFFF),
    st.tuples(st.integers(0, 2**31 - 1), st.lists(st.binary(max_size=20), min_size=1, max_size=3)),
    max_size=3,
)


@given(st.dictionaries(KEYS, SETS, max_size=20), st.lists(KEYS))
def test_round_trip(
    zone: dict[bytes, dict[int, tuple[int, list[bytes]]]], others: list[bytes]
) -> None:
    """A table has the records that it was made of, under their names and no others."""
    expected = {
        key: {
            rtype: Records(key, rtype, ttl, tuple(rdatas)) for rtype, (ttl, rdatas) in sets.items()
        }
        for key, sets in zone.items()
    }
    nodes = {key: encode_node(0, sets.values()) for key, sets in expected.items()}
    table = Table.make(APEX, nodes, 0)
    for key, sets in expected.items():
        node = table.find(key)
        assert {each: table.records_at(node, each, key) for each in sets} == sets
        assert [each for each in range(70) if table.find_set(node, each)] == sorted(
            each for each in sets if each < 70
        )
    assert [key for key in others if table.find(key)] == [key for key in others if key in zone]


def test_copy_of_the_bytes_is_the_same_table() -> None:
    """The bytes of a table and two numbers are all of it, for another process."""
    nodes = {APEX: encode_node(CUT | WILDCARD, [Records(APEX, 1, 5, (b"data",))])}
    table = Table.make(APEX, nodes, 1)
    copy = Table(APEX, bytes(bytearray(table.data)), table.slots, table.records)
    assert copy.flags(copy.find(APEX)) == CUT | WILDCARD
    assert copy.find_set(copy.find(APEX), 1) == table.find_set(table.find(APEX), 1)
    assert copy.find(encode_name("a.test")) == 0
