# The last layer mimicked, the best single term of results/fashion-mnist/vitkd-claims,
# and NKD, after fashion-mnist_teacher.py.
#   python tools/train.py configs/fashion_mnist/mimic-last-nkd_fashion-mnist.py
_base_ = ['./vitkd_fashion-mnist.py', '../_base_/terms/nkd.py']

model = dict(
    terms=dict(
        _delete_=True,
        mimic=dict(
            # after the final norm
            student='backbone.ln1',
            teacher='backbone.ln1',
            neck=dict(type='LinearProjector'),
            loss=dict(type='ViTKDMimicLoss', loss_weight=2e-3),
        ),
        nkd=_base_.nkd_term,
    )
)
