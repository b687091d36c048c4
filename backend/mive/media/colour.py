"""Between FFmpeg's pixel formats and RGB arrays, by the colour tags of the clip."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from mive.base.samples import IN_MEMORY, Depth, integer_for, sample_of
from mive.media.info import MATRIX_RGB, UNSPECIFIED, ColourTags, Pixels

# One thread and the exact paths, so that every machine decodes the same code values.
_QUALITY = (
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)
_CLEARLY = 5
"""Codes of 8 bits; codecs overshoot by less."""
_COLORSPACES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}


def depth_of(pixel_format: av.VideoFormat) -> tuple[Depth, int]:
    """Sample type that holds a pixel format without loss, and the bits of its samples."""
    bits = max(component.bits for component in pixel_format.components)
    if "f32" in pixel_format.name or "f16" in pixel_format.name:
        return "f32", bits
    return integer_for(bits).depth, bits


def has_alpha(pixel_format: av.VideoFormat) -> bool:
    """Whether frames of the format say how opaque they are."""
    return any(component.is_alpha for component in pixel_format.components)


def chroma_of(pixel_format: av.VideoFormat) -> str:
    """How finely a format tells colours, where it does more finely than most: "4:4:4", "4:2:2" or "RGB"."""
    if is_rgb(pixel_format):
        return "RGB"
    if len(pixel_format.components) < 3:
        return ""
    size = pixel_format.chroma_width(16), pixel_format.chroma_height(16)
    return {(16, 16): "4:4:4", (8, 16): "4:2:2"}.get(size, "")


def is_rgb(pixel_format: av.VideoFormat) -> bool:
    """Whether the format holds RGB (planar, packed or by palette) rather than YUV or grey."""
    return pixel_format.is_rgb or pixel_format.has_palette


def tags_of(context: av.VideoCodecContext, frame: av.VideoFrame) -> ColourTags:
    """The clip's tags: the container's, and the bitstream's where the container is silent."""
    name = frame.format.name
    coded_range = int(context.color_range) or int(frame.color_range)
    grey = name.startswith("gray") or name.startswith("ya")
    full = coded_range == ColorRange.JPEG or name.startswith("yuvj")
    return ColourTags(
        matrix=MATRIX_RGB if is_rgb(frame.format) else _tag(context.colorspace, frame.colorspace),
        primaries=_tag(context.color_primaries, frame.color_primaries),
        transfer=_tag(context.color_trc, frame.color_trc),
        full_range=full or (coded_range == ColorRange.UNSPECIFIED and grey),
    )


def to_rgb(frame: av.VideoFrame, tags: ColourTags, depth: Depth, reformatter: VideoReformatter) -> Pixels:
    """A decoded frame as ``[H, W, 3]`` RGB of the given depth, in stored orientation."""
    matrix = _COLORSPACES[tags.yuv_matrix(frame.width, frame.height)]
    full = is_rgb(frame.format) or tags.full_range
    rgb = reformatter.reformat(
        frame,
        format=IN_MEMORY[depth].rgb,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=_QUALITY,
        threads=1,
    )
    return np.asarray(rgb.to_ndarray())


def beyond_nominal(frame: av.VideoFrame, tags: ColourTags) -> float:
    """The share of a frame's pixels whose luma lies clearly above white or below black, which RGB does not hold."""
    form = frame.format
    if is_rgb(form) or tags.full_range or len(form.components) < 3 or not form.name.startswith("yuv"):
        return 0
    bits = form.components[0].bits
    plane = frame.planes[0]
    codes = bytes(plane)
    luma = np.frombuffer(codes, "u1" if bits == 8 else "<u2").reshape(plane.height, -1)[:, : plane.width]
    step = 1 << (bits - 8)
    return float(((luma < (16 - _CLEARLY) * step) | (luma > (235 + _CLEARLY) * step)).mean())


def alpha_of(frame: av.VideoFrame, reformatter: VideoReformatter) -> Pixels | None:
    """The frame's alpha plane ``[H, W]`` uint8 or uint16; None where the format has none."""
    if not has_alpha(frame.format):
        return None
    rgba = reformatter.reformat(
        frame,
        format=IN_MEMORY[depth_of(frame.format)[0]].rgba,
        dst_color_range=ColorRange.JPEG,
        interpolation=_QUALITY,
        threads=1,
    )
    return np.asarray(rgba.to_ndarray())[..., 3]


def from_rgb(rgb: Pixels, pixel_format: str, written: ColourTags, reformatter: VideoReformatter) -> av.VideoFrame:
    """An RGB array as a frame for an encoder.

    Args:
        rgb: ``[H, W, 3]``, or ``[H, W, 4]`` with alpha.
        written: its tags, as `written_tags` says.
    """
    sample = sample_of(rgb.dtype)
    if pixel_format.startswith("gbr"):
        frame = av.VideoFrame.from_ndarray(rgb, format=pixel_format)
    else:
        matrix = _COLORSPACES[written.yuv_matrix(rgb.shape[1], rgb.shape[0])]
        frame = reformatter.reformat(
            av.VideoFrame.from_ndarray(rgb, format=sample.rgba if rgb.shape[2] == 4 else sample.rgb),
            format=pixel_format,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG if written.full_range else ColorRange.MPEG,
            interpolation=_QUALITY,
            threads=1,
        )
    frame.colorspace = written.matrix
    frame.color_primaries = written.primaries
    frame.color_trc = written.transfer
    frame.color_range = ColorRange.JPEG if written.full_range else ColorRange.MPEG
    return frame


def written_tags(
    tags: ColourTags, pixel_format: str, width: int, height: int, *, full_range: bool = True
) -> ColourTags:
    """The tags of a file written from a clip.

    Primaries and transfer are the source's. The matrix is the source's too, or the one that was
    used where the source named none; RGB formats are tagged RGB and full range.

    Args:
        full_range: the file can say that its codes span the full range; where not, they never do.
    """
    if is_rgb(av.VideoFormat(pixel_format)):
        return ColourTags(MATRIX_RGB, tags.primaries, tags.transfer, full_range=True)
    from_yuv = tags.matrix != MATRIX_RGB
    return ColourTags(
        tags.matrix if tags.matrix in (5, 10) else tags.yuv_matrix(width, height),
        tags.primaries,
        tags.transfer,
        full_range=tags.full_range and from_yuv and full_range,
    )


def _tag(container: int, bitstream: int) -> int:
    if container in (UNSPECIFIED, 0):
        return int(bitstream) or UNSPECIFIED
    return int(container)
