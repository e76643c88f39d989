"""The address policy by table: what is denied in whatever spelling, what passes, what ENDPOINT_ALLOW narrows."""

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskyard.host.transport.address import DENIED, AddressPolicy, check_url, faces
from taskyard.host.transport.port import AddressDenied
from tests.support.aio import run

ALWAYS_DENIED = [
    "0.0.0.0", "0.1.2.3", "169.254.0.1", "169.254.169.254", "169.254.255.255", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "::", "fe80::1", "febf:ffff::1", "ff02::1", "ffff::1", "fd00:ec2::254", "fd20:ce::254",
    "::ffff:169.254.169.254", "::ffff:0.0.0.0", "::ffff:224.0.0.1", "::ffff:a9fe:a9fe",
    "::ffff:0:169.254.169.254",
    "64:ff9b::169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b::255.255.255.255",
    "64:ff9b:1::169.254.169.254", "64:ff9b:1:ffff::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00::", "64:ff9b:1:7:a9:fea9:fe00::",
    "2001:db8::5efe:169.254.169.254", "2001:db8::200:5efe:a9fe:a9fe", "fd00::5efe:e000:1",
    "2002:a9fe:a9fe::1", "2002:a9fe:a9fe:0:1:2:3:4", "2002:e000:1::",
    "2001:0:a9fe:a9fe::5db8:d822", "2001:0:5db8:d822::5601:5601",  # Teredo's server, Teredo's client
    "::169.254.169.254", "::0.0.0.2", "::224.0.0.1",
]  # fmt: skip

ALLOWED = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.5.4", "192.168.1.1", "100.64.0.1", "8.8.8.8", "169.253.255.255",
    "169.255.0.0", "223.255.255.255", "1.0.0.0", "100.100.100.201", "168.63.129.17", "192.0.0.191",
    "::1", "fc00::1", "fd00:ec2::253", "fec0::1", "2606:4700::1111", "2001:db8::1", "2001:1::1", "2003::1",
    "2001:db8::5efe:8.8.8.8", "2001:db8::100:5efe:a9fe:a9fe",
    "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "::8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("text", ALWAYS_DENIED)
def test_denied_even_when_allowed_by_configuration(text: str) -> None:
    address = ip_address(text)
    for allow in ([], ["0.0.0.0/0", "::/0"], ["host"]):
        assert AddressPolicy(allow=allow).refusal("host", address, 80) is not None
    host = f"[{text}]" if ":" in text else text
    assert check_url(f"http://{host}/") is not None
    assert check_url(f"https://{host}:8443/") is not None


@pytest.mark.parametrize("text", ALLOWED)
def test_private_loopback_and_public_addresses_pass(text: str) -> None:
    assert AddressPolicy().refusal("host", ip_address(text), 80) is None
    assert check_url(f"http://[{text}]/" if ":" in text else f"http://{text}/") is None


@given(
    st.sampled_from([network for network, _ in DENIED if isinstance(network, IPv4Network)]),
    st.integers(0),
    st.integers(0, 7),
)
def test_an_embedded_address_is_found_wherever_it_stands(network: IPv4Network, pick: int, way: int) -> None:
    denied = network[pick % network.num_addresses]
    bits = int(denied)
    embedded = [
        0xFFFF << 32 | bits,
        0x64FF9B << 96 | bits,
        0x2002 << 112 | bits << 80 | pick & 0xFFFF,
        0x20010000 << 96 | 0x08080808 << 64 | bits ^ 0xFFFFFFFF,
        0x64FF9B0001 << 80 | (bits >> 16) << 64 | (bits & 0xFFFF) << 40,
        0x64FF9B0001 << 80 | (bits >> 24) << 64 | (bits & 0xFFFFFF) << 32,
        0x64FF9B0001 << 80 | bits << 24,
        0x20010DB8 << 96 | 0x5EFE << 32 | bits,
    ][way]
    address = IPv6Address(embedded)
    assert denied in faces(address)
    assert AddressPolicy(allow=["::/0"]).refusal("host", address, 80) is not None


# The node itself ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listener", "address", "port", "denied"),
    [
        ("127.0.0.1", "127.0.0.1", 8787, True),
        ("127.0.0.1", "127.0.0.1", 8788, False),
        ("127.0.0.1", "127.0.0.2", 8787, False),
        ("127.0.0.1", "::1", 8787, False),
        ("127.0.0.1", "::ffff:127.0.0.1", 8787, True),
        ("127.0.0.1", "64:ff9b::127.0.0.1", 8787, True),
        ("::1", "::1", 8787, True),
        ("0.0.0.0", "127.0.0.1", 8787, True),
        ("0.0.0.0", "127.9.9.9", 8787, True),
        ("0.0.0.0", "127.0.0.1", 8788, False),
        ("::", "127.0.0.1", 8787, True),
        ("::", "192.0.2.77", 8787, False),  # a documentation address, no machine's own
        ("10.1.2.3", "10.1.2.3", 8787, True),
    ],
)
def test_the_nodes_own_listeners(listener: str, address: str, port: int, denied: bool) -> None:
    policy = AddressPolicy([(listener, 8787)], allow=["0.0.0.0/0", "::/0"])
    assert (policy.refusal("host", ip_address(address), port) is not None) == denied


# ENDPOINT_ALLOW -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allow", "host", "address", "passes"),
    [
        ([], "any", "10.0.0.1", True),
        (["10.0.0.0/8"], "any", "10.9.9.9", True),
        (["10.1.2.3/8"], "any", "10.9.9.9", True),
        (["10.0.0.0/8"], "any", "11.0.0.1", False),
        (["10.0.0.0/8"], "any", "::ffff:10.0.0.1", True),
        (["10.0.0.0/8"], "any", "64:ff9b::10.0.0.1", False),
        (["64:ff9b::/96"], "any", "64:ff9b::10.0.0.1", True),
        (["10.0.0.0/8"], "any", "fd00::1", False),
        (["fd00::/8"], "any", "fd00::1", True),
        (["127.0.0.1"], "any", "127.0.0.1", True),
        (["127.0.0.1"], "any", "127.0.0.2", False),
        (["gpu1.lan"], "gpu1.lan", "10.0.0.1", True),
        (["GPU1.lan "], "gpu1.lan", "10.0.0.1", True),
        (["gpu1.lan"], "gpu1.lan.", "10.0.0.1", True),
        (["gpu1.lan"], "x.gpu1.lan", "10.0.0.1", False),
        ([".lan"], "gpu1.lan", "10.0.0.1", True),
        (["*.lan"], "a.b.lan", "10.0.0.1", True),
        ([".lan"], "lan", "10.0.0.1", False),
        ([".lan"], "evil-lan", "10.0.0.1", False),
        (["gpu1.lan"], "gpu1.lan", "169.254.169.254", False),
        (["a", "10.0.0.0/8"], "b", "10.0.0.1", True),
    ],
)
def test_allow(allow: list[str], host: str, address: str, passes: bool) -> None:
    assert (AddressPolicy(allow=allow).refusal(host, ip_address(address), 80) is None) == passes


@pytest.mark.parametrize("entry", ["", "10.0.0.0/33", "a b", "http://x", "*", "x/y", "*.*.lan", "-x", "fe80::/200"])
def test_a_malformed_entry_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="neither a network") as caught:
        AddressPolicy(allow=[entry])
    assert repr(entry) in str(caught.value)


def test_allow_at_registration() -> None:
    names = AddressPolicy(allow=["gpu1.lan", ".fleet"])
    assert names.check_url("http://gpu1.lan/") is None
    assert names.check_url("http://a.fleet:8000/") is None
    assert names.check_url("http://other/") == "other is not in ENDPOINT_ALLOW"
    assert names.check_url("http://10.0.0.1/") == "10.0.0.1 is not in ENDPOINT_ALLOW"
    networks = AddressPolicy(allow=["10.0.0.0/8"])
    assert networks.check_url("http://other/") is None, "which addresses a name has is seen when connecting"
    assert networks.check_url("http://11.0.0.1/") is not None
    own = AddressPolicy([("127.0.0.1", 8787)])
    assert own.check_url("http://127.0.0.1:8787/") == "127.0.0.1:8787 is this node itself"


# Resolving ------------------------------------------------------------------------------------------------------------


def resolve(addresses: Sequence[str], policy_allow: Sequence[str] = ()) -> list[str]:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return addresses

    policy = AddressPolicy(allow=policy_allow, resolver=resolver)
    return [str(address) for address in run(policy.resolve("name", 80))]


def test_the_addresses_that_pass_are_used_in_order() -> None:
    assert resolve(["fe80::1%eth0", "192.168.1.5", "::1", "169.254.1.1", "10.0.0.1"]) == [
        "192.168.1.5",
        "::1",
        "10.0.0.1",
    ]
    assert resolve(["192.168.1.5", "10.0.0.1"], ["10.0.0.0/8"]) == ["10.0.0.1"]


@pytest.mark.parametrize("addresses", [["169.254.169.254"], ["fe80::1%eth0", "0.0.0.0"], []])
def test_denied_when_none_passes(addresses: list[str]) -> None:
    with pytest.raises(AddressDenied, match="denies name"):
        resolve(addresses)


def test_look_ups_are_shared_and_failures_are_not_kept() -> None:
    asked: list[str] = []

    async def resolver(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        if len(asked) == 1:
            raise OSError("no")
        return ["10.0.0.1"]

    async def main() -> None:
        policy = AddressPolicy(resolver=resolver)
        failed = await asyncio.gather(*(policy.resolve("name", 80) for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in failed] == [OSError] * 5
        assert len(asked) == 1
        results = await asyncio.gather(*(policy.resolve("name", 80) for _ in range(5)))
        assert [[str(address) for address in result] for result in results] == [["10.0.0.1"]] * 5
        await policy.resolve("name", 80)
        assert len(asked) == 2
        await policy.resolve("10.0.0.1", 80)
        assert len(asked) == 2

    run(main())


# URLs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://host", "http://host/", "https://host/a/b?c=d&e=%20", "HTTP://HOST:8000/Path", "http://host?x=y",
        "http://localhost:65535/", "http://gpu_1.lan/predict", "http://xn--bcher-kva.example/", "http://a.b.c.example./",
        "http://127.0.0.1:1/", "http://[::1]:8000/x", "http://[2001:DB8::1]/", "http://1.example/", "http://a1/",
        "http://host/@x", "http://host/a:b//c", "http://" + "a" * 63 + ".example/",
    ],
)  # fmt: skip
def test_a_url_that_may_be_registered(url: str) -> None:
    assert check_url(url) is None


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("", "ASCII"), ("host", "http://"), ("ftp://host/", "http://"), ("file:///etc/passwd", "http://"),
        ("//host/", "http://"), ("http:/host/", "http://"), ("javascript:alert(1)", "http://"), ("ws://host", "http://"),
        ("http://", "missing"), ("http:///path", "missing"), ("http://:80/", "malformed"), ("http://?x", "missing"),
        ("http://user@host/", "user name"), ("http://user:pass@host/", "user name"), ("http://@host/", "user name"),
        ("http://good.example@169.254.169.254/", "user name"), ("http://host:80@evil/", "user name"),
        ("http://host/#part", "fragment"), ("http://host#@evil/", "fragment"),
        ("http://host:0/", "port"), ("http://host:65536/", "port"), ("http://host:/", "malformed"),
        ("http://host:abc/", "malformed"), ("http://host:+80/", "malformed"), ("http://host:-1/", "malformed"),
        ("http://host:８０/", "ASCII"), ("http://host:8 0/", "ASCII"), ("http://host:000080/", "malformed"),
        ("http://ho st/", "ASCII"), ("http://host/a b", "ASCII"), (" http://host/", "ASCII"),
        ("http://host/\n", "ASCII"),
        ("http://host/\r\nX: y", "ASCII"), ("http://ho\tst/", "ASCII"), ("http://host/\x00", "ASCII"),
        ("http://host\\@evil/", "backslash"), ("http:\\\\host", "backslash"), ("http://höst/", "ASCII"),
        ("http://①②⑦.0.0.1/", "ASCII"), ("http://host。example/", "ASCII"), ("http://h%6fst/", "malformed"),
        ("http://host;x/", "malformed"), ("http://[::1/", "malformed"), ("http://::1/", "malformed"),
        ("http://[host]/", "malformed"), ("http://[fe80::1%25eth0]/", "malformed"), ("http://[::1]x/", "malformed"),
        ("http://[1::2::3]/", "IPv6"), ("http://[127.0.0.1]/", "IPv6"), ("http://[]/", "malformed"),
        ("http://[v1.x]/", "malformed"),
        ("http://2130706433/", "IPv4"), ("http://0x7f000001/", "IPv4"), ("http://017700000001/", "IPv4"),
        ("http://0x7f.1/", "IPv4"), ("http://127.1/", "IPv4"), ("http://127.0.1/", "IPv4"),
        ("http://0177.0.0.1/", "IPv4"),
        ("http://127.0.0.01/", "IPv4"), ("http://127.0.0.0x1/", "IPv4"), ("http://0x/", "IPv4"),
        ("http://1.2.3.4.5/", "IPv4"),
        ("http://256.0.0.1/", "IPv4"), ("http://127.0.0.1./", "IPv4"), ("http://example.1/", "IPv4"),
        ("http://0/", "IPv4"),
        ("http://.host/", "not a valid name"), ("http://a..b/", "not a valid name"), ("http://-a/", "not a valid name"),
        ("http://a-/", "not a valid name"), ("http://" + "a" * 64 + "/", "not a valid name"),
        ("http://" + "a." * 150 + "b/", "not a valid name"), ("http://./", "not a valid name"),
        ("http://host/" + "a" * 2048, "2048"),
    ],
)  # fmt: skip
def test_a_url_that_may_not(url: str, word: str) -> None:
    reason = check_url(url)
    assert reason is not None
    assert word in reason


@given(st.text(max_size=40).map(lambda rest: "http://" + rest))
def test_any_text_is_judged_without_an_error(url: str) -> None:
    reason = check_url(url)
    assert reason is None or reason
