"""Fetching `/f.bin` of a server of the tests."""

import asyncio

import numpy as np

from kit.base.retry import RetryPolicy
from kit.download.fetch import fetch
from kit.download.http_client import open_client
from kit.download.remote import RemoteFile

DATA = np.random.default_rng(0).bytes(300_000)
HASTY = RetryPolicy(connect_timeout=1, read_timeout=0.5, attempts=4, backoff=0.01)


ONCE = RetryPolicy(connect_timeout=1, read_timeout=0.5, attempts=1, backoff=0.01)
STOP = ["cut 100000", "status 500"]  # with one try: some bytes come, then no more


def get(server, path, patience=HASTY, options=None, **known):
    async def run():
        async with open_client(patience) as web:
            remote = RemoteFile(f"{server.url}/f.bin", path, **known)
            return await fetch(web, remote, patience, **(options or {}))

    return asyncio.run(run())


def left(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))
