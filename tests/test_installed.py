"""What is installed is told as importlib.metadata tells it: digests go by the names and versions of libraries."""

import subprocess
import sys
from importlib import metadata

import pytest
from retain._installed import Unusual, library_of
from retain._libraries import _told_by_importlib, version_of

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: a library\n\nVersion: 9\n"


def install(site, folder, name, version, *, text=METADATA, **files):
    info = site / folder
    info.mkdir(parents=True)
    (info / "METADATA").write_text(text.format(name=name, version=version))
    for file, content in files.items():
        (info / file.replace("_txt", ".txt")).write_text(content)
    return info


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path / "missing"), str(tmp_path / "site")])
    (tmp_path / "site").mkdir()
    return tmp_path / "site"


def tops():
    """Names of modules of all that is installed here, and some of the standard library and of nobody."""
    found = {"json", "nobody", "asyncio", "_ctypes"}
    for distribution in metadata.distributions():
        found |= {distribution.name, distribution.name.replace("-", "_"), distribution.name.upper()}
        found |= set((distribution.read_text("top_level.txt") or "").split())
        record = (distribution.read_text("RECORD") or "").splitlines()
        found |= {line.split(",")[0].split("/")[0].partition(".")[0] for line in record}
    return sorted(found)


def test_all_that_is_installed_here_is_told_as_importlib_tells_it():
    told = []
    for top in tops():
        try:
            found = library_of(top)
        except Unusual:
            continue
        assert found == _told_by_importlib(top), top
        told.append(top)
    assert len(told) > 10


def test_neither_importlib_metadata_nor_what_it_imports_is_needed():
    script = (
        "import sys; from retain._libraries import version_of; print(version_of('pytest'), version_of('_pytest')); "
        "assert 'importlib.metadata' not in sys.modules"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    told = ("pytest", metadata.version("pytest"))
    assert found.stdout == f"{told} {told}\n"


@pytest.mark.parametrize(
    ("folder", "name", "version"),
    [
        ("thing-1.2.3.dist-info", "thing", "1.2.3"),
        ("Thing-1.2.dist-info", "Thing", "1.2"),
        ("thing-1!2.0+local.dist-info", "thing", "1!2.0+local"),
        ("thing.dist-info", "thing", "0"),
    ],
)
def test_a_library_of_the_modules_name_is_found(site, folder, name, version):
    install(site, folder, name, version)
    assert library_of("thing") == _told_by_importlib("thing") == ("thing", version)


def test_all_who_installed_a_module_are_told(site):
    install(site, "z_tools-3.dist-info", "z-tools", "3", RECORD="thing/tools.py,sha256=,1\r\nother.py,,\r\n")
    install(site, "a_base-1.dist-info", "a.base", "1", top_level_txt="thing\n")
    install(site, "b_c-2.dist-info", "b-c", "2", RECORD="thing.cpython-311-x86_64-linux-gnu.so,,\n")
    install(site, "unlike-2.dist-info", "unlike", "2", RECORD="nothing/thing.py,,\nthingy.py,,\n")
    assert library_of("thing") == _told_by_importlib("thing") == ("a.base b-c z-tools", "1 2 3")
    assert library_of("nobody") is _told_by_importlib("nobody") is None


def test_the_first_folder_of_the_path_counts(site, tmp_path, monkeypatch):
    install(site, "thing-1.dist-info", "thing", "1")
    install(tmp_path / "other", "thing-2.dist-info", "thing", "2")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "other"), str(site)])
    assert library_of("thing") == _told_by_importlib("thing") == ("thing", "2")


def test_what_is_installed_anew_is_seen(site):
    assert library_of("thing") is None
    info = install(site, "thing-1.dist-info", "thing", "1")
    assert library_of("thing") == ("thing", "1")
    info.rename(site / "thing-2.dist-info")
    (site / "thing-2.dist-info" / "METADATA").write_text(METADATA.format(name="thing", version="2"))
    assert library_of("thing") == ("thing", "2")


class Finder:
    @staticmethod
    def find_distributions(context):
        del context
        return ()


def two_at_once(site):
    install(site, "thing-1.dist-info", "thing", "1")
    install(site, "thing-2.dist-info", "thing", "2")


def no_metadata(site):
    (site / "thing-1.dist-info").mkdir()


def an_egg(site):
    (site / "thing-1.egg-info").write_text("Metadata-Version: 1.0\nName: thing\nVersion: 1\n")


def continued(site):
    text = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n .5\n\n"
    install(site, "thing-1.dist-info", "thing", "1", text=text)


def body_first(site):
    install(site, "thing-1.dist-info", "thing", "1", text="Name: {name}\n\nVersion: {version}\n")


def no_text(site):
    info = install(site, "thing-1.dist-info", "thing", "1")
    (info / "METADATA").write_bytes(b"Name: thing\nVersion: 1\n\n\xff")


def an_archive(site):
    (site.parent / "missing").write_bytes(b"PK\5\6" + bytes(18))
    install(site, "thing-1.dist-info", "thing", "1")


def a_finder(site):
    install(site, "thing-1.dist-info", "thing", "1")
    sys.meta_path.append(Finder)


@pytest.mark.parametrize(
    "make", [two_at_once, no_metadata, an_egg, continued, body_first, no_text, an_archive, a_finder]
)
def test_what_is_unusual_is_left_to_importlib(site, make, monkeypatch):
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    make(site)
    with pytest.raises(Unusual):
        library_of("thing")

    def told(function):
        try:
            return function("thing")
        except UnicodeDecodeError:
            return "no text"

    assert told(version_of) == told(_told_by_importlib)
