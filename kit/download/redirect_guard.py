"""Where a redirect may lead: http(s), never back from https, never to a network the given address is not in."""

from __future__ import annotations

import ipaddress
import re
import socket

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from kit.base.address import redacted
from kit.download.remote import FetchError

MAX_REDIRECTS = 5  # one after the other
PUBLIC, LOOPBACK, LINK_LOCAL, PRIVATE, METADATA = "public", "loopback", "link-local", "private", "metadata"
SERVICES = {  # where clouds tell a machine its own secrets
    "100.100.100.200",
    "169.254.169.254",
    "169.254.170.2",
    "192.0.0.192",
    "fd00:ec2::254",
}
NAT64 = ipaddress.ip_network("64:ff9b::/96")


def network(address: str) -> str:
    """The kind of network of an IP address: public, loopback, link-local, private or metadata."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else ip.ipv4_mapped or ip.sixtofour
        ip = inner or ip
    if str(ip) in SERVICES:
        return METADATA
    if ip.is_loopback or ip.is_unspecified:
        return LOOPBACK
    if ip.is_link_local:
        return LINK_LOCAL
    return PUBLIC if ip.is_global and not ip.is_multicast else PRIVATE


def literal(host: str) -> str | None:
    """The network of a host that is an IP address, however it is written, or localhost; None for other names."""
    if host == "localhost" or host.endswith(".localhost"):
        return LOOPBACK
    if re.fullmatch(r"[0-9a-fx.]+", host, re.I):
        try:
            return network(socket.inet_ntoa(socket.inet_aton(host)))
        except OSError:
            return None
    try:
        return network(host)
    except ValueError:
        return None


class RedirectGuard(ThreadedResolver):
    """Looks names up, and knows which networks the given addresses are in: a redirect leads into no other."""

    def __init__(self) -> None:
        super().__init__()
        self.given: set[str] = set()
        self.known: set[str] = set()
        self.networks = {PUBLIC}

    def allow(self, url: URL) -> None:
        """Take an address as the user's own."""
        host = (url.raw_host or "").rstrip(".")
        self.given.add(host)
        self.networks |= {literal(host) or PUBLIC}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name. Raises FetchError where a redirect led to it and one is in another network."""
        try:
            results = await super().resolve(host, port, family)
        except UnicodeError:  # no name
            raise OSError(f"{host} is no name") from None
        networks = {network(result["host"]) for result in results}
        host = host.rstrip(".")
        if host not in self.given:
            for other in sorted(networks - self.networks):
                raise _refusal(f"to {host}", f"that is a {other} address")
        elif host not in self.known and PUBLIC not in networks:  # a name in a network of the user's own
            self.networks |= networks
        self.known.add(host)
        return results

    def follow(self, url: URL, location: str) -> URL:
        """Where a redirect leads. Raises FetchError where it shall not be followed."""
        try:
            target = url.join(URL(location))
            if target.scheme not in ("http", "https"):
                raise _refusal(f"to {target.scheme}:", "only http and https are followed")
            target = target.with_user(None)
        except ValueError:
            raise _refusal("", "it leads to no address") from None
        where = f"to {redacted(str(target.origin()))}"
        if url.scheme == "https" and target.scheme == "http":
            raise _refusal(where, "it leads from https to http")
        host = (target.raw_host or "").rstrip(".")
        other = literal(host) or PUBLIC
        if host not in self.given and other not in self.networks:
            raise _refusal(where, f"that is a {other} address")
        return target


def _refusal(where: str, why: str) -> FetchError:
    return FetchError(f"a redirect {where} is refused: {why}".replace("  ", " "), retryable=False)
