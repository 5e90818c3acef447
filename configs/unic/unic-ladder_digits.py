# UNIC on digits with the ladder of projectors, an MLP of every block of the student.
#   python tools/train.py configs/unic/unic-ladder_digits.py
_base_ = './unic_digits.py'

_blocks = [f'backbone.layers.{i}' for i in range(6)]  # before the last norm
_token = dict(student=dict(path=_blocks), neck=dict(type='LadderProjector'))
_patch = dict(student=_blocks, neck=dict(type='LadderProjector'))
model = dict(
    terms=dict(
        one_token=_token, one_patch=_patch, other_token=_token, other_patch=_patch
    )
)
