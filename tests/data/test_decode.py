import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from simplejpeg import decode_jpeg

from sklab.data.augment import crop_draws
from sklab.data.base import Encoded
from sklab.data.formats.decode import centre, decode, random_resized, whole
from sklab.errors import SklabError

sides = st.integers(1, 2000)


def picture(width, height):
    """Red grows to the right, green downwards, blue is even: what is cut can be read off the pixels."""
    across, down = np.linspace(0, 255, width), np.linspace(0, 255, height)
    red, green = np.broadcast_to(across, (height, width)), np.broadcast_to(down[:, None], (height, width))
    return Image.fromarray(np.stack([red, green, np.full((height, width), 128)], 2).round().astype(np.uint8))


@given(sides, sides, st.integers(0, 10**6), st.floats(0.01, 1), st.floats(0, 1))
def test_a_random_part_lies_inside_and_is_as_large_as_asked(width, height, index, smallest, more):
    shares = (smallest, smallest + more * (1 - smallest))
    left, upper, right, lower = random_resized(shares, crop_draws(0, 0, index))(width, height)
    assert 0 <= left < right <= width * (1 + 1e-12)
    assert 0 <= upper < lower <= height * (1 + 1e-12)
    across, down = right - left, lower - upper
    assert 3 / 4 - 1e-9 <= across / down <= 4 / 3 + 1e-9
    fallen_back = across == pytest.approx(width) or down == pytest.approx(height)
    share = across * down / (width * height)
    assert fallen_back or shares[0] - 1e-9 <= share <= shares[1] + 1e-9


@given(sides, sides, st.integers(8, 64), st.integers(0, 64))
def test_the_middle_is_square_and_in_the_middle(width, height, size, more):
    left, upper, right, lower = centre(size + more, size)(width, height)
    assert right - left == pytest.approx(lower - upper)
    assert right - left == pytest.approx(min(width, height) * size / (size + more))
    assert left == pytest.approx(width - right)
    assert upper == pytest.approx(height - lower)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("scale", [1, 4])
def test_the_middle_of_a_picture(tmp_path, suffix, scale):
    file = tmp_path / f"wide.{suffix}"
    picture(128 * scale, 64 * scale).save(file, quality=95)
    red, green, blue = decode(str(file), 32, centre(64, 32)).astype(int)
    # The middle 32 of 128 columns and of 64 rows; at scale 4 a JPEG is decoded at a quarter of its size.
    assert np.abs(red[0] - np.linspace(96, 159, 32)).max() < 4
    assert np.abs(green[:, 0] - np.linspace(64, 191, 32)).max() < 5
    assert np.abs(blue - 128).max() < 4


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("L", "jpg"), ("CMYK", "jpg"), ("P", "png"), ("RGBA", "png")]
)
def test_all_that_is_not_rgb_becomes_rgb(tmp_path, mode, suffix):
    file, image = tmp_path / f"image.{suffix}", picture(40, 40)
    image.convert(mode).save(file)
    pixels = decode(str(file), 40, centre(40, 40))
    assert pixels.shape == (3, 40, 40)
    expected = np.asarray(image.convert(mode).convert("RGB"), dtype=int).transpose(2, 0, 1)
    assert np.abs(pixels - expected).mean() < 6


@given(st.integers(1, 300), st.integers(1, 300), st.integers(8, 40), st.booleans(), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_a_jpeg_gives_the_pixels_that_pillow_gives(width, height, size, grey, index):
    image = picture(width, height).convert("L" if grey else "RGB")
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    name, data = "image", stream.getvalue()
    assert np.array_equal(whole(Encoded(name, data)), np.asarray(Image.open(stream).convert("RGB")).transpose(2, 0, 1))
    view = random_resized((0.08, 1.0), crop_draws(0, 0, index))
    left, upper, right, lower = view(width, height)
    if min(right - left, lower - upper) < 2 * size:  # not decoded at a fraction of its size
        png = io.BytesIO()
        Image.open(stream).convert("RGB").save(png, "PNG")
        again = random_resized((0.08, 1.0), crop_draws(0, 0, index))
        ours = random_resized((0.08, 1.0), crop_draws(0, 0, index))
        assert np.array_equal(
            decode(Encoded(name, data), size, ours), decode(Encoded(name, png.getvalue()), size, again)
        )


def test_the_resize_is_that_of_pillow_within_a_level():
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (90, 70, 3), dtype=np.uint8))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    ours = decode(Encoded("image", stream.getvalue()), 32, lambda _width, _height: (4.2, 7.9, 60.3, 70.0)).astype(int)
    theirs = np.asarray(image.crop((4, 8, 60, 70)).resize((32, 32), Image.Resampling.BILINEAR), dtype=int)
    assert np.abs(ours - theirs.transpose(2, 0, 1)).max() <= 1


def test_a_jpeg_that_only_pillow_forgives_is_read():
    stream = io.BytesIO()
    picture(64, 64).save(stream, "JPEG")
    data = stream.getvalue()
    odd = data[:-2] + bytes(50) + data[-2:]  # stray bytes behind the pixels
    with pytest.raises(ValueError, match="xtraneous"):
        decode_jpeg(odd)
    assert np.array_equal(*(decode(Encoded("image", each), 64, centre(64, 64)) for each in (odd, data)))


def test_a_torn_image_is_named(tmp_path):
    file = tmp_path / "torn.jpg"
    picture(64, 64).save(file)
    file.write_bytes(file.read_bytes()[:400])
    with pytest.raises(SklabError, match=r"torn\.jpg: not a readable image \(.*\); mend or delete it"):
        decode(str(file), 32, centre(32, 32))


def test_sixteen_bits_are_refused_not_clipped(tmp_path):
    file = tmp_path / "deep.png"
    Image.fromarray(np.full((40, 40), 40_000, dtype=np.uint16)).save(file)
    with pytest.raises(SklabError, match=r"deep\.png: .*mode I;16; allowed: 8 bits"):
        decode(str(file), 32, centre(32, 32))
