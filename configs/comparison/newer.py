# The methods that joined methods.py after results/methods.md was measured, by the same
# protocol.
_base_ = './methods.py'

title = 'Newer methods, compared on digits'
newer = ('logit MSE', 'Attention Probe', 'LIB-KD', 'SSD')
methods = [
    one
    for one in _base_.methods
    if one['name'] in ('student alone', 'KD', 'KD, long schedule', *newer)
]
excluded = dict(_delete_=True)
