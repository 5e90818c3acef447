# Fine-tunes what is left of the digits' student. After uvc-widths_digits.py, and the
# export of its student:
#   RUN=work_dirs/uvc-widths_digits
#   python tools/export_student.py $RUN/epoch_100.pth $RUN/student.pth \
#       --config configs/uvc/uvc-widths_digits.py
#   python tools/train.py configs/uvc/uvc-widths-finetune_digits.py
_base_ = './uvc-widths_digits.py'

# what the first stage has left, in the last lines of its log: the dimensions of every
# head of every block, and the hidden units of every block
value_dims = [[5], [11], [8], [10], [10], [11]]
hidden_units = [95, 81, 69, 71, 79, 84]
student_checkpoint = 'work_dirs/uvc-widths_digits/student.pth'

model = dict(
    student=dict(
        backbone=dict(
            type='mmvitkd.SlicedViT',
            value_dims=value_dims,
            layer_cfgs=[dict(feedforward_channels=units) for units in hidden_units],
        ),
        init_cfg=dict(
            _delete_=True,
            type='mmvitkd.StrictPretrained',
            checkpoint=student_checkpoint,
            prefix='',
        ),
    ),
)
custom_hooks = []  # nothing more is pruned
