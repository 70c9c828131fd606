"""Which image files are opened at all, whatever their names say."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from pictures import encoded, pixels
from PIL import EpsImagePlugin, Image

from sklab.data.base import Encoded
from sklab.data.formats.decode import centre, decode, whole
from sklab.errors import SklabError

MIDDLE = centre(32, 32)
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n%%EOF\n"


def read(data, name="photo.jpg"):
    """What both ways of decoding say of the bytes of a file."""
    told = []
    for way in (whole, lambda picture: decode(picture, 32, MIDDLE)):
        with pytest.raises(SklabError) as caught:
            way(Encoded(name, data))
        told.append(str(caught.value))
    return told


def test_postscript_under_the_name_of_a_jpeg_starts_no_program(tmp_path, monkeypatch):
    started = tmp_path / "started"
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {started}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # what Pillow remembers of its search
    told = read(POSTSCRIPT)
    assert not started.exists()
    assert all(each.startswith("photo.jpg: not a readable image (") for each in told)


@pytest.mark.parametrize("kind", ["TGA", "ICO", "PCX", "SGI", "DDS", "JPEG2000", "ICNS"])
def test_formats_that_are_not_meant_are_not_opened(kind):
    for told in read(encoded(pixels(1, 0), kind)):
        assert "photo.jpg: not a readable image (no AVIF, BMP, GIF, JPEG, PNG, PPM, TIFF or WebP, or its head" in told


@pytest.mark.parametrize("kind", ["AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP"])
def test_formats_that_are_meant_are_read_whatever_the_name(kind):
    image = encoded(np.full((40, 40, 3), 90, np.uint8), kind)
    assert np.abs(decode(Encoded("x.dat", image), 32, MIDDLE).astype(int) - 90).max() <= 2
    assert whole(Encoded("x.dat", image)).shape == (3, 40, 40)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_pictures_in_a_file_the_first_is_read(kind):
    stream = io.BytesIO()
    first, second = (Image.new("RGB", (40, 40), (level, level, level)) for level in (250, 10))
    first.save(stream, kind, save_all=True, append_images=[second])
    assert whole(Encoded("x", stream.getvalue())).min() > 240


def png_that_says(width, height):
    """The head of a PNG, without a pixel."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def jpeg_that_says(width, height):
    """A small JPEG whose head says that it is large."""
    data = encoded(pixels(1, 0), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("make", [png_that_says, jpeg_that_says])
@pytest.mark.parametrize(("width", "height"), [(13_000, 13_000), (8193, 8192)])
def test_too_many_pixels_are_refused_by_name_before_any_is_decoded(make, width, height):
    for told in read(make(width, height)):
        assert f"photo.jpg: not a readable image ({width} x {height} pixels; allowed: 67,108,864)" in told


@pytest.mark.parametrize("make", [png_that_says, jpeg_that_says])
def test_a_bomb_is_refused_by_name(make):
    for told in read(make(60_000, 60_000)):
        assert told.startswith("photo.jpg: not a readable image (")
        assert "pixels" in told


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("pipe.jpg", "."):
        with pytest.raises(SklabError, match="not a readable image"):
            whole(str(tmp_path / name))
    with pytest.raises(SklabError, match="zero: not a readable image"):
        whole("/dev/zero")
