"""Every family trains in bfloat16, as it does by default on a CPU that multiplies it."""

import pytest

from robolearn.policies.registry import FAMILIES

TINY = {"mixture": ["--family.num-observations", "8", "--family.pairs", "2", "--family.num-codes", "4"]}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_few_steps_of_every_family(tmp_path, train_main, tiny_flags, demos, read_metrics, family):
    flags = [family, *tiny_flags[1:], *TINY.get(family, []), "--dataset.path", str(demos), "--steps", "4"]
    train_main([*flags, "--amp", "on", "--out", str(tmp_path / "run")])
    assert any("loss" in record for record in read_metrics(tmp_path / "run"))
