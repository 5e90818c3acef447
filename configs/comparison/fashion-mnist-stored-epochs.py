# Does a teacher whose outputs are stored for some epochs, which come again and again,
# teach as well as one that sees every epoch's images? By the protocol of
# fashion-mnist.py, at the factor that it chose for ViTKD + NKD.
_base_ = './fashion-mnist.py'

title = 'Stored epochs of a teacher, on Fashion-MNIST'
to_beat = timed_against = 'ViTKD + NKD, live teacher'
without_factor = 'Nothing is tuned here: the weights are those of fashion-mnist.py.'
_taught = dict(config='../digits/vitkd-nkd_digits.py', scale=64, tuned=[])

methods = [
    dict(name='student alone', config='../fashion_mnist/fashion-mnist_student.py'),
    dict(name='ViTKD + NKD, live teacher', **_taught),
    dict(name='ViTKD + NKD, 16 stored epochs', stored_epochs=16, **_taught),
    dict(name='ViTKD + NKD, 4 stored epochs', stored_epochs=4, **_taught),
    dict(name='ViTKD + NKD, 1 stored epoch', stored_epochs=1, **_taught),
]
excluded = dict(_delete_=True)
