"""What the speed of placing is measured on, and that it is measured."""

import asyncio
from pathlib import Path

import pytest

from bench.hybrid import world
from bench.hybrid.measurements import deciding, replay
from bench.plan import Bench
from smallmodel_operator.placement.among import place_among
from smallmodel_operator.placement.choice.codes import Code


def test_with_another_turn_every_cluster_is_another() -> None:
    before, after = world.views(3), world.views(3, 1)
    prices = [world.around(3, turn).clusters for turn in (0, 1)]

    assert all(before[name] != after[name] for name in before)
    assert all(one != other for one, other in zip(*prices, strict=True))
    assert world.views(3, 1) == after


def test_models_differ_and_the_law_and_the_room_decide() -> None:
    around, views = world.around(6), world.views(6)

    placed = [
        place_among(one.resolved, one.spec, around, views, namespace=world.NAMESPACE, key=one.name)
        for one in world.asked(5)
    ]

    chosen = {one.made[0].placement.option.variant.name for one in placed}
    assert len(chosen) > 1
    for one in placed:
        assert one.decision is not None
        said = {verdict.cluster: verdict.code for verdict in one.decision.verdicts}
        assert said["cluster-2"] is Code.RESIDENCY_FORBIDDEN


def test_each_figure_is_measured_in_each_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, amount in {
        "_CLUSTERS": 3,
        "_FEWER_CLUSTERS": 2,
        "_MODELS": 5,
        "_DECISIONS": 5,
    }.items():
        monkeypatch.setattr(deciding, name, amount)
    bench = Bench(runs=2, quick=False, folder=tmp_path, say=lambda text: None)

    report = asyncio.run(deciding.measure(bench))

    assert [figure.unit for figure in report.figures] == ["ms", "ms", "s"]
    for figure in report.figures:
        assert len(figure.runs) == 2
        assert min(figure.runs) > 0
        assert figure.target is not None


def test_no_copy_moves_in_a_cut_and_a_stand_in_would_be_counted() -> None:
    names = ["one", "two", "three", "four"]
    kept = replay.served(names, 8)
    cut = kept.where("chat-000")
    assert replay.moves_by_cut(kept, cut, 300.0) == 0

    replaced = replay.served(names, 8, whenUnreachable="Substitute")
    assert replay.moves_by_cut(replaced, cut, 600.0) > 0


def test_a_replay_cuts_off_clusters_with_models(tmp_path: Path) -> None:
    bench = Bench(runs=1, quick=True, folder=tmp_path, say=lambda text: None)

    there, moves = asyncio.run(replay.measure(bench)).figures

    assert min(there.runs) > 0
    assert moves.runs == (0,)
