"""What a page of `dvae explore` holds: arrays, planes, lattices, maps. Browsers come elsewhere."""

import base64
import contextlib
import http.client
import json
import re
import socket
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from dvae_core.errors import RecipeError
from dvae_core.latent import kept_posterior
from dvae_core.latent.loaded_run import load_run
from dvae_core.latent.networks import Networks
from dvae_core.pages.explore import ground, server
from dvae_core.pages.explore.content import Explored
from dvae_core.pages.explore.epochs import epoch_maps
from dvae_core.pages.explore.packing import json_for_script, pack
from dvae_core.pages.explore.page import page
from dvae_core.pages.explore.pictures import interpolate, sample
from dvae_core.pages.explore.planes import planes
from dvae_core.pages.explore.server import Server
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.watch import Watch
from dvae_core.training.run import run_recipe

BORDERS = 'evaluate.metrics=["borders"]'


@pytest.fixture
def trained(recipe_file, tmp_path):
    def trained(*changes):
        run = run_recipe(load_recipe(recipe_file, [BORDERS, *changes]), tmp_path / "runs")
        return load_run(run.path)

    return trained


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
def test_packed_arrays_come_back(dtype):
    array = np.random.default_rng(0).integers(0, 200, (5, 4, 3)).astype(dtype)
    for differences in (False, True):
        packed = pack(array, differences=differences)
        data = zlib.decompress(base64.b64decode(packed["data"]))
        rows = np.frombuffer(data, np.dtype(packed["dtype"]).newbyteorder("<")).reshape(5, -1)
        if differences:
            rows = np.cumsum(rows, axis=0, dtype=dtype)
        np.testing.assert_array_equal(rows.reshape(packed["shape"]), array)


def test_json_closes_no_script_element():
    value = {"</script>": "<!-- \u2028 </SCRIPT x> ]]>"}
    text = json_for_script(value)
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text) == value


def test_interpolation_is_bilinear():
    random = np.random.default_rng(0)
    values, box = random.normal(size=(4, 6, 3)), (-2.0, 3.0, 1.0, 5.0)
    points = random.uniform((-2, 1), (3, 5), (50, 2))
    axes = (np.linspace(1, 5, 4), np.linspace(-2, 3, 6))
    expected = RegularGridInterpolator(axes, values)(points[:, ::-1])
    np.testing.assert_allclose(interpolate(values, box, points), expected)


def test_planes_of_two_dimensions_and_of_one(trained):
    two = trained().snapshot()
    (plane,) = planes(two)
    np.testing.assert_array_equal(plane.coordinates(two.test_means), two.test_means)
    left, right, low, high = plane.box
    corners = [[left, low], [right, low], [left, high], [right, high]]
    np.testing.assert_allclose(plane.lattice(2, 2), corners, rtol=1e-6)
    (line,) = planes(trained("latent.dim=1").snapshot())
    assert line.lattice(3, 2).shape == (6, 1)
    assert line.box[2:] == pytest.approx((-1.08, 1.08))


def test_planes_of_five_dimensions(trained):
    snapshot = trained("latent.dim=5").snapshot()
    means = snapshot.test_means.astype(float)
    components, axes, through = planes(snapshot)
    for plane in (components, axes, through):
        np.testing.assert_allclose(plane.axes @ plane.axes.T, np.eye(2), atol=1e-9)
        assert 0 < plane.share <= components.share + 1e-9
        whole = np.concatenate([plane.axes, plane.beyond])
        np.testing.assert_allclose(whole @ whole.T, np.eye(5), atol=1e-9)
        assert len(plane.beyond_labels) == 3
        moved = plane.shifted([1.0, 0.0, -2.0])
        at = np.array([[0.3, -0.7]])
        by = plane.beyond[0] - 2 * plane.beyond[2]
        np.testing.assert_allclose(moved.points(at) - plane.points(at), [by], atol=1e-5)
        np.testing.assert_allclose(moved.coordinates(means), plane.coordinates(means), atol=1e-9)
        np.testing.assert_allclose(plane.spread, (means @ plane.beyond.T).std(axis=0))
    assert axes.beyond_labels == tuple(
        f"z{small}" for k, small in enumerate("₁₂₃₄₅") if not axes.axes[:, k].any()
    )
    with pytest.raises(ValueError, match="3 offsets"):
        axes.shifted([1.0])
    values = np.linalg.eigvalsh(np.cov(means.T))
    assert components.share == pytest.approx(values[-2:].sum() / values.sum())
    centres = np.stack([means[snapshot.test_labels == c].mean(axis=0) for c in range(3)])
    flat = through.coordinates(centres)
    np.testing.assert_allclose(through.points(flat), centres, atol=1e-5)
    assert flat[1, 0] > flat[0, 0]
    assert flat[2, 1] > flat[0, 1]
    (chosen,) = planes(snapshot, ["z4, z1"])
    np.testing.assert_array_equal(chosen.axes, np.eye(5)[[3, 0]])


def unpacked(packed):
    data = zlib.decompress(base64.b64decode(packed["data"]))
    rows = np.frombuffer(data, packed["dtype"]).reshape(packed["shape"][0], -1)
    if packed["differences"]:
        rows = np.cumsum(rows, axis=0, dtype=packed["dtype"])
    return rows.reshape(packed["shape"])


def test_a_plane_is_moved_along_one_axis_at_a_time(trained, monkeypatch):
    monkeypatch.setattr(ground, "MOST_AXES", 2)
    snapshot = trained("latent.dim=5").snapshot()
    plane = planes(snapshot)[0]
    found = ground.moved_grounds(snapshot, plane)
    # Of principal components those with the most spread come first.
    assert [(one["axis"], one["times"]) for one in found] == [
        (axis, times) for axis in (0, 1) for times in (-2, -1, 1, 2)
    ]
    for one in found:
        moved = plane.shifted(
            [one["times"] * plane.spread[k] * (k == one["axis"]) for k in range(3)]
        )
        left, right, low, high = plane.box
        corners = [[left, low], [right, low], [left, high], [right, high]]
        images = unpacked(one["lattice"]["images"]).reshape(
            one["lattice"]["rows"], one["lattice"]["columns"], -1
        )
        shown = images[[0, 0, -1, -1], [0, -1, 0, -1]] / 255
        exact = snapshot.decode(moved.points(np.array(corners))).reshape(4, -1)
        np.testing.assert_allclose(shown, exact, atol=0.51 / 255)
        centre = [left + (right - left) * 0.5 / 60, low + (high - low) * 0.5 / 60]
        verdict = snapshot.judge.verdicts(moved.points(np.array([centre])))[0]
        assert unpacked(one["map"])[0, 0] == (255 if verdict < 0 else verdict)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("z1,z6", "1 to 5"),
        ("pc2,pc2", "two different"),
        ("z1", "needs"),
        ("0,1,1", "three different"),
        ("0,1,9", 'no class "9"'),
    ],
)
def test_planes_that_are_not_there(trained, wanted, said):
    with pytest.raises(RecipeError, match=said):
        planes(trained("latent.dim=5").snapshot(), [wanted])


def test_the_places_of_a_prior_are_shown_in_each_plane(trained):
    run = trained('kl={name="class_prior", means="ring", radius=2.0}', "kl.weight=0.1")
    (plane,) = planes(run.snapshot())
    found = Explored(run, (), Watch())._plan(plane)
    np.testing.assert_allclose(found, run.snapshot().class_means, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 2, atol=1e-3)
    plain = trained()
    assert Explored(plain, (), Watch())._plan(*planes(plain.snapshot())) is None


def test_the_sample_is_even(trained):
    snapshot = trained().snapshot()
    chosen = sample(snapshot)
    assert len(np.unique(chosen)) == len(chosen) == len(snapshot.test_labels)


def test_maps_of_epochs_are_the_metrics_own(trained):
    run = trained()
    folder = run.folder.path / "evaluation"
    (folder / "epoch-0002-borders.npz").write_bytes(b"PK nothing")
    np.savez(folder / "epoch-0003-other.npz", something=np.zeros(3))
    snapshot = run.snapshot()
    found, _ = epoch_maps(run.folder, snapshot, snapshot.test_means)
    assert [entry["epoch"] for entry in found] == [1, 3, 4]
    assert found[0]["weight"] == pytest.approx(run.metrics()[0]["train/guidance_weight"])
    with np.load(folder / "epoch-0004-borders.npz") as kept:
        expected = np.where(kept["region_map"] < 0, 255, kept["region_map"])
        left = kept["region_x"][0] - (kept["region_x"][1] - kept["region_x"][0]) / 2
    packed = found[-1]["map"]
    rows = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), np.uint8)
    cells = np.cumsum(rows.reshape(200, 200), axis=0, dtype=np.uint8)
    np.testing.assert_array_equal(cells, expected)
    assert found[-1]["box"][0] == pytest.approx(left)


def test_a_page_of_a_finished_run_encodes_few_images(trained, monkeypatch):
    monkeypatch.setattr(kept_posterior, "TRIED", 10)
    run = trained()
    looked = load_run(run.folder.path)
    encoded = []
    encode = Networks.encode
    monkeypatch.setattr(
        Networks, "encode", lambda own, images: encoded.append(len(images)) or encode(own, images)
    )
    shown = Explored(looked, (), Watch()).content()
    assert sum(encoded) == 2 * 10
    (run.folder.path / "evaluation" / kept_posterior.FILE).unlink()
    assert Explored(load_run(run.folder.path), (), Watch()).content() == shown
    assert sum(encoded) > 200


@pytest.mark.parametrize("how", ["cut", "of others", "of other code", "too short", "not finite"])
def test_a_posterior_that_is_not_what_the_networks_say_is_passed_over(trained, how):
    run = trained()
    file = run.folder.path / "evaluation" / kept_posterior.FILE
    with np.load(file) as arrays:
        kept = dict(arrays)
    if how == "of others":
        kept["train_means"] = kept["train_means"][::-1]
    elif how == "of other code":
        kept["test_log_vars"] = kept["test_log_vars"] + 0.02 * kept["test_log_vars"].std()
    elif how == "too short":
        kept["test_means"] = kept["test_means"][:-1]
    elif how == "not finite":
        kept["train_means"][1] = np.nan
    np.savez(file, **kept)
    if how == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    snapshot = run.snapshot()
    assert run.look() is snapshot
    assert snapshot.known_train_means is None
    assert "test_posterior" not in vars(snapshot)


def test_of_other_data_all_images_are_encoded(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_posterior, "TRIED", 10)
    run = trained()
    with np.load(tmp_path / "blobs.npz") as arrays:
        blobs = dict(arrays)
    blobs["images"][7] = 255 - blobs["images"][7]  # one that is not tried
    np.savez(tmp_path / "blobs.npz", **blobs)
    with pytest.warns(UserWarning, match="looked at with other data"):
        assert load_run(run.folder.path).look().known_train_means is None


def test_a_run_that_stopped_early_keeps_where_its_images_lay(trained):
    stopping = '{name="early_stopping", goal="lowest train/loss", patience=1, min_delta=1e9}'
    run = trained(f"callbacks=[{stopping}]", "evaluate.every=1")
    assert run.epoch < 4
    assert run.look().known_train_means is not None


def test_what_a_posterior_holds_is_read_only(trained):
    run = trained()
    for snapshot in (run.snapshot(), load_run(run.folder.path).look()):
        for array in (*snapshot.test_posterior, snapshot.train_means):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_a_page_asks_nothing_of_the_network(trained, dvae, tmp_path):
    run = trained()
    file = tmp_path / "page.html"
    code, out, err = dvae("explore", run.folder.path, "--html", file)
    assert (code, out.strip()) == (0, str(file)), err
    text = file.read_text()
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", text)
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]  # a name
    assert text.count("<script") == 2


def test_a_title_is_text():
    facts = {"title": "</title><script>alert(1)</script> $content"}
    text = page([facts])
    assert "<script>alert" not in text
    assert "&lt;/title&gt;&lt;script&gt;" in text


def test_no_run_to_explore(dvae, tmp_path):
    code, _, err = dvae("explore", tmp_path)
    assert code == 1
    assert "not a run folder" in err


def test_the_server_answers_as_the_run_does_and_no_stranger(trained):
    run = trained("latent.dim=3")
    explored = Explored(run, ("z1,z3",), Watch())
    json_kind = {"Content-Type": "application/json"}
    with Server([explored]) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()

        def ask(path, body, headers=json_kind):
            connection = http.client.HTTPConnection(*serving.server_address)
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            connection.close()
            return answer.status, json.loads(text) if answer.status == 200 else None

        pixels = np.random.default_rng(0).integers(0, 256, 64)
        status, found = ask("/0/encode", {"pixels": pixels.tolist()})
        mean, _ = run.encode(pixels.astype(np.uint8).reshape(1, 1, 8, 8))
        origin = explored.planes[0].origin
        assert status == 200
        np.testing.assert_allclose(found["places"], [(mean[0] - origin)[[0, 2]]], atol=1e-5)
        np.testing.assert_allclose(
            np.array(found["image"]) / 255, run.decode(mean).ravel(), atol=0.51 / 255
        )
        status, found = ask("/0/decode", {"plane": 0, "place": [0.5, -1]})
        point = origin + np.array([0.5, 0, -1])
        expected = run.decode(point[None]).ravel()
        np.testing.assert_allclose(np.array(found["image"]) / 255, expected, atol=0.51 / 255)
        assert found["latent"] == explored.snapshot.judge.verdicts(point[None])[0]

        offsets, ends = [1.5], [[0.5, -1], [-1, 2]]
        moved = origin + np.array([0.5, 1.5, -1])
        status, found = ask("/0/decode", {"plane": 0, "place": [0.5, -1], "offsets": offsets})
        np.testing.assert_allclose(
            np.array(found["image"]) / 255, run.decode(moved[None]).ravel(), atol=0.51 / 255
        )
        status, found = ask("/0/line", {"plane": 0, "ends": ends, "offsets": offsets})
        points = np.linspace(moved, origin + np.array([-1, 1.5, 2]), 64).astype(np.float32)
        verdicts = explored.snapshot.judge.verdicts(points)
        np.testing.assert_array_equal(
            unpacked(found["latent"])[0], np.where(verdicts < 0, 255, verdicts)
        )
        images = explored.snapshot.decode(points)
        judged = explored.snapshot.image_judge.probabilities(images)
        np.testing.assert_array_equal(unpacked(found["image"])[0], judged.argmax(axis=1))
        np.testing.assert_allclose(
            unpacked(found["images"]) / 255, images[::3].reshape(22, -1), atol=0.51 / 255
        )
        for quick, cells in ((True, 60), (False, 120)):
            status, found = ask("/0/move", {"plane": 0, "offsets": offsets, "quick": quick})
            assert found["map"]["shape"] == [cells, cells]
            corner = explored.planes[0].shifted(offsets).lattice(2, 2)[:1]
            np.testing.assert_allclose(
                unpacked(found["lattice"]["images"])[0] / 255,
                run.decode(corner).ravel(),
                atol=0.51 / 255,
            )

        assert ask("/0/encode", {"pixels": [0] * 64}, {})[0] == 415
        assert (
            ask("/0/encode", {"pixels": [0] * 64}, json_kind | {"Host": "evil.example"})[0] == 403
        )
        for path, body in [
            ("/0/encode", {"pixels": [0] * 63}),
            ("/0/encode", {"pixels": [300] * 64}),
            ("/0/encode", {"pixels": "x"}),
            ("/0/decode", {"plane": 9, "place": [0, 0]}),
            ("/0/decode", {"plane": 0, "place": [0]}),
            ("/0/decode", []),
            ("/0/decode", {"plane": 0, "place": [0, 0], "offsets": [1, 2]}),
            ("/0/move", {"plane": 0, "offsets": [float("nan")]}),
            ("/0/line", {"plane": 0, "ends": [[0, 0]]}),
            ("/7/decode", {"plane": 0, "place": [0, 0]}),
            ("/0/format", {}),
            ("/etc/passwd", {}),
            ("/0/decode", {"plane": 0, "place": None}),
            ("/0/decode", {"plane": 0, "place": {"x": 1}}),
            ("/0/decode", {"plane": 0, "place": [[0, 0], [1, 1]]}),
            ("/0/decode", {"plane": 0, "place": "00"}),
            ("/0/decode", {"plane": None, "place": [0, 0]}),
            ("/0/decode", {"plane": 0, "place": [0, float("inf")]}),
            ("/0/line", {"plane": 0, "ends": [[0, 0], [0]]}),
            ("/0/line", {"plane": 0, "ends": 7}),
            ("/0/move", {"plane": 0, "offsets": {"x": 1}}),
            ("/0/move", {"plane": 0, "offsets": [10**400]}),
            ("/0/encode", {"pixels": [[0] * 64, 1]}),
            ("/0/encode", {"pixels": None}),
        ]:
            assert ask(path, body)[0] == 400, (path, body)
        serving.shutdown()


@pytest.fixture
def served(trained, judged_after):
    judged_after(10)
    with Server([Explored(trained("train.epochs=2"), (), Watch())]) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield serving
        serving.shutdown()


def half_open(serving, sent):
    connection = socket.create_connection(serving.server_address)
    connection.sendall(sent)
    return connection


def is_answered(serving):
    connection = http.client.HTTPConnection(*serving.server_address)
    connection.request("GET", "/")
    answered = connection.getresponse().status == 200
    connection.close()
    return answered


HALVES = {
    "nothing": b"",
    "a line": b"GET / HTTP/1.1\r\n",
    "half a head": b"POST /0/decode HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Le",
    "half a body": b"POST /0/decode HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"
    b"Content-Type: application/json\r\nContent-Length: 4000\r\n\r\n{",
}


@pytest.mark.parametrize("half", HALVES)
def test_half_open_connections_keep_nobody_out(served, half):
    before = threading.active_count()
    connections = [half_open(served, HALVES[half]) for _ in range(3 * server.MOST_WAITING)]
    assert is_answered(served)
    # Those of connections that were sent away end when they get to run.
    deadline = time.monotonic() + 600
    while threading.active_count() - before > 2 * server.MOST_WAITING:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # The oldest have been sent away.
    connections[0].settimeout(60)
    with contextlib.suppress(ConnectionResetError):
        while connections[0].recv(4096):
            pass
    for connection in connections:
        connection.close()
    assert is_answered(served)


def test_a_request_that_never_ends_is_given_up(served, monkeypatch):
    assert server._Handler.timeout == server.PATIENCE
    monkeypatch.setattr(server._Handler, "timeout", 0.2)
    connection = half_open(served, HALVES["half a body"])
    connection.settimeout(60)
    answer = b""
    while more := connection.recv(4096):
        answer += more
    assert b" 200 " not in answer
    connection.close()
    assert is_answered(served)


def test_many_connections_at_once_are_answered(served):
    connections = [half_open(served, b"") for _ in range(40)]
    for connection in connections:
        connection.sendall(b"GET / HTTP/1.0\r\nHost: 127.0.0.1:1\r\n\r\n")
    for connection in connections:
        connection.settimeout(60)
        assert connection.recv(4096).startswith(b"HTTP/1.0 200")
        connection.close()


def test_a_reader_that_goes_away_shows_no_traceback(served, capfd):
    for _ in range(5):
        connection = half_open(served, b"GET / HTTP/1.0\r\nHost: 127.0.0.1:1\r\n\r\n")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert is_answered(served)
    assert "Traceback" not in capfd.readouterr().err


def test_a_report_says_all_of_a_run(trained, dvae, tmp_path):
    run = trained('title="<i>mine</i>"', 'evaluate.plots=["latent"]')
    code, out, err = dvae("report", run.folder.path)
    assert (code, out.strip()) == (0, str(run.folder.path / "report.html")), err
    text = (run.folder.path / "report.html").read_text()
    assert "<i>mine" not in text
    sections = re.findall(r'<section class="card" id="(\w+)" ', text)
    assert sections == ["curves", "figures", "loss", "recipe", "provenance"]
    for section in sections:
        assert f'<a href="#{section}">' in text
    figure = (run.folder.path / "figures" / "epoch-0004-latent.png").read_bytes()
    assert base64.b64encode(figure).decode() in text
    recipe = (run.folder.path / "recipe.toml").read_text()
    assert recipe.replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;") in text
    last = run.metrics()[-1]["test/knn_accuracy"]
    assert f"<b>knn accuracy</b> test {last:.4g}<" in text
