import pytest
import pytest_asyncio
from shouter import shout

from asyncendpoints import open_connection, start_server


@pytest.fixture(params=["memory:shouter", "tcp:0:interface=127.0.0.1", "unix:{}/shout.sock"])
def endpoint(request, tmp_path):
    return request.param.format(tmp_path)


@pytest_asyncio.fixture
async def server(endpoint):
    async with start_server(shout, endpoint) as server:
        yield server


async def test_answers_in_capitals(server):
    reader, writer = await open_connection(server.client_endpoints[0])
    writer.write(b"hello\n")
    assert await reader.readline() == b"HELLO\n"
    writer.close()
    await writer.wait_closed()


async def test_counts_connections(server):
    reader, writer = await open_connection(server.client_endpoints[0])
    writer.write_eof()
    assert await reader.read() == b""
    assert server.stats.accepted == 1
    writer.close()
    await writer.wait_closed()
