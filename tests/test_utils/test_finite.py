import torch

from mmvitkd.utils.finite import nonfinite_weights


def test_what_is_no_number_is_named():
    """Zeros and minus infinity, as in a mask of CLIP's, are no fault."""
    mask = torch.full((4, 4), float('-inf')).triu(1)
    fine = {'mask': mask, 'count': torch.tensor(3), 'none': torch.empty(0), 'meta': 1}
    assert nonfinite_weights(fine) == []
    nan, inf = float('nan'), float('inf')
    bad = {
        'nan': torch.tensor([0.0, nan]),
        'inf': torch.tensor([[0.0, inf]]),
        'one_sided': torch.tensor([0.0, -inf]),
        'all': torch.full((2, 2), -inf),
        'half': torch.tensor([inf], dtype=torch.float16),
    }
    assert nonfinite_weights({**fine, **bad}) == list(bad)
