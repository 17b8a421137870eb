"""Images of every kind, made here: what is read, what is skipped and why."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kit.config import Decoding
from kit.data import jpeg
from kit.data.decode import (
    NOT_AN_IMAGE,
    UnreadableError,
    decode,
    fitted,
    header_size,
    read_image,
    resized,
)
from kit.data.photos import GONE
from kit.download.photo_store import is_image

PIXELS = np.random.default_rng(0).integers(0, 255, (30, 40, 3)).astype(np.uint8)
IGNORE, APPLY = Decoding(), Decoding(exif_orientation="apply")


def saved(kind, mode="RGB", pixels=PIXELS, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def turned(value, order="MM"):
    exif = Image.Exif()
    exif[0x112] = value
    data = exif.tobytes()
    if order == "II":
        data = (
            b"Exif\0\0II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes((value, 0, 0, 0)) + b"\0" * 4
        )
    return saved("JPEG", exif=data, quality=95)


def png_header(wide, high):
    chunk = b"IHDR" + struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0)
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return header + struct.pack(">I", 100) + b"IDAT" + zlib.compress(b"\0" * 9)


def webp_header(wide, high):
    size = (wide - 1).to_bytes(3, "little") + (high - 1).to_bytes(3, "little")
    return b"RIFF\x30\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + size + b"\0" * 20


def jpeg_header(wide, high):
    frame = struct.pack(">BHHB", 8, high, wide, 3) + b"\x01\x11\0\x02\x11\0\x03\x11\0"
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xda\0\x0c" + b"\0" * 10


KINDS = {
    "jpeg": saved("JPEG"),
    "progressive": saved("JPEG", progressive=True),
    "gray": saved("JPEG", "L"),
    "cmyk": saved("JPEG", "CMYK"),
    "png": saved("PNG"),
    "palette": saved("PNG", "P"),
    "alpha": saved("PNG", "RGBA"),
    "one bit": saved("PNG", "1"),
    "16 bit": cv2.imencode(".png", PIXELS.astype(np.uint16) * 257)[1].tobytes(),
    "gif": saved("GIF", "P"),
    "animated": saved("GIF", "P", save_all=True, append_images=[Image.new("P", (40, 30))]),
    "webp": saved("WEBP"),
    "webp lossless": saved("WEBP", lossless=True),
    "webp with alpha": saved("WEBP", "RGBA", exif=b"Exif\0\0MM\0\x2a\0\0\0\x08\0\0\0\0\0\0"),
    "bmp": saved("BMP"),
    "tiff": saved("TIFF"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_three_channels_of_a_byte(kind, tmp_path):
    (tmp_path / "a.jpg").write_bytes(KINDS[kind])
    image = read_image(tmp_path / "a.jpg", IGNORE)
    assert image.shape == (30, 40, 3)
    assert image.dtype == np.uint8
    assert header_size(KINDS[kind]) == (40, 30)
    assert is_image(KINDS[kind])


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "gray", "cmyk", "png", "16 bit"])
def test_the_pixels_are_those_of_a_plain_decoder(kind):
    plain = cv2.imdecode(np.frombuffer(KINDS[kind], np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decode(KINDS[kind], IGNORE), plain)
    if kind == "png":
        assert np.array_equal(decode(KINDS[kind], IGNORE), PIXELS[..., ::-1])


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", ["MM", "II"])
def test_the_orientation_is_ignored_or_applied(value, order):
    data, plain = turned(value, order), saved("JPEG", quality=95)
    assert jpeg.orientation(data) == value
    assert np.array_equal(decode(data, IGNORE), decode(plain, IGNORE))
    from PIL import ImageOps

    truth = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(turned(value)))))[..., ::-1]
    applied = decode(data, APPLY)
    assert applied.shape == truth.shape
    assert np.abs(applied.astype(int) - truth).max() <= 3  # two decoders


def test_what_tells_no_orientation_or_a_wrong_one():
    assert jpeg.orientation(KINDS["jpeg"]) == 1
    for content in (
        b"",
        b"MM",
        b"MM\0\x2a\0\0\xff\xff",
        b"II\x2a\0\xff\xff\xff\xff",
        b"MM\0\x2a\0\0\0\x08\xff\xff",
    ):
        data = b"\xff\xd8\xff\xe1" + struct.pack(">H", 8 + len(content)) + b"Exif\0\0" + content
        assert jpeg.orientation(data + KINDS["jpeg"][2:]) == 1
    assert jpeg.orientation(jpeg.with_orientation(KINDS["jpeg"], 9)) == 1
    kept = jpeg.with_orientation(KINDS["jpeg"], 6)
    assert jpeg.orientation(kept) == 6
    assert decode(kept, APPLY).shape == (40, 30, 3)


@pytest.mark.parametrize("header", [png_header, jpeg_header, webp_header])
@pytest.mark.parametrize("size", [(20_000, 20_000), (65_500, 65_500), (10_001, 10_000)])
def test_too_many_pixels_are_seen_in_the_header(header, size, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)  # nothing is decoded
    with pytest.raises(UnreadableError, match=f"{size[0]} x {size[1]} pixels are more than data.max_pixels"):
        decode(header(*size), IGNORE)


def test_a_side_of_any_length_is_too_large():
    with pytest.raises(UnreadableError, match="pixels are more than"):
        decode(png_header(2**31 - 1, 2**31 - 1), IGNORE)


def test_the_limit_is_the_configurations():
    assert decode(KINDS["jpeg"], Decoding(max_pixels=1200)).shape == (30, 40, 3)
    with pytest.raises(UnreadableError, match=r"40 x 30 pixels are more than data.max_pixels \(1199\)"):
        decode(KINDS["jpeg"], Decoding(max_pixels=1199))


def test_a_header_that_promises_more_than_there_is():
    for data in (png_header(9000, 9000), jpeg_header(9000, 9000), jpeg_header(0, 0), png_header(0, 5)):
        with pytest.raises(UnreadableError, match=NOT_AN_IMAGE):
            decode(data, IGNORE)


def test_what_is_no_image(tmp_path):
    contents = {
        "empty": (b"", "empty"),
        "text": (b"this is a text\n" * 50, NOT_AN_IMAGE),
        "page": (b"<html>gone</html>", NOT_AN_IMAGE),
        "cut": (KINDS["jpeg"][:-300], NOT_AN_IMAGE),
        "zeros": (b"\0" * 1000, NOT_AN_IMAGE),
        "start": (b"\xff\xd8", NOT_AN_IMAGE),
    }
    for name, (data, why) in contents.items():
        (tmp_path / f"{name}.jpg").write_bytes(data)
        with pytest.raises(UnreadableError, match=why):
            read_image(tmp_path / f"{name}.jpg", IGNORE)
    (tmp_path / "folder.jpg").mkdir()
    for path, why in ((tmp_path / "folder.jpg", "not a file"), (tmp_path / "none.jpg", GONE), (None, GONE)):
        with pytest.raises(UnreadableError, match=why):
            read_image(path, IGNORE)


def test_a_file_that_is_far_too_large_is_not_read(tmp_path):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(1 << 36)
    with pytest.raises(UnreadableError, match="a file of 68,719,476,736 bytes"):
        read_image(tmp_path / "a.jpg", IGNORE)


@given(st.binary(max_size=200), st.sampled_from(sorted(KINDS)), st.integers(0, 400))
def test_no_bytes_do_anything_else(noise, kind, cut):
    for data in (
        noise,
        KINDS[kind][:cut] + noise,
        KINDS[kind][:cut] + noise + KINDS[kind][cut + len(noise) :],
    ):
        try:
            image = decode(data, Decoding(max_pixels=1_000_000))
        except UnreadableError:
            continue
        assert image.ndim == 3
        assert image.shape[0] * image.shape[1] <= 1_000_000


@given(
    st.sampled_from([(30, 40), (1, 1), (1, 50), (17, 3)]),
    st.integers(1, 100),
    st.booleans(),
    st.binary(max_size=99),
)
def test_what_is_read_is_never_called_broken(size, quality, progressive, behind):
    data = saved("JPEG", pixels=PIXELS[: size[0], : size[1] or 1], quality=quality, progressive=progressive)
    for whole in (data, data + behind, data + b"\0" * 200_000 + behind):
        decode(whole, IGNORE)
        assert is_image(whole)
        assert jpeg.is_whole(whole)


@given(st.sampled_from(sorted(KINDS)), st.floats(0, 1))
def test_a_cut_image_is_called_broken_where_it_cannot_be_read(kind, share):
    data = KINDS[kind][: int(len(KINDS[kind]) * share)]
    try:
        decode(data, IGNORE)
    except UnreadableError:
        assert not is_image(data)
    else:
        assert is_image(data)


@pytest.mark.parametrize("size", [(1, 1), (1, 8000), (8000, 5), (5, 8000), (3, 3)])
def test_a_side_is_one_pixel_at_the_least(size):
    out = resized(np.zeros((*size, 3), np.uint8), 160, 96)
    assert out.shape[:2] == fitted(size, 160, 96)
    assert min(out.shape[:2]) >= 1
    assert max(out.shape[:2]) <= 160
