# Co-advise without its stems on digits, after the same teachers.
#   python tools/train.py configs/co_advise/co-advise-plain_digits.py
_base_ = './co-advise_digits.py'

model = dict(
    student=dict(
        backbone=dict(
            _delete_=True,
            arch=dict(
                embed_dims=32, num_layers=6, num_heads=2, feedforward_channels=128
            ),
            img_size=32,
            patch_size=8,
            **_base_.extra_token_backbone,
        )
    )
)
