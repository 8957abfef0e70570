"""A use count tells when the last of those who entered has left."""

import asyncio

import pytest

from service.catalog.use_count import UseCount


async def test_what_is_not_used_is_not_waited_for() -> None:
    await UseCount().wait_until_unused()


async def test_the_last_one_to_leave_ends_the_wait_also_by_an_error() -> None:
    count = UseCount()
    waiting = asyncio.Event()

    async def fail_while_using() -> None:
        with count:
            with count:
                await asyncio.sleep(0)
            await waiting.wait()
            raise ValueError("of the last one")

    failing = asyncio.ensure_future(fail_while_using())
    await asyncio.sleep(0)
    unused = asyncio.ensure_future(count.wait_until_unused())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not unused.done()
    waiting.set()
    await unused

    with pytest.raises(ValueError, match="of the last one"):
        await failing


async def test_it_can_be_used_again() -> None:
    count = UseCount()
    with count:
        pass
    await count.wait_until_unused()
    with count:
        unused = asyncio.ensure_future(count.wait_until_unused())
        await asyncio.sleep(0)
        assert not unused.done()
    await unused
