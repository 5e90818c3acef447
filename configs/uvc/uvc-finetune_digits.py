# Fine-tunes what is left of the digits' student. After uvc_digits.py, and the export
# of its student:
#   RUN=work_dirs/uvc_digits
#   python tools/export_student.py $RUN/epoch_100.pth $RUN/student.pth \
#       --config configs/uvc/uvc_digits.py
#   python tools/train.py configs/uvc/uvc-finetune_digits.py
_base_ = './uvc_digits.py'

num_layers = 3  # of 6; what the first stage has left
student_checkpoint = 'work_dirs/uvc_digits/student.pth'

model = dict(
    student=dict(
        backbone=dict(arch=dict(num_layers=num_layers)),
        init_cfg=dict(
            _delete_=True,
            type='mmvitkd.StrictPretrained',
            checkpoint=student_checkpoint,
            prefix='',
        ),
    ),
)
custom_hooks = []  # no gates
