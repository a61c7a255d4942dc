"""The fuzzer: it finds what is wrong, makes it short, and finds nothing in what we have."""

from __future__ import annotations

from random import Random

import dns.message
import pytest

from asyncendpoints.dns.wire import decode_query
from tests.dns.fuzz_messages import (
    MUTATIONS,
    TARGETS,
    Target,
    main,
    minimal,
    mutated,
    report,
    seeds,
    wrong_with,
)

#: What messages did that were found, by the name of the target.
FOUND: list[tuple[str, str]] = [
    # A name of another case in the question than in the additional section.
    (
        "body",
        "12340100000100000000000103577777775777777777777777570446757a7a04544553540002db0001000029100000",
    ),
    # Three records, of which the question is asked to be one.
    ("responder", "0f0008000700011800c00002"),
]


def target_of(name: str) -> Target:
    """Give a target by its name."""
    return next(each for each in TARGETS if each.name == name)


@pytest.mark.parametrize(("name", "digits"), FOUND)
def test_finds(name: str, digits: str) -> None:
    """What was found once is right for good."""
    target_of(name).feed(bytes.fromhex(digits))


@pytest.mark.parametrize("target", TARGETS, ids=lambda each: each.name)
def test_seeds(target: Target) -> None:
    """Nothing is wrong with messages that are right."""
    for message in seeds()[::5]:
        target.feed(message)


def test_seeds_are_right() -> None:
    """What we start from is what dnspython reads too, but for opcodes of another layout."""
    for message in (each for each in seeds() if not each[2] & 0x78):
        dns.message.from_wire(message)


def test_mutations_differ() -> None:
    """The same seed gives the same messages, most of which are not those that they were made of."""
    pool = seeds()
    made, again = ([mutated(random, pool) for _ in range(300)] for random in (Random(1), Random(1)))
    assert made == again
    assert len(set(made) - set(pool)) > 250
    assert max(map(len, made)) <= 65535


def test_mutations_of_next_to_nothing() -> None:
    """Every change can be made to any message, to none at all too."""
    random = Random(1)
    for mutation in MUTATIONS:
        for size in range(14):
            mutation(random, bytearray(size), [b"other"])


def test_targets_are_reached() -> None:
    """Of the messages that are made, many are queries, and many are none."""
    random, pool = Random(1), seeds()
    kinds = [type(decode_query(mutated(random, pool))).__name__ for _ in range(1000)]
    assert min(map(kinds.count, ("WireQuery", "Rejection", "NoneType"))) > 50


def fails_on_c(message: bytes) -> None:
    """Fail on messages with two of a letter in them."""
    if message.count(b"c") >= 2:
        raise LookupError("too many")


FAILING = Target("failing", fails_on_c, 1000.0, 0.0)


def test_wrong_with() -> None:
    """An error is something wrong, and so is taking too long; else nothing is."""
    assert wrong_with(FAILING, b"abc") is None
    assert wrong_with(FAILING, b"abcc") == "LookupError: too many"
    slow = wrong_with(FAILING._replace(base=-1.0), b"abc")
    assert slow is not None
    assert slow.startswith("takes ")
    assert slow.endswith("ms, allowed are -1.0")


def test_minimal() -> None:
    """What need not be there is left out."""
    assert minimal(lambda each: each.count(b"c") >= 2, b"abcdefabcdefabcdef") == b"cc"
    assert minimal(lambda each: True, b"abc") == b""


def test_report(capsys: pytest.CaptureFixture[str]) -> None:
    """A find is printed once, as short as can be; what takes too long is printed as it is."""
    finds: set[tuple[str, str]] = set()
    report(FAILING, b"abcabc", "LookupError: too many", finds)
    report(FAILING, b"cccccc", "LookupError: too many", finds)
    report(FAILING, b"cccccc", "takes 9 ms", finds)
    assert capsys.readouterr().out == (
        "failing: LookupError: too many\n    6363\nfailing: takes 9 ms\n    636363636363\n"
    )
    assert finds == {("failing", "LookupError: too many"), ("failing", "takes")}


def test_main(capsys: pytest.CaptureFixture[str]) -> None:
    """The program says how far it is, what it found, and how to have the same again."""
    targets = (FAILING, target_of("decode_query")._replace(base=1e6))
    assert main(["--messages", "40", "--every", "20"], targets) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "40 messages, 1 finds, seed 1"
    assert "20 messages, 1 finds" in lines
    assert "    6363" in lines


def test_nothing_is_found() -> None:
    """A short run finds nothing; how long something takes is not looked at here."""
    patient = tuple(each._replace(base=1e6) for each in TARGETS)
    assert main(["--messages", "400", "--seed", "2"], patient) == 0
