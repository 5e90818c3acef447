# ViTKD and NKD at full scale, for a GPU, after teacher-full_fashion-mnist.py.
#   python tools/train.py configs/fashion_mnist/vitkd-nkd-full_fashion-mnist.py
_base_ = ['./vitkd-full_fashion-mnist.py', '../_base_/terms/nkd.py']

model = dict(terms=dict(nkd=_base_.nkd_term))
