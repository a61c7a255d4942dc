"""What a server knows of its clients."""

from __future__ import annotations

from asyncendpoints.dns.clients import WaitingQueries


def test_a_client_with_all_its_places_is_a_crowd() -> None:
    """Until one of its queries is answered; a client without an address is none."""
    queue = WaitingQueries(most=9, most_of_client=2)
    for host in ("192.0.2.1", "192.0.2.1", "192.0.2.2", None, None):
        queue.add(host)
    assert queue.crowds == {"192.0.2.1"}
    queue.remove("192.0.2.1")
    assert queue.crowds == set()


def test_nothing_is_kept_of_who_does_not_wait() -> None:
    """Else there would be a number for every client that ever was."""
    queue = WaitingQueries(most=2, most_of_client=2)
    queue.add("192.0.2.1")
    queue.add(None)
    assert queue.is_full
    queue.remove("192.0.2.1")
    queue.remove(None)
    assert (queue.count, queue.of_client) == (0, {})
