# The digits with results on the validation split, which everything was chosen on.
_base_ = './digits.py'

options = {'test_dataloader.dataset.split': 'val'}
# as multiples of what makes the paper's sums equal
weight_factors = dict(mimic=196 * 8 / 16, gen=196 * 8 / 16)
