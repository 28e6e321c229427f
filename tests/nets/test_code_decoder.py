import pytest
import torch

from robolearn.nets.code_decoder import CodeDecoder


def build(levels=3, depth=2):
    torch.manual_seed(0)
    return CodeDecoder(levels, 5, 8, depth).double().eval()


FEATURES = torch.linspace(-1, 1, 16, dtype=torch.float64).view(2, 8)


@pytest.mark.parametrize("changed", [0, 1])
def test_a_later_code_does_not_change_earlier_logits(changed):
    decoder, codes = build(), torch.tensor([[0, 3], [4, 2]])
    other = codes.clone()
    other[:, changed] = (codes[:, changed] + 1) % 5
    before, after = decoder(FEATURES, codes), decoder(FEATURES, other)
    torch.testing.assert_close(before[:, : changed + 1], after[:, : changed + 1], rtol=0, atol=1e-14)
    assert (before[:, changed + 1 :] - after[:, changed + 1 :]).abs().amin(1).min() > 1e-6


def test_without_its_mask_it_would_look_ahead(monkeypatch):
    """So that the test above can fail."""
    decoder, codes = build(), torch.tensor([[0, 3], [4, 2]])
    monkeypatch.setattr(torch.Tensor, "triu", lambda mask, _: mask.zero_())
    other = torch.tensor([[0, 1], [4, 1]])
    assert (decoder(FEATURES, codes) - decoder(FEATURES, other))[:, 0].abs().max() > 1e-6


def test_code_by_code_gives_what_all_at_once_gives():
    decoder, codes = build(), torch.tensor([[0, 3], [4, 2]])
    whole = decoder(FEATURES, codes)
    for level in range(3):
        torch.testing.assert_close(decoder(FEATURES, codes[:, :level])[:, level], whole[:, level])


def test_a_single_code_without_layers_needs_the_features_alone():
    logits = build(levels=1, depth=0)(FEATURES, torch.zeros(2, 0, dtype=torch.long))
    assert logits.shape == (2, 1, 5)
    assert not torch.equal(logits[0], logits[1])
