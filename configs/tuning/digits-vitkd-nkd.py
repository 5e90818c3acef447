# The same weights, each pair with one of six settings of NKD.
#   python -m mmvitkd tune configs/tuning/digits-vitkd-nkd.py
_base_ = './digits-vitkd.py'

config = '../digits/vitkd-nkd_digits.py'
# weight and temperature
nkd = [(0.5, 1.0), (0.5, 2.0), (1.0, 1.0), (1.0, 2.0), (2.0, 1.0), (2.0, 2.0)]
tries = [
    {
        **weights,
        'model.terms.nkd.loss.loss_weight': nkd[i % 6][0],
        'model.terms.nkd.loss.temperature': nkd[i % 6][1],
    }
    for i, weights in enumerate(_base_.tries)
]
