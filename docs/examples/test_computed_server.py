import pytest
from computed_server import router

from asyncendpoints import NoDataError, NXDomainError
from asyncendpoints.dns import Chain, Zone, lookup


@pytest.fixture
def chain():
    upstream = Zone.from_dict("example.com", {"www": {"A": "192.0.2.80"}}, ns="ns.example.net.")
    return Chain(router, upstream)


@pytest.mark.parametrize("n", [0, 1, 100, 255])
async def test_a_workstation_has_an_address(chain, n):
    [record] = await lookup(f"workstation{n}.example.com", resolver=chain)
    assert record.address == f"172.0.2.{n}"


async def test_there_are_no_more_of_them(chain):
    with pytest.raises(NXDomainError):
        await lookup("workstation256.example.com", resolver=chain)


async def test_a_workstation_has_no_mail(chain):
    with pytest.raises(NoDataError):
        await lookup("workstation1.example.com", "MX", resolver=chain)


async def test_other_names_come_from_upstream(chain):
    [record] = await lookup("www.example.com", resolver=chain)
    assert record.address == "192.0.2.80"
