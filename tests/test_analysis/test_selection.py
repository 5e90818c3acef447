"""What is selected depends on the scores alone, and these on how the model looks."""

import math

import pytest
import torch

from mmvitkd.analysis.selection import (
    attention_probe,
    evenness,
    selection_score,
    smallest,
    uncertainty,
)


def test_probe_by_hand():
    """One channel a head. The class token asks 1 and sees keys 0, log 2 and log 5."""
    head = torch.tensor([[1.0, 0.0], [9.0, math.log(2)], [9.0, math.log(5)]])
    other = torch.tensor([[0.0, 3.0], [9.0, 4.0], [9.0, 5.0]])  # asks nothing
    queries, keys = torch.stack([head, other], -1).unbind(1)  # (3 tokens, 2 heads)
    qkv = torch.cat([queries, keys, torch.zeros(3, 2)], 1)[None]
    first = torch.tensor([[2 / 8, 5 / 8]])
    even = torch.tensor([[1 / 3, 1 / 3]])
    assert torch.allclose(attention_probe(qkv, 2, (1, 2)), first)
    assert torch.allclose(attention_probe(qkv, 2, (1, 2), head=1), even)
    mean = attention_probe(qkv, 2, (1, 2), head='mean')
    assert torch.allclose(mean, (first + even) / 2)
    for head in (2, -1, 'last'):
        with pytest.raises(ValueError, match=f'from 0 to 1, got {head!r}'):
            attention_probe(qkv, 2, (1, 2), head)
    with pytest.raises(ValueError, match='no class token'):
        attention_probe(qkv, 2, (1, 3))


def test_evenness_by_hand():
    """3-4-0-0: 7 / (5 * 2). A uniform probe is the most even, a single patch the least;
    the share that the class token keeps does not matter."""
    probes = torch.tensor([[0.3, 0.4, 0, 0], [0.1] * 4, [0, 0.2, 0, 0], [0] * 4])
    assert evenness(probes).tolist() == pytest.approx([0.7, 1, 0.5, 0])
    random = torch.rand(50, 9, generator=torch.Generator().manual_seed(0))
    assert (evenness(random) < 1).all()
    assert torch.allclose(evenness(random), evenness(0.25 * random))


def test_uncertainty_is_the_cross_entropy_of_the_answer():
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    own = torch.nn.functional.cross_entropy(logits, logits.argmax(1), reduction='none')
    assert torch.allclose(uncertainty(logits), own)
    assert uncertainty(torch.zeros(1, 4)).item() == pytest.approx(math.log(4))


def test_score_by_hand():
    """0.9 CE + 0.05 (v3 + v7), as released."""
    uncertain, even = torch.tensor([2.0, 0.0]), [torch.tensor([1.0, 0.5])] * 2
    score = selection_score(uncertain, even)
    assert score.tolist() == pytest.approx([1.9, 0.05])
    alone = selection_score(uncertain, [], output_weight=2, probe_weight=0)
    assert alone.tolist() == [4, 0]


def test_a_uniform_probe_scores_highest():
    """Of equally certain answers, the image of which nothing stands out."""
    probes = torch.rand(6, 16, generator=torch.Generator().manual_seed(0))
    probes[4] = 1 / 16
    score = selection_score(torch.full((6,), 0.3), [evenness(probes)])
    assert score.argmax() == 4


def test_the_smallest_are_a_function_of_the_scores():
    scores = torch.tensor([3.0, 1.0, 2.0, 1.0])
    assert smallest(scores, 3).tolist() == [1, 3, 2]  # of equal ones, the first
    assert smallest(scores, 9).tolist() == [1, 3, 2, 0]
    order = torch.tensor([2, 0, 3, 1])
    moved = smallest(scores[order], 3)
    assert scores[order][moved].tolist() == [1, 1, 2]
    with pytest.raises(ValueError, match='1 of the scores are NaN'):
        smallest(torch.tensor([1.0, math.nan]), 1)
