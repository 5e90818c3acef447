# The main methods with DeiT-Tiny under DeiT-Small, on the 50,000 labels: for one GPU.
# Nothing is tuned; README.md has the command.
_base_ = './fashion-mnist.py'

title = 'Methods, compared on Fashion-MNIST with DeiT-Tiny'
student = '../fashion_mnist/student-full_fashion-mnist.py'
pair = '../fashion_mnist/vitkd-full_fashion-mnist.py'
teachers = dict(_delete_=True, ViT='../fashion_mnist/teacher-full_fashion-mnist.py')
written_for = None
options = {**_base_.options, 'train_cfg.val_interval': 10}
to_beat = 'KD'
without_factor = 'Nothing was tuned: all weights are those of the methods.'

methods = [
    dict(name='student alone', config='../fashion_mnist/student-full_fashion-mnist.py'),
    dict(
        name='KD',
        terms_of='../kd/kd_deit-tiny_deit3-small_8xb128_in1k.py',
        tuned=[],
    ),
    dict(
        name='ViTKD',
        config='../fashion_mnist/vitkd-full_fashion-mnist.py',
        tuned=[],
    ),
    dict(
        name='ViTKD + NKD',
        config='../fashion_mnist/vitkd-nkd-full_fashion-mnist.py',
        tuned=[],
    ),
]
excluded = dict(_delete_=True)
