"""The explore page in a real browser: from disk, with ten thousand points."""

import io
import json
import re
import shutil
import threading
from itertools import permutations
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from dvae_core import as_pictures
from dvae_core.errors import DvaeError
from dvae_core.latent.borders import image_judge
from dvae_core.latent.borders.kept_maps import kept_maps
from dvae_core.latent.borders.regions import cell_edges
from dvae_core.latent.kept_means import kept_means
from dvae_core.latent.loaded_run import load_run
from dvae_core.latent.morph import morph
from dvae_core.latent.morph_picture import describe_morph
from dvae_core.pages.explore.content import Explored
from dvae_core.pages.explore.page import page as make_page
from dvae_core.pages.explore.server import ANSWERS, Server
from dvae_core.pages.run_report import run_report
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.watch import Watch
from dvae_core.training.run import run_recipe

from .helpers import check_accessible

pytestmark = pytest.mark.slow

expect.set_options(timeout=60_000)  # on a busy machine an answer takes its time
POINTS = 10_000
CLASSES = (
    "</script><b>one</b>",
    "a name that no line of a page can hold whole: " + 50 * "y",
    "ü ☃",
)
TITLE = "</script><script>window.stolen = 1</script> ${title} " + 450 * "x"


@pytest.fixture(scope="module")
def _quick(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(image_judge, "EPOCHS", 1)
        patch.setattr(image_judge, "STEPS", 20)  # any judge will do
        yield


def images(count, channels, height, width):
    """A bar across, each class lower than the one before, so that neighbours share a border."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 3
    found = random.integers(0, 90, (count, channels, height, width))
    top = 4 * labels + random.uniform(0, 4, count)
    rows = np.arange(height)
    bar = np.clip(np.minimum(rows + 1 - top[:, None], top[:, None] + 8 - rows), 0, 1)
    found[np.arange(count), labels % channels] += (150 * bar).astype(int)[:, :, None]
    return found.astype(np.uint8), labels


def train(folder, recipe, changes, count, *shape):
    folder.mkdir()
    pictures, labels = images(count, *shape)
    np.savez(folder / "blobs.npz", images=pictures, labels=labels, classes=np.array(CLASSES))
    shutil.copy(recipe, folder / "small.toml")
    changes = [f"title={json.dumps(TITLE)}", 'evaluate.metrics=["borders"]', *changes]
    return run_recipe(load_recipe(folder / "small.toml", changes), folder).path


@pytest.fixture(scope="module")
def run(tmp_path_factory, _quick):
    """Ten thousand test images of 28 x 28 in two dimensions."""
    folder = tmp_path_factory.mktemp("explore")
    (folder / "small.toml").write_text(RECIPE)
    changes = [f"dataset.test_fraction={POINTS / (POINTS + 900)}"]
    path = train(folder / "two", folder / "small.toml", changes, POINTS + 900, 1, 28, 28)
    return load_run(path)


RECIPE = """
seed = 1
dataset = { name = "npz", path = "blobs.npz" }
encoder = { name = "mlp", hidden = [32] }
decoder = { name = "mlp", hidden = [32] }
reconstruction = { name = "squared_error" }
kl = { name = "abs", weight = 0.5 }
optimizer = { name = "Adam", lr = 5e-3 }
train = { epochs = 3, batch_size = 40, device = "cpu" }

[guidance]
name = "mlp"
weight = { schedule = "linear", start = 5.0, end = 0.1, length = 15 }
"""


@pytest.fixture(scope="module")
def explored(run):
    return Explored(run, (), Watch())


@pytest.fixture(scope="module")
def four(tmp_path_factory, _quick):
    """A run with two axes beyond its plane."""
    folder = tmp_path_factory.mktemp("beyond")
    (folder / "small.toml").write_text(RECIPE)
    path = train(folder / "four", folder / "small.toml", ["latent.dim=4"], 300, 1, 12, 12)
    return Explored(load_run(path), (), Watch())


@pytest.fixture(scope="module")
def content(explored):
    return explored.content()


@pytest.fixture(scope="module")
def file(content, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "page.html"
    file.write_text(make_page([content]), encoding="utf-8")
    return file


def pixels(page, selector):
    """The grey values [H, W] of a canvas, 0 to 255."""
    width, values = page.locator(selector).evaluate(
        "c => [c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]"
    )
    return np.array(values).reshape(-1, width, 4)[:, :, 0]


def alike(one, other):
    """Whether canvases show the same; browsers smooth what they draw first in another way."""
    return one.shape == other.shape and np.mean(np.abs(one.astype(int) - other) > 40) < 0.001


def picture(page, selector):
    return page.locator(selector).evaluate("canvas => canvas.toDataURL()")


def at(page, u, v):
    """A place on the screen: shares of the plane's width and height."""
    box = page.locator(".plane").first.bounding_box()
    return box["x"] + u * box["width"], box["y"] + v * box["height"]


def test_it_is_there_and_follows_the_pointer(visit, file):
    page = visit(file)
    assert int(page.locator("html").get_attribute("data-ready")) > 0
    assert f"means of {POINTS:,} test images" in page.locator(".about").text_content()
    # Each image is there when the event ends, not some frames later.
    images = page.evaluate(
        """() => {
            const plane = document.querySelector(".plane"), box = plane.getBoundingClientRect();
            const decoded = document.querySelector(".decoded canvas");
            return Array.from({ length: 101 }, (_, i) => {
                const x = box.left + (0.1 + 0.008 * i) * box.width;
                const y = box.top + (0.2 + 0.006 * ((37 * i) % 100)) * box.height;
                plane.dispatchEvent(new PointerEvent("pointermove", { clientX: x, clientY: y }));
                return decoded.toDataURL();
            });
        }"""
    )
    assert len(set(images)) > 90


def test_the_pinned_image_is_the_models(visit, file, run, content):
    page = visit(file)
    lattice = content["planes"][0]["lattice"]
    said = page.locator(".about").text_content()
    assert f"{100 * lattice['error']:.2f} % of the full scale" in said
    for u, v in [(0.3, 0.4), (0.62, 0.35), (0.5, 0.7)]:
        page.mouse.click(*at(page, u, v))
        place = page.locator(".pins button").last.get_attribute("data-place")
        exact = run.decode(np.array([[float(n) for n in place.split(",")]]))[0, 0]
        shown = pixels(page, ".pins button:last-child canvas") / 255
        assert np.abs(shown - exact).mean() <= lattice["worst"] + 0.5 / 255
    page.get_by_role("button", name="Pin 2").click()
    assert page.locator(".pins button").count() == 2


def test_a_line_says_whether_it_is_direct(visit, file, run):
    page = visit(file, reduced_motion="reduce")
    page.mouse.move(*at(page, 0.1, 0.5))
    page.mouse.down()
    page.mouse.move(*at(page, 0.9, 0.5), steps=3)
    page.mouse.up()
    labels = page.locator(".bars").get_attribute("aria-label")
    met = re.search(r"Latent judge: (.*?)\. Image judge", labels)[1]
    stretches = re.findall(r"(.+?) \((\d+)\)(?:, |$)", met)
    assert sum(int(steps) for _, steps in stretches) == 64
    direct = len(stretches) == 2 and "void" not in [name for name, _ in stretches]
    assert ("is direct" in page.locator(".outcome").text_content()) == direct
    assert page.locator(".source").text_content().startswith("Approximate")
    chips = page.locator(".outcome .chip").all_text_contents()
    assert chips == [name for name, _ in stretches]
    page.locator(".to").select_option(label=CLASSES[2])
    share = run.snapshot().paths().direct_path[0, 2]
    assert f"{100 * share:.0f}\xa0% are direct" in page.locator(".share").text_content()


def verdicts(page, classes):
    """Both judges' verdicts at the steps of the way that is shown: class numbers, -1 for void."""
    told = page.locator(".bars").get_attribute("aria-label")
    number = {name: c for c, name in enumerate(classes)} | {"void": -1}
    latent, image = re.match(
        r"Verdicts at 64 steps\. Latent judge: (.*)\. Image judge: (.*)\.$", told
    ).groups()
    return [
        [number[name] for name, steps in re.findall(r"(.+?) \((\d+)\)(?:, |$)", text)
         for _ in range(int(steps))]
        for text in (latent, image)
    ]  # fmt: skip


def test_ways_between_classes_are_those_of_morph(visit, file, run):
    page = visit(file, reduced_motion="reduce")
    snapshot = run.snapshot()
    routes = page.locator(".route button")
    crossed = set()
    for a, b in permutations(range(3), 2):
        page.evaluate(
            """([a, b]) => {
                const [from, to] = document.querySelectorAll(".ends select");
                [from.value, to.value] = [a, b];
                to.dispatchEvent(new Event("change"));
            }""",
            [a, b],
        )
        assert page.locator(".no-route").is_visible() != bool(snapshot.regions.borders[a, b])
        for number, route in enumerate(("straight", "border")):
            if route == "border" and not routes.first.is_visible():
                with pytest.raises(DvaeError, match="share no border"):
                    morph(snapshot, a, b, route=route)
                continue
            routes.nth(number).focus()
            page.keyboard.press("Enter")
            assert routes.nth(number).get_attribute("aria-pressed") == "true"
            way = morph(snapshot, a, b, steps=64, route=route)
            latent, image = verdicts(page, CLASSES)
            assert latent == way.verdicts.tolist() == way.between.tolist()
            assert image == way.probabilities.argmax(axis=1).tolist()
            said = page.locator(".outcome strong").text_content()
            words = describe_morph(snapshot, way)
            assert said == f"The way {'is ' if way.direct else ''}{words}"
            assert page.locator(".outcome .yes").count() == way.direct
            assert page.locator(".source").text_content().startswith("Exact: as dvae morph")
            strip = pixels(page, ".strip") / 255
            exact = np.concatenate([picture[0] for picture in way.images[::9]], axis=1)
            np.testing.assert_allclose(strip, exact, atol=1.01 / 255)
            assert (
                page.locator(".here .image-verdict")
                .text_content()
                .endswith(f" {100 * way.probabilities[-1].max():.0f}\xa0%")
            )
            crossed.add((route, way.direct))
    assert crossed >= {("border", True), ("straight", False)}


def test_keys_move_pin_and_draw(visit, file):
    page = visit(file, reduced_motion="reduce")
    page.locator(".plane").focus()
    before = page.locator(".where").text_content()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    (x, y), (later_x, later_y) = (
        map(float, text.split(", ")) for text in (before, page.locator(".where").text_content())
    )
    assert later_x > x
    assert later_y > y
    page.keyboard.press("Enter")
    assert page.locator(".pins button").count() == 1
    page.keyboard.press("l")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("l")
    assert page.locator(".path").is_visible()
    expect(page.locator(".spoken")).to_contain_text("latent judge")
    page.keyboard.press("Escape")
    assert not page.locator(".path").is_visible()
    assert not page.locator(".pinned").is_visible()


def test_the_slider_goes_back_to_earlier_regions(visit, file, run):
    page = visit(file)
    now = pixels(page, ".ground")
    page.locator(".epoch").focus()
    page.keyboard.press("Home")
    page.wait_for_selector(".is-past")
    weight = run.metrics()[0]["train/guidance_weight"]
    assert page.locator(".epoch-name").text_content() == (f"epoch 1, guidance weight {weight:.3g}")
    expect(page.locator(".this-epoch")).to_have_text("epoch 1")  # once it has glided there
    assert not alike(pixels(page, ".ground"), now)
    page.keyboard.press("End")
    page.wait_for_selector(".run:not(.is-past)")
    page.get_by_role("button", name="Common axes").click()
    assert alike(pixels(page, ".ground"), now)


def where(page):
    return np.array([float(n) for n in page.locator(".where").text_content().split(", ")])


def test_the_view_zooms_and_moves_as_a_map_does(visit, file):
    page = visit(file, reduced_motion="reduce")

    def seen(u, v):
        page.mouse.move(*at(page, u + 0.01, v))
        page.mouse.move(*at(page, u, v))
        return where(page)

    whole = seen(0.8, 0.4) - seen(0.4, 0.4)
    kept = seen(0.4, 0.4)
    page.mouse.wheel(0, -400)
    expect(page.locator(".zoomed-by")).not_to_be_empty()
    times = float(page.locator(".zoomed-by").text_content().removeprefix("×"))
    assert times == pytest.approx(np.exp(0.8), rel=0.01)
    np.testing.assert_allclose(seen(0.4, 0.4), kept, atol=0.02)  # where the wheel turned
    np.testing.assert_allclose(seen(0.8, 0.4) - seen(0.4, 0.4), whole / times, atol=0.02)

    before = seen(0.5, 0.5)
    page.mouse.down()
    page.mouse.move(*at(page, 0.6, 0.4), steps=3)
    page.mouse.up()
    np.testing.assert_allclose(seen(0.6, 0.4), before, atol=0.02)  # what was held
    assert page.locator(".path").is_hidden()
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(*at(page, 0.3, 0.6), steps=3)
    page.mouse.up()
    page.keyboard.up("Shift")
    assert page.locator(".path").is_visible()

    page.locator(".plane").focus()
    page.keyboard.press("0")
    expect(page.locator(".zoomed-by")).to_be_empty()
    np.testing.assert_allclose(seen(0.8, 0.4) - seen(0.4, 0.4), whole, atol=0.02)
    page.mouse.dblclick(*at(page, 0.4, 0.4))
    expect(page.locator(".zoomed-by")).to_have_text("×2")
    assert page.locator(".pinned").is_hidden()
    np.testing.assert_allclose(seen(0.4, 0.4), kept, atol=0.02)
    page.keyboard.press("-")
    page.keyboard.press("-")
    expect(page.locator(".zoomed-by")).to_be_empty()
    page.get_by_role("button", name="Zoom in").click()
    expect(page.locator(".zoomed-by")).to_have_text("×2")
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".zoomed-by")).to_be_empty()


def fingers(page, *ways):
    """Moves fingers, each from one place to another, and lifts them."""
    touch = page.context.new_cdp_session(page)

    def send(kind, share):
        places = [a + share * (b - a) for a, b in np.array(ways, dtype=float)]
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", 0)
    for step in range(1, 9):
        send("touchMove", step / 8)
        page.wait_for_timeout(16)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_swipe_scrolls_and_two_fingers_zoom(visit, file):
    page = visit(file, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    x, y = at(page, 0.5, 0.5)
    fingers(page, [(x, y), (x, y - 200)])
    page.wait_for_function("() => scrollY > 100")
    assert page.locator(".zoomed-by").text_content() == ""
    page.evaluate("scrollTo(0, 0)")
    x, y = at(page, 0.5, 0.5)
    fingers(page, [(x - 20, y), (x - 60, y - 20)], [(x + 20, y), (x + 60, y + 20)])
    expect(page.locator(".zoomed-by")).not_to_be_empty()
    assert page.evaluate("visualViewport.scale") == 1
    assert page.locator(".pinned").is_hidden()


def test_points_are_filtered_and_the_address_keeps_the_view(visit, file, run):
    page = visit(file, reduced_motion="reduce")
    snapshot = run.snapshot()
    labels, verdicts = snapshot.test_labels, snapshot.judge.test_verdicts
    kept = page.locator(".kept")
    page.locator(".legend button").nth(1).click()
    assert kept.text_content() == f"{(labels == 1).sum():,} of {POINTS:,} points"
    page.get_by_role("button", name="Misjudged").click()
    wrong = (labels == 1) & (verdicts != 1)
    assert kept.text_content() == f"{wrong.sum():,} of {POINTS:,} points"
    page.locator(".show-density").click()
    page.locator(".epoch").focus()
    page.keyboard.press("Home")
    page.mouse.move(*at(page, 0.5, 0.5))
    page.mouse.wheel(0, -300)
    page.wait_for_function("() => /epoch=1/.test(location.hash) && /view=/.test(location.hash)")
    page.wait_for_timeout(500)
    shown, address = pixels(page, ".ground"), page.url
    page.close()

    page = visit(address, reduced_motion="reduce")
    expect(page.locator(".past")).to_contain_text("epoch 1")
    assert page.locator(".legend button").nth(1).get_attribute("aria-pressed") == "true"
    assert page.locator(".misjudged").get_attribute("aria-pressed") == "true"
    assert page.locator(".show-density").get_attribute("aria-pressed") == "true"
    assert np.abs(pixels(page, ".ground") - shown).mean() < 0.5  # of 255: six digits are kept
    page.get_by_role("button", name="All points").click()
    assert page.locator(".kept").text_content() == f"{POINTS:,} of {POINTS:,} points"


def test_groups_are_one_tab_stop_each(visit, file):
    page = visit(file)
    stops = page.evaluate(
        """() => [...document.querySelectorAll(
            "main :is(button, select, input, summary, [tabindex])"
        )].filter((one) => one.tabIndex >= 0 && !one.disabled && one.checkVisibility()).length"""
    )
    assert stops < 30
    legend = page.locator(".legend button")
    legend.nth(0).focus()
    page.keyboard.press("ArrowRight")
    expect(legend.nth(1)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    expect(legend.nth(1)).to_be_focused()
    matrix = page.locator(".matrix button")
    matrix.nth(0).focus()  # from the first class to the second
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator(":focus")).to_have_attribute(
        "aria-label", re.compile(f"^{re.escape(CLASSES[2])} to {re.escape(CLASSES[1])}")
    )


def test_what_is_shown_is_saved(visit, file, tmp_path):
    page = visit(file, reduced_motion="reduce")
    found = {}
    for kind in ("PNG", "SVG"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save as {kind}").click()
        found[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(found[kind])
    with Image.open(found["PNG"]) as image:
        size = page.locator(".ground").evaluate("c => [c.width, c.height]")
        assert list(image.size) == size
        png = np.asarray(image.convert("L"), dtype=float)
    ElementTree.parse(found["SVG"])  # it is well formed, whatever classes are called
    page.goto(found["SVG"].as_uri())
    page.set_viewport_size({"width": size[0], "height": size[1]})
    with Image.open(io.BytesIO(page.screenshot())) as image:
        svg = np.asarray(image.convert("L"), dtype=float)
    assert np.abs(png - svg).mean() < 4  # of 255; edges differ by a shade


def test_a_wheel_out_of_the_whole_scrolls_the_page(visit, file):
    page = visit(file)
    page.mouse.move(*at(page, 0.5, 0.5))
    page.mouse.wheel(0, 300)
    page.wait_for_function("() => scrollY > 0")


def test_points_go_back_to_where_they_lay(visit, file, run):
    page = visit(file, reduced_motion="reduce")
    epoch, index, means = next(kept_means(run.folder.path, run.snapshot()))
    assert epoch == 1
    assert len(index) == 1000
    page.locator(".epoch").focus()
    page.keyboard.press("Home")
    expect(page.locator(".past")).to_contain_text("epoch 1: areas and 1000 test means")
    page.get_by_role("button", name="Common axes").click()
    box = next(kept_maps(run.folder.path))[1].grid
    (left, right, _), (low, high, _) = cell_edges(box.x), cell_edges(box.y)
    sides = np.array([left[0], low[0]]), np.array([right[-1], high[-1]])
    shares = (means - sides[0]) / (sides[1] - sides[0])
    apart = np.linalg.norm(shares[:, None] - shares[None], axis=2) + 9 * np.eye(len(index))
    inside = (np.abs(shares - 0.5) < 0.45).all(axis=1)
    lonely = np.argsort(np.where(inside, -apart.min(axis=1), 9))[:3]
    for one in lonely:
        page.mouse.move(*at(page, shares[one, 0], 1 - shares[one, 1]))
        said = page.locator(".real").get_attribute("aria-label")
        assert said.startswith(f"Test image {index[one]},")
    shown = page.locator(".matrix tbody tr").nth(0).locator("td").nth(1).text_content()
    direct = next(kept_maps(run.folder.path))[1].direct[0, 1]
    assert int(shown) == pytest.approx(100 * direct, abs=0.51)
    assert page.locator(".of-epoch").text_content() == ", epoch 1"


def test_between_epochs_points_are_on_their_way(visit, file):
    page = visit(file)
    page.locator(".epoch").focus()
    page.keyboard.press("Home")
    expect(page.locator(".past")).to_contain_text("epoch 1: areas and")
    pictures = page.evaluate(
        """async () => {
            const slider = document.querySelector(".epoch"), seen = new Set();
            slider.value = 1;
            slider.dispatchEvent(new Event("input"));
            while (!document.querySelector(".past").textContent.startsWith("epoch 2: areas")) {
                seen.add(document.querySelector(".ground").toDataURL());
                await new Promise(requestAnimationFrame);
            }
            return seen.size;
        }"""
    )
    assert pictures > 2


def test_epochs_share_their_axes(visit, file, content):
    page = visit(file, reduced_motion="reduce")
    boxes = np.array([entry["box"] for entry in [*content["maps"], *content["planes"]]])
    left, low = boxes[:, [0, 2]].min(axis=0)
    right, high = boxes[:, [1, 3]].max(axis=0)
    common = page.get_by_role("button", name="Common axes")

    def middle():
        page.mouse.move(*at(page, 0.45, 0.5))
        page.mouse.move(*at(page, 0.5, 0.5))
        return [float(n) for n in page.locator(".where").text_content().split(", ")]

    own = content["planes"][0]["box"]
    np.testing.assert_allclose(middle(), [sum(own[:2]) / 2, sum(own[2:]) / 2], atol=0.05)
    page.locator(".epoch").focus()
    page.keyboard.press("Home")
    for entry in content["maps"]:
        expect(page.locator(".epoch-name")).to_contain_text(f"epoch {entry['epoch']},")
        assert common.get_attribute("aria-pressed") == "true"
        a, b, c, d = entry["box"] if entry is not content["maps"][-1] else own
        expected = np.clip([(left + right) / 2, (low + high) / 2], (a, c), (b, d))
        np.testing.assert_allclose(middle(), expected, atol=0.02 * (right - left))
        page.locator(".epoch").focus()
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    common.focus()
    page.keyboard.press("Enter")
    first = content["maps"][0]["box"]
    np.testing.assert_allclose(middle(), [sum(first[:2]) / 2, sum(first[2:]) / 2], atol=0.05)


def test_figures_are_explained_where_they_stand(visit, file, run):
    page = visit(file)
    metric = run.recipe.evaluate.metrics[0]
    page.get_by_text("What the figures mean").click()
    names = page.locator(".meanings dt").all_text_contents()
    said = page.locator(".meanings dd").all_text_contents()
    shown = dict(zip(names, said, strict=True))
    assert {"reconstruction", "kl", "knn_accuracy", "intrusion"} <= set(shown)
    assert shown["intrusion"] == f"{metric.explains['intrusion']}; lower is better"


def test_names_and_titles_are_text(visit, file):
    page = visit(file)
    assert page.evaluate("window.stolen") is None
    assert page.title() == TITLE
    assert page.locator("b", has_text="one").count() == 0
    assert page.locator(".legend button").all_text_contents() == list(CLASSES)


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_touch_moves_the_pointer(visit, file, width):
    page = visit(file, viewport={"width": width, "height": 844}, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.touchscreen.tap(*at(page, 0.4, 0.5))
    assert page.locator(".pins button").count() == 1


def test_five_dimensions_and_three_channels(visit, run, tmp_path):
    (tmp_path / "small.toml").write_text(RECIPE)
    path = train(tmp_path / "five", tmp_path / "small.toml", ["latent.dim=5"], 300, 3, 12, 16)
    explored = Explored(load_run(path), (), Watch())
    facts = explored.content()
    file = tmp_path / "page.html"
    file.write_text(make_page([facts]), encoding="utf-8")
    page = visit(file)
    assert page.locator(".planes button").count() == 3
    page.get_by_role("spinbutton", name="test image").fill("7")
    page.keyboard.press("Enter")
    label = explored.snapshot.test_labels[7]
    expect(page.locator(".found-said")).to_contain_text(CLASSES[label][:13])
    page.locator(".planes button").last.click()
    expect(page.locator(".planes button").last).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".found-said")).to_be_empty()
    page.mouse.click(*at(page, 0.5, 0.5))
    place = page.locator(".pins button").get_attribute("data-place")
    point = explored.planes[2].points(np.array([[float(n) for n in place.split(",")]]))
    exact = explored.snapshot.decode(point)[0, 0]
    shown = pixels(page, ".pins canvas") / 255
    assert shown.shape == (12, 16)
    assert np.abs(shown - exact).mean() < 0.01
    page.locator("[data-layer=images]").click()
    assert page.locator(".scrub").is_hidden()
    expect(page.locator(".how")).to_contain_text("--serve moves each")
    page.locator(".planes button").first.click()
    expect(page.locator(".planes button").first).to_have_attribute("aria-pressed", "true")
    sliders = page.locator(".sliders input")
    assert sliders.count() == 3
    plane = explored.planes[0]
    for axis, offset in ((1, 1.0), (2, -2.0)):
        before = picture(page, ".decoded canvas")
        sliders.nth(axis).focus()
        page.keyboard.press("ArrowRight" if offset > 0 else "Home")
        page.wait_for_function(
            "before => document.querySelector('.decoded canvas').toDataURL() !== before",
            arg=before,
        )
        said = page.locator(".sliders output").all_text_contents()
        wanted = [offset * spread if k == axis else 0 for k, spread in enumerate(plane.spread)]
        assert said == [f"{'+' if n > 0 else ''}{n:.2f}" for n in wanted]
        page.mouse.click(*at(page, 0.5, 0.5))
        place = page.locator(".pins button").last.get_attribute("data-place")
        point = plane.shifted(wanted).points(np.array([[float(n) for n in place.split(",")]]))
        shown = pixels(page, ".pins button:last-child canvas") / 255
        worst = max(one["lattice"]["worst"] for one in facts["moved"])
        assert np.abs(shown - explored.snapshot.decode(point)[0, 0]).mean() < worst + 0.01
    page.locator(".show-points").click()  # images hide them
    page.wait_for_function(
        "() => /points=yes/.test(location.hash) && /beyond=/.test(location.hash)"
    )
    address = page.url
    page.close()

    page = visit(address)
    expect(page.locator(".sliders output").nth(2)).to_have_text(said[2])
    assert page.locator(".show-points").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Back to the middle").click()
    expect(page.locator(".sliders output").nth(2)).to_have_text("0.00")


def test_vectors_are_shown_as_their_profiles(visit, tmp_path):
    (tmp_path / "small.toml").write_text(RECIPE)
    path = train(tmp_path / "rows", tmp_path / "small.toml", [], 300, 1, 1, 20)
    explored = Explored(load_run(path), (), Watch())
    file = tmp_path / "page.html"
    file.write_text(make_page([explored.content()]), encoding="utf-8")
    page = visit(file)
    page.mouse.click(*at(page, 0.5, 0.5))
    place = page.locator(".pins button").get_attribute("data-place")
    point = np.array([[float(n) for n in place.split(",")]])
    (exact,) = as_pictures(explored.snapshot.decode(point))[:, 0]
    shown = pixels(page, ".pins canvas") / 255
    assert shown.shape == exact.shape == (33, 41)
    assert np.abs(shown - exact).mean() < 0.02
    assert page.locator(".draw").is_hidden()


def test_a_server_moves_the_plane_and_judges_lines_exactly(visit, four):
    with Server([four]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = visit(server.address, reduced_motion="reduce")
        for axis, key, times in ((0, "End", 3), (1, "Home", -3)):
            page.locator(".sliders input").nth(axis).focus()
            page.keyboard.press(key)
            spread = four.planes[0].spread[axis]
            expect(page.locator(".sliders output").nth(axis)).to_have_text(
                f"{'+' if times > 0 else ''}{times * spread:.2f}"
            )
        moved = four.planes[0].shifted([3, -3] * four.planes[0].spread)

        page.wait_for_load_state("networkidle")
        page.mouse.click(*at(page, 0.4, 0.6))
        expect(page.locator(".where")).to_contain_text("exact")
        place = page.locator(".pins button").get_attribute("data-place")
        point = moved.points(np.array([[float(n) for n in place.split(",")]]))
        exact = four.snapshot.decode(point)[0, 0]
        for _ in range(100):  # the last of the moves may come now, and is decoded again
            shown = pixels(page, ".decoded canvas") / 255
            if np.allclose(shown, exact, atol=0.51 / 255):
                break
            page.wait_for_timeout(100)
        np.testing.assert_allclose(shown, exact, atol=0.51 / 255)

        page.mouse.move(*at(page, 0.1, 0.5))
        page.mouse.down()
        page.mouse.move(*at(page, 0.9, 0.4), steps=3)
        page.mouse.up()
        expect(page.locator(".source")).to_have_text("Exact: judged step by step.")
        left, right, low, high = moved.box
        ends = [
            [left + u * (right - left), high - v * (high - low)]
            for u, v in ((0.1, 0.5), (0.9, 0.4))
        ]
        points = moved.points(np.linspace(*ends, 64))
        latent, image = verdicts(page, CLASSES)
        agree = np.mean(np.array(latent) == four.snapshot.judge.verdicts(points))
        assert agree > 0.95  # a pixel of the screen is not as fine as the two ends are
        judged = four.snapshot.image_judge.probabilities(four.snapshot.decode(points))
        assert np.mean(np.array(image) == judged.argmax(axis=1)) > 0.95
        check_accessible(page)
        page.close()
        server.shutdown()


def test_a_line_drawn_before_the_moved_plane_has_come_is_kept(visit, four, monkeypatch):
    drawn = threading.Event()
    move = ANSWERS["move"]

    def late(explored, plane, offsets, quick=False):
        if not quick:
            drawn.wait(60)
        return move(explored, plane, offsets, quick)

    monkeypatch.setitem(ANSWERS, "move", late)
    with Server([four]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = visit(server.address, reduced_motion="reduce")
        page.locator(".sliders input").first.focus()
        with page.expect_response("**/move"):  # the quick one
            page.keyboard.press("End")
        page.mouse.move(*at(page, 0.1, 0.5))
        page.mouse.down()
        page.mouse.move(*at(page, 0.9, 0.4), steps=3)
        page.mouse.up()
        expect(page.locator(".path")).to_be_visible()
        with page.expect_response("**/move"):
            drawn.set()
        page.wait_for_timeout(500)  # until it is unpacked and shown
        expect(page.locator(".source")).to_have_text("Exact: judged step by step.")
        expect(page.locator(".path")).to_be_visible()
        assert int(page.locator(".along").input_value()) == 63  # the end of the line, still

        page.locator(".sliders input").first.focus()
        page.keyboard.press("Home")  # another plane: the line was not on it
        expect(page.locator(".path")).to_be_hidden()
        check_accessible(page)
        page.close()
        server.shutdown()


def test_a_plane_that_cannot_be_moved_stays_where_it_was(visit, four):
    with Server([four]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = visit(server.address, reduced_motion="reduce")
        said, how = page.locator(".sliders output").first, page.locator(".how")
        page.locator(".sliders input").first.focus()
        with page.expect_response("**/move"), page.expect_response("**/decode"):
            page.keyboard.press("ArrowRight")
        moved = f"+{0.1 * four.planes[0].spread[0]:.2f}"
        expect(said).to_have_text(moved)
        page.route("**/move", lambda route: route.fulfill(json={}))  # no answer that it knows
        page.keyboard.press("End")
        expect(how).to_contain_text("could not be moved")
        expect(said).to_have_text(moved)
        page.unroute("**/move")
        page.keyboard.press("End")
        expect(how).not_to_contain_text("could not be moved")
        expect(said).to_have_text(f"+{3 * four.planes[0].spread[0]:.2f}")
        check_accessible(page)
        page.close()
        server.shutdown()


def test_points_are_found_by_a_loop_and_by_number(visit, file, explored):
    page, snapshot = visit(file), explored.snapshot
    plane = explored.planes[0]
    places = plane.coordinates(snapshot.test_means)
    left, right, low, high = plane.box
    page.get_by_role("button", name="Select").click()
    page.mouse.move(*at(page, 0.6, 0.1))
    page.mouse.down()
    for u, v in ((0.98, 0.1), (0.98, 0.9), (0.6, 0.9)):
        page.mouse.move(*at(page, u, v))
    page.mouse.up()
    u, v = (places[:, 0] - left) / (right - left), (high - places[:, 1]) / (high - low)
    within = (u > 0.6) & (u < 0.98) & (v > 0.1) & (v < 0.9)
    told = page.locator(".how-many").text_content()
    count = int(told.split()[0].replace(",", ""))
    assert 0 < count < POINTS
    assert abs(count - within.sum()) < 0.02 * POINTS  # a pixel of the screen is not as fine
    verdicts = snapshot.judge.verdicts(snapshot.test_means[within])
    right_share = np.mean(verdicts == snapshot.test_labels[within])
    assert abs(float(re.search(r"(\d+)\xa0%", told)[1]) - 100 * right_share) < 3
    listed = page.locator(".listed button")
    assert 0 < listed.count() <= 48
    listed.first.click()
    said = page.locator(".real").get_attribute("aria-label")
    assert said == listed.first.get_attribute("aria-label")

    page.get_by_role("spinbutton", name="test image").fill("77")
    page.keyboard.press("Enter")
    label = snapshot.test_labels[77]
    expect(page.locator(".found-said")).to_contain_text(CLASSES[label][:13])
    x, y = page.locator(".where").text_content().split(", ")
    np.testing.assert_allclose([float(x), float(y)], places[77], atol=0.006)

    page.get_by_role("button", name="List", exact=True).click()
    assert page.locator(".how-many").text_content().startswith(f"{POINTS:,} test images")
    page.locator(".unselect").click()
    expect(page.locator(".selected")).to_be_hidden()


def notebook_with(shown, folder):
    """A file with what a notebook makes of what ends a cell."""
    file = folder / "cell.html"
    start = "<!doctype html><html lang=en data-ready><title>a notebook</title>"
    file.write_text(f"{start}<main><h1>A notebook</h1>{shown._repr_html_()}</main></html>")
    return file


def test_a_notebook_shows_the_page_in_a_frame(visit, content, tmp_path):
    made = make_page([content])
    assert len(repr(made)) < 100
    frame = visit(notebook_with(made, tmp_path)).frame_locator("iframe")
    frame.locator("html[data-ready]").wait_for(state="attached")
    frame.get_by_role("button", name="Misjudged").click()
    expect(frame.locator(".all-points")).to_be_enabled()
    frame.locator(".plane").click()
    expect(frame.locator(".pins button")).to_have_count(1)


def test_the_sections_of_a_report_are_reached_in_a_notebook(visit, run, tmp_path):
    frame = visit(notebook_with(run_report(run), tmp_path)).frame_locator("iframe")
    frame.get_by_role("link", name="Recipe").first.click()
    expect(frame.locator("#recipe pre")).to_be_in_viewport()


def test_density_lines_hold_what_they_say(visit, file, explored, tmp_path):
    page = visit(file, reduced_motion="reduce")
    before = pixels(page, ".ground")
    page.get_by_role("button", name="Density").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as SVG").click()
    download.value.save_as(tmp_path / "plane.svg")
    accent = page.evaluate("getComputedStyle(document.body).getPropertyValue('--accent')").strip()
    drawn = ElementTree.parse(tmp_path / "plane.svg").getroot()
    _, _, width, height = map(float, drawn.get("viewBox").split())
    left, right, low, high = explored.planes[0].box
    places = explored.planes[0].coordinates(explored.snapshot.test_means)
    x = (places[:, 0] - left) / (right - left) * width
    y = (high - places[:, 1]) / (high - low) * height
    lines = [path.get("d") for path in drawn.iter() if path.get("stroke") == accent]
    held = []
    for line in lines:
        ends = np.array(re.findall(r"-?[\d.]+", line), dtype=float).reshape(-1, 2, 2)
        crossed = np.zeros(len(x), dtype=int)  # the line's pieces, by a ray to the right
        for (ax, ay), (bx, by) in ends:
            level = (ay > y) != (by > y)
            crossed += level & (x < ax + (bx - ax) * (y - ay) / np.where(level, by - ay, 1))
        held.append(np.mean(crossed % 2))
    np.testing.assert_allclose(held, [0.95, 0.8, 0.5], atol=0.02)
    page.get_by_role("button", name="Density").click()
    assert alike(pixels(page, ".ground"), before)


def test_sureness_pales_where_the_image_judge_doubts(visit, file):
    page = visit(file)
    page.locator("[data-layer=image]").click()
    page.get_by_role("button", name="Points", exact=True).click()
    plain = picture(page, ".ground")
    page.locator("[data-layer=sure]").click()
    assert picture(page, ".ground") != plain
    page.locator("[data-layer=image]").click()
    page.get_by_role("button", name="Points", exact=True).click()
    assert picture(page, ".ground") == plain


def test_pointers_of_two_runs_follow_each_other(visit, content, tmp_path):
    file = tmp_path / "two.html"
    file.write_text(make_page([content, content | {"name": "another"}]), encoding="utf-8")
    page = visit(file)
    page.mouse.move(*at(page, 0.45, 0.55))
    names = page.locator(".real").evaluate_all("all => all.map(c => c.ariaLabel)")
    assert re.match(r"Test image \d+, ", names[0])
    assert names[0] == names[1]


def test_what_is_drawn_lands_and_comes_back(visit, run, explored):
    with Server([explored]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = visit(server.address)
        box = page.locator(".paper").bounding_box()
        page.mouse.move(box["x"] + 30, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 130, box["y"] + 60, steps=3)
        page.mouse.up()
        expect(page.locator(".where")).to_contain_text("exact")
        given = pixels(page, ".given").astype(np.uint8)
        assert given.max() > 200
        mean, _ = run.encode(given[None, None])
        shown = page.locator(".where").text_content().removesuffix(" (exact)")
        left, right, low, high = explored.planes[0].box
        np.testing.assert_allclose(
            [float(n) for n in shown.split(", ")],
            np.clip(mean[0], (left, low), (right, high)),
            atol=0.006,
        )
        back = pixels(page, ".returned") / 255
        np.testing.assert_allclose(back, run.decode(mean)[0, 0], atol=0.51 / 255)
        server.shutdown()
