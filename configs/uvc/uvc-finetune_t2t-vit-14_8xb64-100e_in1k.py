# Fine-tunes what is left of T2T-ViT-14, UVC's second stage, arXiv:2203.08243. After
# uvc_t2t-vit-14_8xb64-30e_in1k.py, and the export of its student:
#   bash tools/dist_train.sh configs/uvc/uvc-finetune_t2t-vit-14_8xb64-100e_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './uvc_t2t-vit-14_8xb64-30e_in1k.py'

# how many blocks the first stage has left, in its log and the exported config: 4 of 14
# are 47 % of the multiply-adds, 5 would be 53 %; 26 % lie outside these blocks
num_layers = 4
student_checkpoint = 'work_dirs/uvc_t2t-vit-14_8xb64-30e_in1k/student.pth'

model = dict(
    student=dict(
        backbone=dict(num_layers=num_layers),
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
