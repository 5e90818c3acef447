# Fine-tunes what is left of DeiT-Small, UVC's second stage, arXiv:2203.08243. After
# uvc_deit-small_8xb64-30e_in1k.py, and the export of its student:
#   bash tools/dist_train.sh configs/uvc/uvc-finetune_deit-small_8xb64-100e_in1k.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './uvc_deit-small_8xb64-30e_in1k.py'

# what the first stage has left, in the last lines of its log: the dimensions of every
# head of every block, and the hidden units of every block. These ten blocks of four
# heads are an example, 50 % of the multiply-adds
value_dims = [[56] * 4] * 10
hidden_units = [880] * 10
student_checkpoint = 'work_dirs/uvc_deit-small_8xb64-30e_in1k/student.pth'

model = dict(
    student=dict(
        backbone=dict(
            type='mmvitkd.SlicedViT',
            arch=dict(
                _delete_=True,
                embed_dims=384,
                num_layers=len(hidden_units),
                num_heads=6,
                feedforward_channels=1536,
            ),
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
custom_hooks = []  # no gates
train_cfg = dict(max_epochs=100)
