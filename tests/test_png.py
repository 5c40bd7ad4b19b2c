"""Figures as files: letters of any script."""

import warnings

import pytest

from dvae_core.latent import png as module


def figure(text):
    from matplotlib.figure import Figure

    made = Figure()
    axes = made.add_subplot()
    axes.set_title(text)
    axes.plot([0, 1], [0, 1], label=text)
    axes.legend()
    return made


def test_letters_that_no_font_has_are_one_warning(monkeypatch):
    monkeypatch.setattr(module, "FALLBACKS", ())
    with pytest.warns(UserWarning, match="no installed font") as caught:
        module.png(figure("数字七八九"))
    assert len(caught) == 1


def test_a_font_that_has_them_is_used():
    from matplotlib.font_manager import fontManager

    if not {font.name for font in fontManager.ttflist} & set(module.FALLBACKS):
        pytest.skip("no such font is installed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module.png(figure("数字七八九"))


def test_other_warnings_pass():
    made = figure("plain")
    made.canvas.mpl_connect("draw_event", lambda event: warnings.warn("mine", stacklevel=1))
    with pytest.warns(UserWarning, match="mine"):
        module.png(made)
