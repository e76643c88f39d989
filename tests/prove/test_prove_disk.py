"""What is told of a disk: file systems and mount options that void a sync, who answers it, and how long it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from taskyard.prove.disk import place, preload, timing
from taskyard.prove.disk.judgement import Look, broken, untold
from taskyard.prove.disk.place import Drive, Mount
from taskyard.prove.disk.timing import Times
from tests.support.nodes import ROOT

MOUNTS = """\
22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
30 22 0:26 / /dev/shm rw,nosuid shared:3 - tmpfs tmpfs rw,size=1024k
31 22 8:17 / /data rw - ext4 /dev/sdb1 rw,nobarrier
32 22 0:40 / /container rw - overlay overlay rw,upperdir=/u,volatile
33 22 0:50 / /far rw - nfs4 server:/export rw,sync
34 22 8:33 / /with\\040space rw - xfs /dev/sdc1 rw
35 34 8:49 / /with\\040space/deeper rw - xfs /dev/sdd1 rw
36 22 8:65 / /data rw - xfs /dev/sde1 rw
a line that is none
"""
SLOW = Times((4000.0, 5000.0, 9000.0))
GOOD = Look(
    mount=Mount("/data", "ext4", "/dev/sdb1", "8:17", frozenset({"rw", "relatime"})),
    drives=[Drive("sdb", "a disk", "write back", fua=False, turns=False)],
    preloaded=[],
    usurpers={},
    syncs=SLOW,
    writes=Times((30.0, 40.0, 50.0)),
    virtual=False,
)


@pytest.mark.parametrize(
    ("folder", "kind", "device"),
    [
        ("/dev/shm/a/b", "tmpfs", "0:26"),
        ("/etc", "ext4", "8:2"),
        ("/with space/a", "xfs", "8:33"),
        ("/with space/deeper", "xfs", "8:49"),
        ("/data/taskyard", "xfs", "8:65"),  # mounted over another
        ("/database", "ext4", "8:2"),
    ],
)
def test_where_a_folder_lies(folder: str, kind: str, device: str) -> None:
    found = place.mount_of(Path(folder), MOUNTS)
    assert found is not None
    assert (found.kind, found.device) == (kind, device)


def test_the_disks_under_a_partition_of_a_volume_are_found(tmp_path: Path) -> None:
    for name in ("sda", "sdb"):
        disk = tmp_path / "devices" / name
        (disk / "queue").mkdir(parents=True)
        (disk / f"{name}1").mkdir()
        (disk / "queue" / "write_cache").write_text("write through\n" if name == "sda" else "write back\n")
        (disk / "queue" / "rotational").write_text("1\n")
    volume = tmp_path / "devices" / "dm-0"
    (volume / "queue").mkdir(parents=True)
    (volume / "slaves").mkdir()
    for name in ("sda", "sdb"):
        (volume / "slaves" / f"{name}1").symlink_to(tmp_path / "devices" / name / f"{name}1")
    (tmp_path / "dev" / "block").mkdir(parents=True)
    (tmp_path / "dev" / "block" / "253:0").symlink_to(volume)
    found = place.drives(Mount("/data", "ext4", "/dev/dm-0", "253:0", frozenset()), tmp_path)
    assert found == [
        Drive("sda", None, "write through", None, turns=True),
        Drive("sdb", None, "write back", None, turns=True),
    ]


def _mounted(folder: str) -> Look:
    return replace(GOOD, mount=place.mount_of(Path(folder), MOUNTS))


BAD = {
    "tmpfs": (_mounted("/dev/shm"), "/dev/shm (tmpfs) is in memory"),
    "nfs": (_mounted("/far"), "/far (nfs4) is on another machine"),
    "no barrier": (
        replace(GOOD, mount=Mount("/data", "ext4", "/dev/sdb1", "8:17", frozenset({"rw", "nobarrier"}))),
        "is mounted with nobarrier",
    ),
    "a volatile overlay": (_mounted("/container"), "/container (overlay) is mounted as volatile"),
    "a disk in memory": (replace(GOOD, drives=[Drive("zram0")]), "zram0 is a disk in memory"),
    "another library": (
        replace(GOOD, usurpers={"fdatasync": "/opt/quick.so"}),
        "fdatasync is answered by /opt/quick.so and not by the C library",
    ),
    "eatmydata by its name": (replace(GOOD, preloaded=["libeatmydata.so.1"]), "libeatmydata.so.1 is preloaded"),
    "too short for any disk": (replace(GOOD, syncs=Times((0.3, 0.4, 9000.0))), "no disk is so fast"),
    "shorter than a write": (
        replace(GOOD, syncs=Times((9.0, 9.0, 9000.0)), writes=Times((90.0, 90.0, 90.0))),
        "shorter than the disk needs only to take the data",
    ),
}


@pytest.mark.parametrize(("look", "words"), BAD.values(), ids=BAD)
def test_what_is_no_sync_is_named(look: Look, words: str) -> None:
    found = list(broken(look))
    assert len(found) == 1
    assert words in found[0]


def test_of_a_good_disk_nothing_is_said() -> None:
    assert list(broken(GOOD)) == []
    assert list(untold(GOOD)) == []


DOUBTS = {
    "virtual": (replace(GOOD, virtual=True), "what the host of this virtual machine does"),
    "write through": (replace(GOOD, drives=[Drive("sdb", cache="write through")]), "whether sdb is right"),
    "a platter that is too fast": (
        replace(GOOD, drives=[Drive("sdb", cache="write back", turns=True)], syncs=Times((80.0, 90.0, 99.0))),
        "how sdb, which turns, can sync in p50 90.0 µs",
    ),
    "an overlay": (
        replace(GOOD, mount=Mount("/", "overlay", "overlay", "0:40", frozenset({"rw"})), drives=[]),
        "use a volume",
    ),
    "zfs": (replace(GOOD, mount=Mount("/", "zfs", "pool/data", "0:41", frozenset())), "zfs get sync pool/data"),
    "no word of it": (replace(GOOD, mount=None, drives=[]), "on which file system the folder lies"),
    "preloaded": (replace(GOOD, preloaded=["/opt/other.so"]), "what /opt/other.so does"),
}


@pytest.mark.parametrize(("look", "words"), DOUBTS.values(), ids=DOUBTS)
def test_what_cannot_be_told_is_said_and_is_no_fault(look: Look, words: str) -> None:
    assert list(broken(look)) == []
    assert any(words in line for line in untold(look))


def test_a_sync_that_does_nothing_is_named_by_its_time(tmp_path: Path) -> None:
    nothing = timing.syncs(tmp_path, 0.05, lambda handle: None)
    assert any("left out" in line for line in broken(replace(GOOD, syncs=nothing, writes=None)))
    assert list(tmp_path.iterdir()) == []


def test_the_real_sync_is_the_c_librarys() -> None:
    assert preload.usurpers() == {}
    assert preload.answering("fdatasync") is not None


PROGRAM = """
import json, sys
from pathlib import Path
from taskyard.prove.disk import part
class Nobody:
    part = tell = figures = lambda *what: None
found = part.prove(Path(sys.argv[1]), 2.0, Nobody())
print(json.dumps({"holds": found.holds, "broken": found.broken, "figures": found.figures}))
"""


def test_a_library_that_leaves_syncs_out_is_named_in_each_way(tmp_path: Path) -> None:
    done = subprocess.run(
        ["eatmydata", sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    said = "\n".join(told["broken"])
    assert not told["holds"]
    assert "libeatmydata" in said.partition("and not by the C library")[0]
    assert "is preloaded" in said
    # It took the node's syncs too.
    assert told["figures"]["submissions acknowledged"] > 0
    assert told["figures"]["of them, by samples, met in a sync of the node's log before the answer"] == 0
