"""Figures as they are written to files."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans", "Droid Sans Fallback",
    "WenQuanYi Zen Hei", "Microsoft YaHei", "Hiragino Sans", "Arial Unicode MS", "Unifont",
)  # fmt: skip
"""Fonts of many scripts, for the letters that matplotlib's own lacks; what is installed is used."""


def png(figure: Figure) -> bytes:
    """A figure as PNG, packed lightly: files a tenth larger, in a fifth less time.

    Letters that no font has are boxes, of which one warning tells.
    """
    _give_fallbacks(figure)
    image = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(image, format="png", dpi=120, pil_kwargs={"compress_level": 1})
    glyphs = [one for one in caught if str(one.message).startswith("Glyph ")]
    for one in caught:
        if one not in glyphs:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if glyphs:
        warnings.warn("a figure has letters that no installed font has", stacklevel=2)
    return image.getvalue()


def _give_fallbacks(figure: Figure) -> None:
    """Let texts in the usual font that are not plain Latin look for their letters in others too."""
    from matplotlib.font_manager import fontManager
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    strange = [text for text in texts if not text.get_text().isascii()]
    installed = {font.name for font in fontManager.ttflist} if strange else set()
    for text in strange:
        if text.get_fontfamily() == ["sans-serif"]:
            text.set_fontfamily(["DejaVu Sans", *(n for n in FALLBACKS if n in installed)])
