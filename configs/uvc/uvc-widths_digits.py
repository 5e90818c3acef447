# UVC's first stage on digits, with widths in the place of blocks: how many heads,
# dimensions in heads and hidden units the trained student can do without, taught by
# itself. After digits_student.py.
#   python tools/train.py configs/uvc/uvc-widths_digits.py
_base_ = './uvc_digits.py'

# 380 steps, where ImageNet has 62,500: prices and numbers move faster
custom_hooks = [
    dict(
        type='mmvitkd.BlockSkippingHook',
        budget=0.6,
        price_lr=100.0,
        skip=False,
        widths=dict(lr=1.0, price_lr=1.0),
    )
]
