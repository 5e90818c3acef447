# The methods that joined methods.py after results/newer.md was measured, by the same
# protocol.
_base_ = './methods.py'

title = 'Recent methods, compared on digits'
recent = (
    'Lift, student alone',
    'Lift',
    'WideLast, student alone',
    'WideLast',
    'CSKD',
    'VkD',
    'VkD, plain student',
    'ScaleKD',
)
methods = [
    one
    for one in _base_.methods
    if one['name'] in ('student alone', 'KD', 'KD, long schedule', *recent)
]
excluded = dict(_delete_=True)
