"""Checkpoints: a killed run goes on as if nothing had happened; nothing else is gone on with."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from interruption import interrupted_at
from test_extend import STRUCTURES, assert_same
from test_keep import equal_summaries
from test_sampling import frame

import bayesglmm as bg
from bayesglmm import bundle, checkpoint, sealed
from bayesglmm.errors import ConvergenceWarning

OPTIONS = {"draws": 40, "warmup": 60, "chains": 3, "seed": 4, "progress": False}

# A run of another process, slow enough to be killed in its midst: it pauses after each chunk, and
# long where it is to be killed.
RUN = """
import sys, time
import bayesglmm as bg
from bayesglmm.chains.worker import Worker
from test_checkpoint import OPTIONS
from test_extend import model
move = Worker._chunk
def slowly(self):
    self.chunk = 2
    move(self)
    time.sleep(0.02 if self.iteration < int(sys.argv[3]) else 0.5)
Worker._chunk = slowly
more = dict(zip(("keep", "stream"), sys.argv[4:]))
model(sys.argv[1]).sample(
    checkpoint=sys.argv[2], checkpoint_seconds=0.0, jobs=2, **OPTIONS, sampler=sys.argv[1], **more
)
"""


def model(sampler: str, **changes) -> bg.Model:
    formula, family = STRUCTURES[sampler]
    return bg.glmm(formula, frame(**changes), family)


def iterations(path) -> list[int]:
    """How far the chains of a checkpoint are."""
    content, _ = bundle.read(path, checkpoint.KIND, checkpoint.WHAT)
    standings = content["run"]["dict"][2][1]["tuple"]
    return [standing["fields"]["iteration"] for standing in standings]


def kill_a_run(sampler: str, path, place: int, *more: str) -> None:
    """Run in another process until the checkpoint has chains that far, and kill it there."""
    folder = os.path.dirname(__file__)
    search = os.pathsep.join([folder, os.path.dirname(folder), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, sampler, str(path), str(place), *more],
        env={**os.environ, "PYTHONPATH": search},
    )
    while process.poll() is None and (
        not path.exists() or min(iterations(path), default=0) < place
    ):
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert place <= min(iterations(path)) < 100


@pytest.mark.parametrize("place", [20, 75])
@pytest.mark.parametrize("sampler", STRUCTURES)
def test_a_killed_run_goes_on_to_the_same_draws(sampler, place, tmp_path):
    path = tmp_path / "run.ckpt"
    kill_a_run(sampler, path, place)
    post = model(sampler).sample(checkpoint=path, sampler=sampler, **OPTIONS)
    assert_same(post, model(sampler).sample(sampler=sampler, **OPTIONS))
    assert_same(post.extend(5, progress=False), model(sampler).sample(
        sampler=sampler, **OPTIONS | {"draws": 45}
    ))  # fmt: skip
    assert [name for name in os.listdir(tmp_path) if name.endswith(".ckpt")] == ["run.ckpt"]


@pytest.mark.parametrize("place", [20, 75])
def test_a_killed_stream_goes_on_to_the_same_draws(place, tmp_path):
    path, file = tmp_path / "run.ckpt", tmp_path / "u.nc"
    kill_a_run("gibbs", path, place, "stream", str(file))
    assert not file.exists()
    options = OPTIONS | {"checkpoint": path, "keep": "stream", "stream": file}
    whole = model("gibbs").sample(**OPTIONS)
    assert_same(model("gibbs").sample(**options), whole)
    assert sorted(os.listdir(tmp_path)) == ["run.ckpt", "u.nc"]
    # It is finished: the same call finds the file with its draws, and another run does not.
    content = file.read_bytes()
    assert_same(model("gibbs").sample(**options), whole)
    assert file.read_bytes() == content
    other = options | {"checkpoint": tmp_path / "other.ckpt"}
    with pytest.raises(bg.DataError, match=r"u\.nc exists, and a stream replaces no file"):
        model("gibbs").sample(**other)
    file.unlink()
    with pytest.raises(bg.LoadError, match="draws of effects that the checkpoint goes on from"):
        model("gibbs").sample(**options)


def test_a_killed_summary_goes_on_to_the_same_sums(tmp_path):
    path = tmp_path / "run.ckpt"
    kill_a_run("gibbs", path, 75, "summary")
    options = OPTIONS | {"keep": "summary"}
    post = model("gibbs").sample(checkpoint=path, **options)
    equal_summaries(post, model("gibbs").sample(**options))
    longer = model("gibbs").sample(**options | {"draws": 45})
    equal_summaries(post.extend(5, progress=False), longer)


def test_an_interrupted_stream_goes_on_in_its_own_file(tmp_path):
    subject = model("gibbs")
    subject.sample(draws=1, warmup=1, progress=False)
    options = {"draws": 3000, "warmup": 5, "chains": 3, "seed": 4, "progress": False}
    whole = subject.sample(**options)
    more = {"checkpoint": tmp_path / "run.ckpt", "keep": "stream", "stream": tmp_path / "u.nc"}

    with interrupted_at(1000, chains_there=3, longest=500):
        first = subject.sample(**options, **more, jobs=1)
    assert first.run.interrupted and 0 < first.draws < 3000
    np.testing.assert_array_equal(first.effect_draws, whole.effect_draws[:, : first.draws])
    assert_same(subject.sample(**options, **more), whole)
    # The draws that the first one has are still there.
    np.testing.assert_array_equal(first.effect_draws, whole.effect_draws[:, : first.draws])


def test_a_finished_run_is_there_at_once_and_the_file_stays(tmp_path):
    path = tmp_path / "run.ckpt"
    first = model("gibbs").sample(checkpoint=path, **OPTIONS)
    content = path.read_bytes()
    with ThreadPoolExecutor(2) as executor:
        again = model("gibbs").sample(checkpoint=str(path), jobs=1, executor=executor, **OPTIONS)
    assert_same(first, again)
    assert_same(first, model("gibbs").sample(**OPTIONS))
    assert path.read_bytes() == content


def test_a_run_without_a_seed_keeps_the_one_it_drew(tmp_path):
    options = OPTIONS | {"seed": None, "checkpoint": tmp_path / "run.ckpt"}
    first = model("gibbs").sample(**options)
    assert first.run.seed == model("gibbs").sample(**options).run.seed


OTHER = {
    "seed": ({"seed": 5}, "seed was 4, now it is 5"),
    "draws": ({"draws": 41}, "draws was 40"),
    "thin": ({"thin": 2}, "thin was 1"),
    "sampler": ({"sampler": "nuts"}, "sampler was 'gibbs'"),
    "init": ({"init": {"x": 0.1}}, "init was"),
    "target_accept": ({"target_accept": 0.9}, "target_accept was 0.8"),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "run.ckpt"
    model("gibbs").sample(checkpoint=path, **OPTIONS)
    return path


@pytest.mark.parametrize("what", OTHER)
def test_a_checkpoint_of_other_arguments_is_refused_in_words(what, finished):
    changes, words = OTHER[what]
    with pytest.raises(bg.DataError, match=f"checkpoint of another run: {words}.*Remove it"):
        model("gibbs").sample(checkpoint=finished, **OPTIONS | changes)


def test_a_checkpoint_of_another_model_is_refused_in_words(finished):
    with pytest.raises(bg.DataError, match="another run: the data are others; priors was"):
        model("gibbs", seed=2).sample(checkpoint=finished, **OPTIONS)
    formula, family = STRUCTURES["gibbs"]
    other = bg.glmm(formula, frame(), family, priors={"b": bg.Normal(0, 1.5)})
    with pytest.raises(bg.DataError, match="priors was"):
        other.sample(checkpoint=finished, **OPTIONS)
    with pytest.raises(bg.DataError, match="formula was 'count ~ x .*', now it is 'count ~ w"):
        bg.glmm("count ~ w + (x | g)", frame(), family).sample(checkpoint=finished, **OPTIONS)


@pytest.mark.parametrize("keep", [0, 1, 22, 30, 0.1, 0.5, 0.9, -81, -1])
def test_a_checkpoint_cut_short_is_refused(finished, tmp_path, keep):
    content = finished.read_bytes()
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(bg.LoadError, match=r"cut\.ckpt"):
        model("gibbs").sample(checkpoint=cut, **OPTIONS)


def test_every_altered_byte_of_a_checkpoint_is_found(finished, tmp_path):
    content = bytearray(finished.read_bytes())
    altered = tmp_path / "altered.ckpt"
    for place in np.random.default_rng(6).integers(0, len(content), 50):
        content[place] ^= 1
        altered.write_bytes(content)
        with pytest.raises(bg.LoadError, match=r"altered\.ckpt"):
            bundle.read(altered, checkpoint.KIND, checkpoint.WHAT)
        content[place] ^= 1


@pytest.mark.parametrize(
    "head",
    [
        b"[]",
        b"{}",
        b'{"content": 1, "arrays": {}}',
        b'{"content": 1, "arrays": {"a": ["<f8", [-1]]}}',
        b'{"content": 1, "arrays": {"a": ["<f8", [9999999]]}}',
        b'{"content": 1, "arrays": {"a": ["O", [1]]}}',
        b'{"content": {"identity": {}, "run": {"noun": "Popen"}}, "arrays": {}}',
    ],
)
def test_a_sealed_file_of_other_content_is_refused(tmp_path, head):
    path = tmp_path / "foreign.ckpt"
    path.write_bytes(checkpoint.KIND.encode() + b"\n" + head + b"\n" + bytes(16))
    sealed.seal(path)
    with pytest.raises((bg.LoadError, bg.DataError), match=r"foreign\.ckpt"):
        model("gibbs").sample(checkpoint=path, **OPTIONS)


def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        model("gibbs").sample(checkpoint=tmp_path / "nowhere" / "run.ckpt", **OPTIONS)
    with pytest.raises(bg.LoadError, match="cannot be read"):
        model("gibbs").sample(checkpoint=tmp_path, **OPTIONS)
    with pytest.raises(bg.DataError, match="checkpoint has to be the name of a file"):
        model("gibbs").sample(checkpoint=3, **OPTIONS)


def test_a_full_disk_does_not_end_the_run(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError("No space left on device")

    whole = model("gibbs").sample(**OPTIONS)
    opened = checkpoint.Checkpoint.open

    def then_full(self, *arguments):
        opened(self, *arguments)
        monkeypatch.setattr(bundle, "write", full)

    monkeypatch.setattr(checkpoint.Checkpoint, "open", then_full)
    with pytest.warns(UserWarning, match="no checkpoint could be written.*No space left"):
        assert_same(model("gibbs").sample(checkpoint=tmp_path / "run.ckpt", **OPTIONS), whole)


def test_a_chain_that_failed_stays_failed(tmp_path, monkeypatch):
    from bayesglmm.programs import GibbsProgram

    whole = model("gibbs").sample(**OPTIONS)
    path = tmp_path / "run.ckpt"
    with monkeypatch.context() as patched:
        patched.setattr(GibbsProgram, "start", _failing_start(GibbsProgram.start))
        with pytest.warns(ConvergenceWarning, match="chain 2 failed.*no start"):
            model("gibbs").sample(checkpoint=path, **OPTIONS)
    with pytest.warns(ConvergenceWarning, match="chain 2 failed.*no start"):
        again = model("gibbs").sample(checkpoint=path, **OPTIONS)
    np.testing.assert_array_equal(again.theta, whole.theta[[0, 2]])


def _failing_start(start):
    def failing(self, random_state, chain):
        if chain == 1:
            raise FloatingPointError("no start")
        return start(self, random_state, chain)

    return failing
