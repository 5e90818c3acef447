# Fine-tunes what is left of DeiT-Small, UVC's second stage, arXiv:2203.08243. After
# uvc_deit-small_8xb64-30e_in1k.py, and the export of its student:
#   bash tools/dist_train.sh configs/uvc/uvc-finetune_deit-small_8xb64-100e_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './uvc_deit-small_8xb64-30e_in1k.py'

# how many blocks the first stage has left, in its log and the exported config: 5 of 12
# are 42 % of the multiply-adds, 6 would be 51 %
num_layers = 5
student_checkpoint = 'work_dirs/uvc_deit-small_8xb64-30e_in1k/student.pth'

model = dict(
    student=dict(
        backbone=dict(
            arch=dict(
                _delete_=True,
                embed_dims=384,
                num_layers=num_layers,
                num_heads=6,
                feedforward_channels=1536,
            ),
        ),
        init_cfg=dict(
            _delete_=True,
            type='mmvitkd.StrictPretrained',
            checkpoint=student_checkpoint,
            prefix='',
        ),
    ),
)
custom_hooks = []  # no gates
train_cfg = dict(max_epochs=100)
