"""Files of numpy's from strangers: no more is taken than they are allowed."""

import io
import zipfile
import zlib

import numpy as np
import pytest
import retain


def npy(shape, dtype="u1", data=b""):
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def test_a_bomb_in_an_archive_is_refused_before_it_is_inflated(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", npy((30_000_000,), data=bytes(30_000_000)))
    with pytest.raises(retain.UnsafeFileError, match="10,000,000 bytes"):
        retain.safe_load(path, max_bytes=10_000_000)
    assert retain.safe_load(path)["a"].size == 30_000_000


@pytest.mark.parametrize(
    "data",
    [npy((1 << 40,)), npy((-1,)), npy((10**30,)), npy((1 << 40,), "V0"), npy(None), npy(("a",)), npy((3,), data=b"ab")],
)
def test_what_an_array_claims_is_there(tmp_path, data):
    (tmp_path / "a.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", data)
    for name in ("a.npy", "a.npz"):
        with pytest.raises((retain.CorruptFileError, retain.UnsafeFileError)):
            retain.safe_load(tmp_path / name)
        assert retain.scan(tmp_path / name).verdict in {"damaged", "unsafe"}


@pytest.mark.parametrize("header", [b"-" * 9000 + b"1", b"1" + b"+1" * 4000, b"(" * 5000])
def test_a_header_that_exhausts_the_parser_is_damage(tmp_path, header):
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(retain.CorruptFileError):
        retain.safe_load(tmp_path / "a.npy")
    assert retain.scan(tmp_path / "a.npy").verdict == "damaged"


def test_members_that_share_a_name_or_bytes_are_refused(tmp_path):
    whole = io.BytesIO()
    np.savez(whole, a=np.arange(10), b=np.arange(10))
    path = tmp_path / "twice.npz"
    path.write_bytes(whole.getvalue())
    assert list(retain.safe_load(path)) == ["a", "b"]
    # Both entries of the directory lead to the first member.
    data = bytearray(whole.getvalue())
    with zipfile.ZipFile(whole) as file:
        offset = file.infolist()[1].header_offset
    second = data.rindex(b"PK\x01\x02")
    assert int.from_bytes(data[second + 42 : second + 46], "little") == offset
    data[second + 42 : second + 46] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(retain.CorruptFileError, match="shares bytes"):
        retain.safe_load(path)
    path.write_bytes(whole.getvalue().replace(b"b.npy", b"a.npy"))
    with pytest.raises(retain.CorruptFileError, match="same name"):
        retain.safe_load(path)


def test_what_a_compressed_file_may_hold_follows_from_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr("retain._files.safe.FLOOR", 1 << 20)
    value = b"\0" * 20_000_000
    for name, codec in (("a.zst", "zstd"), ("a.z", "zlib")):
        retain.dump(value, tmp_path / name, compress=codec)
    with pytest.raises(retain.CorruptFileError, match="bytes, uncompressed"):
        retain.safe_load(tmp_path / "a.zst")
    assert retain.safe_load(tmp_path / "a.zst", max_bytes=30_000_000) == value
    # zlib itself packs a thousand to one at most.
    assert retain.safe_load(tmp_path / "a.z") == value


def test_an_old_compressed_file_may_not_hold_more(tmp_path):
    path = tmp_path / "old.pkl"
    path.write_bytes(b"ZF" + hex(1 << 40).encode().ljust(19) + zlib.compress(bytes(1000)))
    assert retain.scan(path).verdict == "damaged"
