"""Fetching `/f.bin` of a server of the tests."""

import asyncio

import numpy as np

from kit.base.retry import Patience
from kit.download.fetch import fetch
from kit.download.registry import Remote
from kit.download.web import open_web

DATA = np.random.default_rng(0).bytes(300_000)
HASTY = Patience(connect=1, read=0.5, tries=4, wait=0.01)


ONCE = Patience(connect=1, read=0.5, tries=1, wait=0.01)
STOP = ["cut 100000", "status 500"]  # with one try: some bytes come, then no more


def get(server, path, patience=HASTY, options=None, **known):
    async def run():
        async with open_web(patience) as web:
            remote = Remote(f"{server.url}/f.bin", path, **known)
            return await fetch(web, remote, patience, **(options or {}))

    return asyncio.run(run())


def left(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))
